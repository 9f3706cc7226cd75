"""The toy study, once a session, and toy models in place of the frozen ones."""

import pytest

from brainflix import frozen

from . import study


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """Folder of the toy study; tests read it and write elsewhere."""
    folder = tmp_path_factory.mktemp("toy")
    study.write(folder)
    return folder


@pytest.fixture
def toy_models(monkeypatch):
    """Names of the toy models: any; their loaders ask for no files."""
    monkeypatch.setattr(frozen, "generator", lambda name, precision: study.Generator())
    monkeypatch.setattr(frozen, "captioner", lambda name, precision: study.Captioner())
    monkeypatch.setattr(frozen, "classifier", lambda name, precision: study.Classifier())
