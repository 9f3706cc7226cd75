"""The simulated BOLD Moments tree, file by file, against what is known of OpenNeuro ds005165."""

import json
import pickle
from collections import Counter

import av
import numpy as np
import pandas as pd
import pytest

from brainflix import atlas
from brainflix.phantom.captions import read_attributes

BETAS = "derivatives/versionB/fsLR32k/GLM/sub-{s}/prepared_betas/sub-{s}_{name}.pkl"
ANNOTATION_FIELDS = [
    "bmd_matrixfilename",
    "MiT_url",
    "MiT_filename",
    "set",
    "objects",
    "scenes",
    "actions",
    "text_descriptions",
    "spoken_transcription",
    "memorability_score",
    "memorability_decay",
    "THINGS_uniqueID",
    "PLACES365_classID",
    "MiT_classID",
]


@pytest.fixture(scope="module")
def root(phantom_root):
    return phantom_root("bmd")


def load(root, subject, name):
    return pickle.loads((root / BETAS.format(s=subject, name=name)).read_bytes())


def events(root, subject, split):
    runs = {"train": range(1, 11), "test": range(1, 4)}[split]
    for session in (2, 3, 4, 5):
        for run in runs:
            path = f"sub-{subject}/ses-{session:02d}/func/sub-{subject}_ses-{session:02d}_task-{split}_run-{run}"
            assert json.loads((root / f"{path}_bold.json").read_text())["RepetitionTime"] == 1.75
            yield session, pd.read_csv(root / f"{path}_events.tsv", sep="\t", keep_default_na=False)


def test_clips_have_four_digit_names_and_lie_by_split(root):
    found = sorted(str(p.relative_to(root)) for p in (root / "stimuli").rglob("*.*"))
    assert found == [f"stimuli/test/{n}.mp4" for n in range(1001, 1005)] + [
        f"stimuli/train/{n:04d}.mp4" for n in range(1, 41)
    ]


def test_clips_are_h264_of_three_seconds_at_mixed_rates_and_labelled(root):
    rates = Counter()
    for path in (root / "stimuli").rglob("*.mp4"):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 32, 32)
            assert "simulated" in container.metadata["title"] and "simulated" in container.metadata["comment"]
            rates[int(stream.average_rate)] += 1
            assert len(list(container.decode(video=0))) / stream.average_rate == pytest.approx(3, abs=0.11)
    assert set(rates) <= {15, 20, 24, 25, 30} and len(rates) >= 2
    assert max(rates, key=rates.get) == 30


def test_annotations_have_every_field_and_five_captions_that_tell_the_truth(root):
    folder = root / "derivatives" / "stimuli_metadata"
    annotations = json.loads((folder / "annotations.json").read_text())
    assert list(json.loads((folder / "annotations_fieldnames.json").read_text())) == ANNOTATION_FIELDS
    assert list(annotations) == [f"{n:04d}" for n in [*range(1, 41), *range(1001, 1005)]]
    for key, entry in annotations.items():
        assert list(entry) == ANNOTATION_FIELDS
        assert entry["bmd_matrixfilename"] == f"vid_idx{key}"
        assert entry["set"] == ("train" if int(key) <= 1000 else "test")
        assert len(set(entry["text_descriptions"])) == 5
        told = {json.dumps(read_attributes(c), sort_keys=True) for c in entry["text_descriptions"]}
        assert len(told) == 1
        assert json.loads(told.pop())["motion"] == entry["actions"][0][0]
        assert all(isinstance(answer, list) for answer in entry["objects"])


@pytest.mark.parametrize(("split", "repeats"), [("train", 3), ("test", 2)])
def test_events_show_every_clip_as_often_as_there_are_repeats(root, split, repeats):
    shown, odd, trials = Counter(), 0, 0
    for _, table in events(root, "01", split):
        assert list(table) == ["onset", "duration", "stim_file", "trial_type", "value"]
        assert set(table["trial_type"]) <= {split, "oddball"}
        assert (table["duration"] == 3.0).all() and (np.abs(np.diff(table["onset"]) - 4.002) < 1e-6).all()
        is_odd = table["trial_type"] == "oddball"
        assert ((table["stim_file"] == "n/a") == is_odd).all()
        shown.update(table["stim_file"][~is_odd])
        odd, trials = odd + is_odd.sum(), trials + len(table)
    assert all((root / "stimuli" / name).exists() for name in shown)
    assert set(shown.values()) == {repeats}
    assert len(shown) == {"train": 40, "test": 4}[split]
    assert odd == 0 or 0.15 < odd / trials < 0.35


@pytest.mark.parametrize(("split", "shape", "first"), [("train", (40, 3), 1), ("test", (4, 2), 1001)])
def test_organized_betas_are_a_tuple_of_float64_and_names(root, split, shape, first):
    content = load(root, "01", f"organized_betas_task-{split}_normalized")
    assert type(content) is tuple and len(content) == 2
    array, order = content
    assert array.dtype == np.float64 and array.shape == (*shape, 91_282)
    assert order == [f"vid{first + i:04d}" for i in range(shape[0])]


def test_dead_vertices_are_nan_in_every_trial_and_some_lie_in_the_areas_decoded(root):
    for split in ("train", "test"):
        array, _ = load(root, "01", f"organized_betas_task-{split}_normalized")
        missing = np.isnan(array)
        dead = missing.any(axis=(0, 1))
        assert dead.sum() == 8 and missing[:, :, dead].all()
        assert dead[atlas.vertices("glasser41")].sum() == 2


def test_betas_are_normalised_by_the_train_trials_of_their_session(root):
    array, _ = load(root, "02", "organized_betas_task-train_normalized")
    repeat, sessions = Counter(), {}
    for session, table in events(root, "02", "train"):
        for name in table["stim_file"][table["trial_type"] == "train"]:
            clip = int(name[6:10]) - 1
            sessions.setdefault(session, []).append(array[clip, repeat[clip], :100])
            repeat[clip] += 1
    for trials in map(np.array, sessions.values()):
        alive = ~np.isnan(trials[0])
        assert np.abs(trials[:, alive].mean(axis=0)).max() < 1e-5
        assert trials[:, alive].std(axis=0, ddof=1) == pytest.approx(1, abs=1e-5)


def test_noise_ceilings_are_two_float64_vectors_per_number_of_trials(root):
    for split, repeats in (("train", 3), ("test", 2)):
        for trials in (1, repeats):
            ncsnr, ceiling = load(root, "01", f"noiseceiling_task-{split}_n-{trials}")
            assert ncsnr.dtype == ceiling.dtype == np.float64 and ncsnr.shape == ceiling.shape == (91_282,)
            assert np.nanmax(np.abs(ceiling - 100 * ncsnr**2 / (ncsnr**2 + 1 / trials))) < 1e-9


def test_nothing_else_lies_in_the_tree(root):
    top = {"dataset_description.json", "README", "CHANGES", "participants.tsv", "participants.json"}
    top |= {"task-train_events.json", "task-test_events.json", "stimuli", "derivatives", "sub-01", "sub-02"}
    assert {p.name for p in root.iterdir()} == top | {"phantom", "phantom.json", "SIMULATED"}
    assert not list(root.rglob("*.partial"))
