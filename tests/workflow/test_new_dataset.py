"""A dataset is one adapter, one entry in the config and one phantom writer: the workflow needs nothing else."""

import pytest

from brainflix import artifacts
from tests.conftest import BRAIN

TRIALS = {"study": "BMD", "train_trials": 12, "test_trials": 4, "nan_share": 0.05}
COUNTS = {"train_clips": 4, "train_repeats": 3, "test_clips": 2, "test_repeats": 2}
OVERLAY = {
    "datasets": {"mosaic": {"subjects": ["01"], "evaluate": ["01"], "options": TRIALS}},
    "phantom": {"mosaic": {**BRAIN, "subjects": ["01"], "counts": COUNTS}},
}


def test_every_stage_can_be_planned_for_mosaic(snakemake):
    run = snakemake("--dry-run", "results/mosaic/mlp/metrics.csv", overlay=OVERLAY)
    assert run.code == 0, run.text[-3000:]
    for rule in ("synthesize_mosaic", "index", "parcellate", "caption", "extract", "regress", "evaluate"):
        assert run.jobs[rule] >= 1, rule
    assert run.jobs["synthesize_bmd"] == run.jobs["pretrain"] == 0


def test_files_of_mosaic_that_are_missing_are_asked_for(snakemake):
    run = snakemake("--dry-run", "results/mosaic/responses/sub-01.h5")
    assert run.code == 1 and "sub-01_BMD.hdf5" in run.text and "https://mosaic.csail.mit.edu" in run.text


@pytest.mark.slow
def test_simulated_files_of_mosaic_become_responses_and_captions(snakemake, tmp_path):
    targets = ["results/mosaic/responses/sub-01.h5", "results/mosaic/captions.tsv"]
    run = snakemake("--cores", "1", *targets, overlay=OVERLAY)
    assert run.code == 0, run.text[-3000:]
    responses = artifacts.read(tmp_path / targets[0], kind="responses")
    assert responses.values.shape == (16, 13_156) and responses.about["simulated"]
    assert responses.about["nan_vertices"] == [2], "a quarter of the dead vertices lie in the 41 areas"
    assert responses.rows.groupby("split").size().to_dict() == {"test": 4, "train": 12}
    captions = artifacts.read_table(tmp_path / targets[1], columns=["stimulus", "caption", "source"])
    assert len(captions) == 5 * 6 and set(captions["source"]) == {"human"}
