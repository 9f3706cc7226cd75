"""Parts and numbers of a config that do not go together are refused at once, in the words of who would use them."""

import subprocess
import sys
from pathlib import Path

import pytest

from brainflix import config as names
from brainflix import consistency, validation
from brainflix.errors import InputError
from tests.conftest import phantom_section

ROOT = Path(__file__).parents[1]


@pytest.fixture
def paper():
    return names.load([ROOT / "config" / "paper.yaml"])


@pytest.mark.parametrize("overlays", [[], ["config/demo.yaml"], ["config/demo.yaml", "tests/workflow/small.yaml"]])
def test_the_configs_of_the_project_are_consistent(overlays):
    config = names.load([ROOT / path for path in ["config/paper.yaml", *overlays]])
    validation.check(config)
    consistency.check(config)


def put(path, value):
    def change(config):
        *keys, last = path.split(".")
        for key in keys:
            config = config[key]
        config[last] = value

    return change


@pytest.mark.parametrize(
    "change, sentence",
    [
        (put("roles.b", "z-zeroscope"), r"roles\.b: expected a target of kind blip, found z-zeroscope, of kind latent"),
        (put("generators.video.latent", "b-blip"), r"generators\.video\.latent: expected a target of kind latent"),
        (
            put("generators.video.backbone", "sdxl"),
            r"generators\.video\.backbone: expected zeroscope, which made z-zeroscope, found sdxl",
        ),
        (
            put("targets.c-openclip.backbone", "sdxl"),
            r"variants\.linear\.condition: expected text states of generator video \(zeroscope\), found .* of sdxl",
        ),
        (put("targets.z-zeroscope.settings.frame", 15), r"targets\.z-zeroscope\.settings: expected .* unknown frame"),
        (put("targets.y-vit.settings", {"frames": 2}), r"targets\.y-vit\.settings: expected .* missing pixels"),
        (
            put("generators.video.settings.strength", 1.2),
            r"generators\.video\.settings: .*strength: expected more than 0, at most 1, found 1\.2",
        ),
        (put("pretrain.model.heads", 7), r"pretrain\.model: .*width must be a multiple of heads"),
        (
            put("recipes.brainflix.adapter_rank", "x"),
            r"align with recipes\.brainflix\.adapter_rank: expected int, found 'x'",
        ),
        (put("recipes.brainflix.adapters", 3), r"align with recipes\.brainflix: expected .* unknown adapters"),
        (put("align.held_out", {"share": 1.5, "patience": 2}), r"align: .*held_out\.share must lie between 0 and 1"),
        (put("mlp.training.accumulate", 3), r"mlp\.training: .*batch 50 cannot be split into 3 equal parts"),
        (put("datasets.bmd.options.train_clips", "x"), r"datasets\.bmd\.options\.train_clips: expected int, found 'x'"),
        (
            put("datasets.bmd.evaluate_clips", 103),
            r"bmd\.evaluate_clips: expected at most the 102 test clips, found 103",
        ),
        (put("datasets.cc2017.evaluate_clips", 1201), r"expected at most the 1200 test clips, found 1201"),
        (
            put("datasets.had.captioner", None),
            r"datasets\.had\.captioner: expected a backbone, as adapter had gives no",
        ),
        (put("datasets.hcp.evaluate", ["100206"]), r"datasets\.hcp\.evaluate: expected nobody, as nothing was shown"),
        (
            put("cohorts.videos.hcp", "all"),
            r"encoders\.aligned\.align: expected a cohort of datasets with stimuli, found videos, with hcp at rest",
        ),
        (
            put("regressors.mlp.cohort", "hcp-bmd"),
            r"regressors\.mlp\.cohort: expected .*, found hcp-bmd, with hcp at rest",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_by_its_key(paper, change, sentence):
    change(paper)
    with pytest.raises(InputError, match=sentence):
        consistency.check(paper)


def test_captions_of_ones_own_stand_in_for_a_captioner(paper):
    paper["datasets"]["had"].update(captioner=None, captions="mine.tsv")
    consistency.check(paper)


def test_without_clip_0_the_authors_have_one_test_clip_fewer(paper):
    paper["datasets"]["cc2017"]["evaluate_clips"] = 1200
    consistency.check(paper)
    paper["datasets"]["cc2017"]["options"]["clips"] = 239
    with pytest.raises(InputError, match="at most the 1199 test clips"):
        consistency.check(paper)


@pytest.mark.parametrize(
    "change, sentence",
    [
        (
            put("phantom.bmd.subjects", ["01"]),
            r"phantom\.bmd\.subjects: expected those of datasets\.bmd\.subjects \(01, 02",
        ),
        (put("phantom.bmd.counts.test_clips", 60), r"phantom\.bmd\.counts: expected test_clips 102, as in .* found 60"),
        (
            put("phantom.hcp.counts.runs", 2),
            r"phantom\.hcp\.counts: expected runs 4, as in datasets\.hcp\.options, found 2",
        ),
        (
            put("phantom.mosaic.counts.test_repeats", 9),
            r"phantom\.mosaic\.counts: expected test_trials 1020, .* found 918",
        ),
        (put("phantom.bmd.pixel", 96), r"phantom\.bmd: expected the keys .* unknown pixel"),
        (put("phantom.nsd", {}), r"phantom: expected one of bmd, .* found nsd"),
    ],
)
def test_a_simulated_study_is_what_its_dataset_is_said_to_be(paper, change, sentence):
    paper["phantom"] = phantom_section(paper)
    consistency.check(paper)
    change(paper)
    with pytest.raises(InputError, match=sentence):
        consistency.check(paper)


def test_checking_imports_nothing_heavy_as_every_job_does_it():
    code = "import sys, brainflix.consistency; sys.exit(bool({'torch', 'scipy', 'h5py'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
