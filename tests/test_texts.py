"""Which captions belong to which rows, and what is held out."""

import numpy as np
import pandas as pd
import pytest
import torch

from brainflix import artifacts
from brainflix.artifacts import Samples
from brainflix.cohort import read_cohort
from brainflix.errors import InputError
from brainflix.texts import NEIGHBOURS, held_out, texts_of

COUNTS = {"a": 2, "b": 1, "c": 4}  # captions of a stimulus


def write(path, kind, names, values, dataset="bmd", **about):
    rows = pd.DataFrame({"stimulus": names, "split": "train"})
    about = {"dataset": dataset, "simulated": True, "space": "s", **about}
    artifacts.write(path, Samples(kind, np.asarray(values, np.float32), rows, ("width",), "1", about))
    return path


@pytest.fixture
def files(tmp_path):
    """Responses c, a, b, a; each caption's own embedding, the stimuli's mixed up; and their means."""
    names = list("cacbcac")
    values = np.random.default_rng(0).standard_normal((7, 3))
    means = [values[[i for i, n in enumerate(names) if n == s]].mean(axis=0) for s in "abc"]
    return (
        [write(tmp_path / "r.h5", "responses", list("caba"), np.zeros((4, 2)), subject="01")],
        [write(tmp_path / "each.h5", "targets", names, values, each=True)],
        [write(tmp_path / "mean.h5", "targets", list("abc"), means)],
        {s: values[[i for i, n in enumerate(names) if n == s]] for s in "abc"},
    )


def read(paths, kind="targets"):
    return read_cohort(paths, kind=kind, splits=("train",), agree=("each",))


def test_captions_are_drawn_evenly_among_those_of_the_stimulus(files):
    responses, each, _, own = files
    texts = texts_of(read(responses, "responses"), read(each), each=True)
    generator = torch.Generator().manual_seed(0)
    drawn = np.stack([texts.draw(np.arange(4), generator) for _ in range(2000)])
    for row, stimulus in enumerate("caba"):
        captions = own[stimulus].astype(np.float32)
        which = (drawn[:, row, None] == captions).all(axis=2)
        assert (which.sum(axis=1) == 1).all(), "nobody else's caption"
        share = which.mean(axis=0)
        assert np.abs(share - 1 / len(captions)).max() < 5 * 0.5 / 2000**0.5


def test_the_draw_is_the_generators(files):
    responses, each, _, _ = files
    texts = texts_of(read(responses, "responses"), read(each), each=True)
    one, two = (texts.draw(np.arange(4), torch.Generator().manual_seed(5)) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_means_and_centre_do_not_depend_on_how_captions_are_stored(files):
    responses, each, mean, own = files
    rows = read(responses, "responses")
    a, b = texts_of(rows, read(each), each=True), texts_of(rows, read(mean), each=False)
    for texts in (a, b):
        for row, stimulus in enumerate("caba"):
            np.testing.assert_allclose(texts.means()[texts.stimulus[row]], own[stimulus].mean(axis=0), rtol=1e-5)
        expected = np.mean([own[s].mean(axis=0) for s in "caba"], axis=0)
        np.testing.assert_allclose(texts.centre(), expected, rtol=1e-5)
    drawn = b.draw(np.arange(4), torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(drawn, b.values[b.stimulus])


def test_means_in_place_of_captions_are_refused_and_the_other_way_round(files):
    responses, each, mean, _ = files
    rows = read(responses, "responses")
    with pytest.raises(InputError, match=r"mean.h5: expected each caption's own \(extract --each\), found means"):
        texts_of(rows, read(mean), each=True)
    with pytest.raises(InputError, match=r"each.h5: expected means .*, found each caption's own"):
        texts_of(rows, read(each), each=False)


def test_a_stimulus_without_a_caption_is_refused(files, tmp_path):
    _, each, _, _ = files
    rows = read([write(tmp_path / "s.h5", "responses", ["d"], np.zeros((1, 2)), subject="01")], "responses")
    with pytest.raises(InputError, match=r"expected a target .* for stimulus 'd'"):
        texts_of(rows, read(each), each=True)


@pytest.fixture
def study(tmp_path):
    """Two datasets of 30 and 14 stimuli, seen twice by each of two subjects, in some order."""
    rng, responses, targets = np.random.default_rng(0), [], []
    for dataset, n in (("bmd", 30), ("cc", 14)):
        names = [f"{i:02}" for i in range(n)]
        targets.append(write(tmp_path / f"{dataset}.h5", "targets", names, rng.standard_normal((n, 3)), dataset))
        for subject in ("01", "02"):
            shown = rng.permutation(names * 2)
            path = tmp_path / f"{dataset}-{subject}.h5"
            responses.append(write(path, "responses", shown, np.zeros((2 * n, 2)), dataset, subject=subject))
    rows = read(responses, "responses")
    return rows, texts_of(rows, read(targets), each=False)


@pytest.mark.parametrize("seed", range(5))
def test_whole_stimuli_are_held_out_in_blocks_of_neighbours_of_every_dataset(study, seed):
    rows, texts = study
    mask = held_out(rows, texts, share=0.4, seed=seed)
    names = rows.rows.assign(held=mask)
    by_stimulus = names.groupby(["dataset", "stimulus"])["held"]
    assert (by_stimulus.nunique() == 1).all(), "every repeat of every subject, or none"
    held = by_stimulus.first()
    assert held["bmd"].sum() == 2 * NEIGHBOURS  # 2 of 5 blocks
    assert held["cc"].sum() in (NEIGHBOURS, 14 - 2 * NEIGHBOURS)  # 1 of 3, the last is short
    edges = np.flatnonzero(np.diff(held["bmd"].astype(int).to_numpy()))
    assert all((edge + 1) % NEIGHBOURS == 0 for edge in edges)


def test_the_seed_says_what_is_held_out(study):
    masks = [held_out(*study, share=0.4, seed=seed) for seed in (1, 1, 2)]
    assert (masks[0] == masks[1]).all() and (masks[0] != masks[2]).any()


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_something_is_held_out_and_something_is_left_whatever_the_share(study, share):
    rows, texts = study
    mask = held_out(rows, texts, share=share, seed=0)
    for dataset in ("bmd", "cc"):
        assert 0 < mask[rows.rows["dataset"] == dataset].mean() < 1


def test_too_few_stimuli_to_hold_some_out_are_refused(tmp_path):
    names = [str(i) for i in range(NEIGHBOURS)]
    rows = read([write(tmp_path / "r.h5", "responses", names, np.zeros((6, 2)), subject="1")], "responses")
    texts = texts_of(rows, read([write(tmp_path / "t.h5", "targets", names, np.ones((6, 2)))]), each=False)
    with pytest.raises(InputError, match=r"align: expected more than 6 training stimuli of bmd.*found 6"):
        held_out(rows, texts, share=0.1, seed=0)
