"""Step describe: captions from b, from the truth, or none."""

import pytest

from brainflix import artifacts
from brainflix.errors import InputError
from brainflix.steps.describe import DescribeSettings, describe

from . import study

SETTINGS = DescribeSettings(
    prompt="",
    beams=1,
    min_length=4,
    max_length=20,
    count_prompt=True,
    repetition_penalty=6.0,
    precision="float32",
)


def described(toy, tmp_path, *, clips=4, **sources):
    out = tmp_path / "captions.tsv"
    options = {"captioner": "toy", "settings": SETTINGS, "clips": clips, "clips_seed": 0, "threads": 1}
    describe(stimuli=toy / "stimuli.tsv", out=out, **options, **sources)
    return artifacts.read_table(out, columns=["stimulus", "caption_index", "caption", "source"])


def test_a_predicted_embedding_is_decoded_for_every_chosen_clip(toy, tmp_path, toy_models):
    table = described(toy, tmp_path, condition=toy / "b-predicted.h5")
    predicted = artifacts.read(toy / "b-predicted.h5", kind="predictions")
    first = dict(zip(predicted.rows["stimulus"], predicted.values[:, 0, 0], strict=True))
    assert list(table["caption"]) == [f"{first[name]:.2f}" for name in table["stimulus"]]
    assert set(table["source"]) == {"toy"}


def test_a_true_embedding_is_decoded_as_a_predicted_one(toy, tmp_path, toy_models):
    table = described(toy, tmp_path, condition=toy / "b.h5", clips=0)
    true = artifacts.read(toy / "b.h5", kind="targets")
    first = dict(zip(true.rows["stimulus"], true.values[:, 0, 0], strict=True))
    assert list(table["caption"]) == [f"{first[name]:.2f}" for name in table["stimulus"]]
    assert len(table) == study.TEST


def test_true_captions_are_the_first_of_each_clip(toy, tmp_path):
    table = described(toy, tmp_path, captions=toy / "captions.tsv", clips=0)
    assert len(table) == study.TEST
    assert list(table["caption"]) == [f"clip {name} in words 0" for name in table["stimulus"]]


def test_all_variants_get_the_same_clips(toy, tmp_path, toy_models):
    ways = [{}, {"captions": toy / "captions.tsv"}, {"condition": toy / "b-predicted.h5"}]
    chosen = [tuple(described(toy, tmp_path, **way)["stimulus"]) for way in ways]
    assert len(set(chosen)) == 1 and len(chosen[0]) == 4


def test_without_a_condition_captions_are_empty(toy, tmp_path):
    assert set(described(toy, tmp_path)["caption"]) == {""}


def test_a_missing_caption_is_named(toy, tmp_path):
    table = artifacts.read_table(toy / "captions.tsv", columns=["stimulus"])
    artifacts.write_table(tmp_path / "few.tsv", table[table["stimulus"] != "07"])
    with pytest.raises(InputError, match=r"few.tsv: expected a caption of 07, found none"):
        described(toy, tmp_path, captions=tmp_path / "few.tsv", clips=0)


def test_more_clips_than_there_are_is_said_in_a_sentence(toy, tmp_path):
    with pytest.raises(InputError, match=r"stimuli.tsv: 7 test clips wanted, 6 exist"):
        described(toy, tmp_path, clips=7)
