"""The whole DAG on a small simulated study, through the profile as it is shipped."""

import re
import time

import pytest

from tests.test_results import CHECKS
from tests.workflow.test_whole import NEED_MORE_CLIPS, OVERLAYS, PICTURES, TARGETS

from .conftest import Clone

TIMES_LOCAL = 2.5  # as long as it may take through SLURM, with the same two CPUs


@pytest.fixture(scope="module")
def local(lab, tmp_path_factory):
    """Where it ran without SLURM, and the seconds that it took."""
    clone, began = Clone(tmp_path_factory.mktemp("local"), lab, overlays=OVERLAYS), time.monotonic()
    clone.local(*TARGETS, *PICTURES)
    return clone.folder, time.monotonic() - began


@pytest.fixture(scope="module")
def submitted(lab, tmp_path_factory):
    """Where it ran through SLURM, the seconds that it took, and what was said."""
    clone, began = Clone(tmp_path_factory.mktemp("submitted"), lab, overlays=OVERLAYS), time.monotonic()
    said = clone.submit(*TARGETS, *PICTURES).finish(seconds=3600)
    return clone.folder, time.monotonic() - began, said


def test_the_tables_have_the_same_bytes(local, submitted):
    for target in TARGETS:
        assert (submitted[0] / target).read_bytes() == (local[0] / target).read_bytes()


def test_slurm_does_not_take_much_longer(local, submitted):
    print(f"\nwhole DAG: {local[1]:.0f} s without SLURM, {submitted[1]:.0f} s through it")
    assert submitted[1] <= TIMES_LOCAL * local[1]


@pytest.mark.parametrize("check", [c for c in CHECKS if c not in NEED_MORE_CLIPS], ids=lambda check: check.__name__)
def test_what_must_hold_in_finished_results_holds(submitted, check):
    check(submitted[0] / "results")


def test_small_predictions_share_a_job(submitted):
    said = submitted[2]
    predictions = int(re.search(r"^predict +(\d+)$", said, re.M)[1])
    jobs = len(set(re.findall(r"log: \S+/group_predict\S+/(\d+)\.log", said)))
    assert 0 < jobs < predictions


def test_the_same_command_again_submits_nothing(lab, submitted):
    clone = Clone(submitted[0], lab, overlays=OVERLAYS)
    assert "Nothing to be done" in clone.submit(*TARGETS, *PICTURES).finish()
