"""The toy study, once a session, and toy models in place of the frozen ones."""

import pytest

from brainflix import frozen
from tests.datasets import studies

from . import study


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """Folder of the toy study; tests read it and write elsewhere."""
    folder = tmp_path_factory.mktemp("toy")
    study.write(folder)
    return folder


@pytest.fixture(scope="session")
def roots(tmp_path_factory):
    """Folder of a small study in a dataset's native layout, by name; written once, read only."""
    made = {}

    def root(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            studies.WRITE[name](made[name])
        return made[name]

    return root


@pytest.fixture
def toy_models(monkeypatch):
    """Names of the toy models: any; their loaders ask for no files."""
    monkeypatch.setattr(frozen, "generator", lambda name, precision: study.Generator())
    monkeypatch.setattr(frozen, "captioner", lambda name, precision: study.Captioner())
    monkeypatch.setattr(frozen, "classifier", lambda name, precision: study.Classifier())
