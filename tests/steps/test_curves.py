"""Training curves: where they lie, and the figure drawn from them."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from brainflix import config as names
from brainflix import trained
from brainflix.checkpoints import write_curve
from brainflix.errors import InputError
from brainflix.steps.curves import curves

CONFIG = names.load([Path(__file__).parents[2] / "config" / "paper.yaml"])


@pytest.fixture
def tables(tmp_path):
    """Three falling curves."""
    paths = [tmp_path / f"{name}.csv" for name in "abc"]
    for number, path in enumerate(paths):
        write_curve(path, [[10 * s, s / 2, 1e-3, 1 / (s + number)] for s in range(1, 20)])
    return paths


def test_networks_get_a_panel_and_runs_a_line(tables, tmp_path):
    labels = ["encoder mbm/all, seed 0", "encoder mbm/all, seed 1", "MLP full/z, bmd, seed 0"]
    curves(curves=tables, labels=labels, out=tmp_path / "f.svg")
    text = (tmp_path / "f.svg").read_text()
    words = re.findall(r">([^<>]+)</text>", text)
    for expected in ("encoder mbm", "MLP full", "all, seed 0", "all, seed 1", "z, bmd, seed 0", "training loss"):
        assert expected in words
    assert words.count("encoder mbm") == 1
    lines = re.findall(r'<g id="line2d_\d+">\s*<path d="([^"]+)" clip-path', text)
    assert sorted(line.count("L") for line in lines) == [18, 18, 18]


def test_the_same_curves_give_the_same_bytes(tables, tmp_path):
    for name in ("f", "g"):
        curves(curves=tables, labels=["a/1", "b/1", "b/2"], out=tmp_path / f"{name}.svg")
    assert (tmp_path / "f.svg").read_bytes() == (tmp_path / "g.svg").read_bytes()


def test_curves_without_labels_or_columns_are_refused(tables, tmp_path):
    with pytest.raises(InputError, match="expected a label for each of 3 curves, found 1"):
        curves(curves=tables, labels=["a/1"], out=tmp_path / "f.svg")
    tables[0].write_text("step,value\n1,2\n")
    with pytest.raises(InputError, match=r"a.csv: expected columns epoch, loss, found no epoch, loss"):
        curves(curves=tables[:1], labels=["a/1"], out=tmp_path / "f.svg")


def test_a_table_names_every_network_behind_it_once():
    found = trained.curves(CONFIG, SimpleNamespace(dataset="bmd"))
    assert found["encoder mbm-had/all, seed 0"] == "results/encoders/mbm-had/all/seed-0/encoder.csv"
    assert found["encoder aligned-had/all, seed 0"] == "results/encoders/aligned-had/all/seed-0/encoder.csv"
    folder = "results/regressors/single/bmd-02/seed-0"
    assert found["MLP single/b-blip, bmd-02, seed 0"] == f"{folder}/b-blip.csv"
    assert len(set(found.values())) == len(found)
    assert not [path for path in found.values() if "/linear/" in path]
    order = [*found]
    assert order.index("encoder mbm-had/all, seed 0") < order.index("encoder aligned-had/all, seed 0")


def test_what_others_trained_has_no_curve():
    encoders = {**CONFIG["encoders"], "mbm-had": {"import": "checkpoint.pth"}}
    found = trained.curves({**CONFIG, "encoders": encoders}, SimpleNamespace(dataset="bmd"))
    assert "encoder mbm-had/all, seed 0" not in found and "encoder aligned-had/all, seed 0" in found


def test_a_table_that_learns_nothing_step_by_step_has_no_figure():
    config = {**CONFIG, "headline": {"bmd": ["oracle"]}}
    with pytest.raises(InputError, match=r"headline.bmd: expected a variant that learns step by step, found none"):
        trained.curves(config, SimpleNamespace(dataset="bmd"))
