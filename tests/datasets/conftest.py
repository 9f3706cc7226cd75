"""Each tiny study is written once; tests that damage it copy it first."""

import pytest

from tests.datasets import studies


def _study(name):
    @pytest.fixture(scope="session", name=name)
    def fixture(tmp_path_factory):
        root = tmp_path_factory.mktemp(name)
        return root, studies.WRITE[name](root)

    return fixture


bmd, had, cc2017, hcp, mosaic = (_study(name) for name in ("bmd", "had", "cc2017", "hcp", "mosaic"))
