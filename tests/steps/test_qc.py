"""Quality control of a simulated study: the estimates match the answer that was written beside the data."""

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from brainflix import artifacts, atlas, brainmaps
from brainflix.datasets.base import Responses, rows_table
from brainflix.errors import InputError
from brainflix.steps.index import index
from brainflix.steps.qc import qc
from brainflix.steps.reliability import reliability
from brainflix.steps.stack import stack
from brainflix.steps.synthesize import synthesize
from tests.conftest import phantom_settings

OPTIONS = {
    "betas": "versionB",
    "glm": None,
    "train_clips": 40,
    "test_clips": 4,
    "train_repeats": 3,
    "test_repeats": 2,
    "nan_share": 0.05,
}
DECODED = atlas.vertices("glasser41")


@pytest.fixture(scope="module")
def study(phantom_root, tmp_path_factory):
    """Reliability of both subjects of the simulated BMD study."""
    folder, root = tmp_path_factory.mktemp("qc"), phantom_root("bmd")
    source = {"dataset": "bmd", "root": root, "options": OPTIONS}
    index(**source, subjects=["01", "02"], out=folder / "stimuli.tsv")
    for subject in ("01", "02"):
        out = folder / f"sub-{subject}.h5"
        reliability(**source, name="bmd", subjects=[subject], stimuli=folder / "stimuli.tsv", out=out)
    return folder


@pytest.fixture(scope="module")
def looked_at(study):
    """Table, maps and a picture reduced to one view, of both subjects."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(brainmaps, "VIEWS", brainmaps.VIEWS[4:5])
        for subject, other in (("01", "02"), ("02", "01")):
            qc(
                reliability=study / f"sub-{subject}.h5",
                others=[study / f"sub-{other}.h5"],
                out=study / f"qc-{subject}.csv",
                maps=study / f"qc-{subject}.dscalar.nii",
                figure=study / f"qc-{subject}.png",
            )
    return study


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """A study with the number of clips of the demo, and its reliability."""
    root = tmp_path_factory.mktemp("larger") / "bmd"
    counts = {"train_clips": 240, "train_repeats": 3, "test_clips": 48, "test_repeats": 5}
    smooth = {"tuning_smoothing": 30, "modes": 48, "mode_smoothing": 100}
    settings = phantom_settings("bmd", subjects=("01",), counts=counts, **smooth)
    synthesize(dataset="bmd", root=root, settings=settings, seed=0)
    source = {"dataset": "bmd", "root": root, "subjects": ["01"], "options": OPTIONS | counts}
    index(**source, out=root / "stimuli.tsv")
    reliability(**source, name="bmd", stimuli=root / "stimuli.tsv", out=root / "sub-01.h5")
    return root


def truth(phantom_root, subject):
    path = phantom_root("bmd") / "phantom" / f"truth-sub-{subject}.safetensors"
    return artifacts.load_weights(path, kind="phantom-truth")[0]


def statistic(study, subject, split, name):
    samples = artifacts.read(study / f"sub-{subject}.h5", kind="reliability")
    rows = samples.rows
    return samples.values[((rows["split"] == split) & (rows["statistic"] == name)).to_numpy()]


def areas(values):
    return np.array([np.nanmean(values[DECODED[columns]]) for columns in atlas.roi_slices("glasser41").values()])


def check_against_truth(found, true, *, correlation, slope):
    """Estimate against truth: over vertices of the 41 areas, and over the areas' means (r > .97)."""
    alive = DECODED[np.isfinite(found[DECODED])]
    assert np.corrcoef(true[alive], found[alive])[0, 1] > correlation
    assert np.polyfit(true[alive], found[alive], 1)[0] == pytest.approx(1, abs=slope)
    assert np.corrcoef(areas(true), areas(found))[0, 1] > 0.97
    assert np.polyfit(areas(true), areas(found), 1)[0] == pytest.approx(1, abs=slope)


@pytest.mark.parametrize("subject", ["01", "02"])
def test_the_noise_ceiling_is_the_written_truth(study, phantom_root, subject):
    """40 clips, 3 repeats: r > .8, slope 1 +- .2."""
    found = statistic(study, subject, "train", "ncsnr")[0]
    check_against_truth(found, truth(phantom_root, subject)["ncsnr_train"], correlation=0.8, slope=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("split, correlation", [("train", 0.92), ("test", 0.88)])
def test_the_noise_ceiling_of_a_larger_study_is_the_written_truth(larger, split, correlation):
    """240 clips, 3 repeats: r > .92; 48 clips, 5 repeats: r > .88; slope 1 +- .06."""
    path = larger / "phantom" / "truth-sub-01.safetensors"
    true = artifacts.load_weights(path, kind="phantom-truth")[0][f"ncsnr_{split}"]
    check_against_truth(statistic(larger, "01", split, "ncsnr")[0], true, correlation=correlation, slope=0.06)


def test_repeat_reliability_is_what_the_truth_predicts(study, phantom_root):
    """Means of two and of one of three presentations correlate by s2 / sqrt((s2 + n2 / 2) (s2 + n2))."""
    s2 = np.square(truth(phantom_root, "01")["ncsnr_train"].astype(float))
    expected = s2 / np.sqrt((s2 + 1 / 2) * (s2 + 1))
    found = statistic(study, "01", "train", "split-half")[0]
    assert areas(found) == pytest.approx(areas(expected), abs=0.06)
    assert np.corrcoef(areas(found), areas(expected))[0, 1] > 0.97


def test_intersubject_correlation_is_what_the_truth_predicts(looked_at, phantom_root):
    """Correlation of the true signals, weakened by the noise in both subjects' means."""
    features = artifacts.read(phantom_root("bmd") / "phantom" / "features.h5", kind="features").values[:40]
    expected, signals = 1.0, []
    for subject in ("01", "02"):
        true = truth(phantom_root, subject)
        signal = true["tuning"].astype(np.float32) @ features.T
        signals.append((signal - signal.mean(axis=1, keepdims=True)) / signal.std(axis=1, keepdims=True))
        s2 = np.square(true["ncsnr_train"].astype(float))
        expected = expected * np.sqrt(s2 / (s2 + 1 / 3))
    expected = expected * (signals[0] * signals[1]).mean(axis=1)
    table = pd.read_csv(looked_at / "qc-01.csv", dtype={"subject": str})
    chosen = (table["split"] == "train") & (table["measure"] == "intersubject")
    found = table[chosen].set_index("area")["mean"][list(atlas.roi_slices("glasser41"))].to_numpy()
    assert np.corrcoef(found, areas(expected))[0, 1] > 0.9
    assert found.mean() == pytest.approx(areas(expected).mean(), abs=0.03)


def test_means_are_those_of_the_betas(study, phantom_root):
    import pickle

    folder = phantom_root("bmd") / "derivatives/versionB/fsLR32k/GLM/sub-01/prepared_betas"
    betas, _ = pickle.loads((folder / "sub-01_organized_betas_task-test_normalized.pkl").read_bytes())
    found = statistic(study, "01", "test", "mean")
    assert found == pytest.approx(betas[:, :, : atlas.CORTEX].mean(axis=1), abs=1e-5, nan_ok=True)


def test_ours_agrees_with_what_the_authors_published(looked_at):
    table = pd.read_csv(looked_at / "qc-01.csv", dtype={"subject": str})
    agreement = table[table["measure"] == "ncsnr agreement"]
    assert set(agreement["area"]) >= {"V1", "all areas", "cortex"} and (agreement["mean"] > 0.9999).all()


def test_the_table_has_every_area_split_and_measure(looked_at):
    table = pd.read_csv(looked_at / "qc-01.csv", dtype={"subject": str})
    assert len(table) == 43 * 2 * 6 and not table.isna().any(axis=None)
    assert table["simulated"].all() and set(table["subject"]) == {"01"}
    v1 = table[(table["area"] == "V1") & (table["measure"] == "ncsnr") & (table["split"] == "train")].iloc[0]
    assert (v1["stimuli"], v1["repeats"]) == (40, 3) and 1600 < v1["vertices"] <= 1618


def test_maps_open_in_any_viewer(looked_at):
    image = nib.load(looked_at / "qc-01.dscalar.nii")
    names, models = (image.header.get_axis(i) for i in (0, 1))
    assert image.shape == (10, atlas.CORTEX) and "test: noise ceiling" in names.name
    left, right = (model.vertex for _, _, model in models.iter_structures())
    expected = atlas.cortex_vertices()
    assert np.array_equal(left, expected[0]) and np.array_equal(right, expected[1])


def test_tables_of_subjects_are_stacked(looked_at):
    stack(tables=[looked_at / "qc-01.csv", looked_at / "qc-02.csv"], out=looked_at / "qc.csv")
    table = pd.read_csv(looked_at / "qc.csv", dtype={"subject": str})
    assert set(table["subject"]) == {"01", "02"} and len(table) == 2 * 43 * 2 * 6


def test_the_picture_is_painted(looked_at):
    from matplotlib.image import imread

    picture = imread(looked_at / "qc-01.png")[..., :3]
    coloured = np.ptp(picture, axis=2) > 0.2
    assert 0.005 < coloured.mean() < 0.5


def test_real_and_simulated_subjects_are_not_compared(study, tmp_path):
    samples = artifacts.read(study / "sub-02.h5", kind="reliability")
    about = {**samples.about, "simulated": False}
    artifacts.write(tmp_path / "real.h5", artifacts.Samples(**{**vars(samples), "about": about}))
    with pytest.raises(InputError, match="disagree on 'simulated'"):
        qc(
            reliability=study / "sub-01.h5",
            others=[tmp_path / "real.h5"],
            out=tmp_path / "a.csv",
            maps=tmp_path / "a.dscalar.nii",
            figure=tmp_path / "a.png",
        )
    assert not (tmp_path / "a.csv").exists()


def test_a_dataset_that_repeats_nothing_is_refused(study, monkeypatch, tmp_path):
    rows = rows_table([("a", "train", 1, "run-1"), ("b", "train", 1, "run-1")])
    found = Responses(rows=rows, blocks=[], normalisation="z", by_train_rows=False, nan_share=0.05)
    fake = SimpleNamespace(responses=lambda **_: found)
    monkeypatch.setattr("brainflix.steps.reliability.adapter", lambda name: fake)
    with pytest.raises(InputError, match="once, subject 01: expected stimuli that were shown more than once"):
        reliability(
            name="once",
            dataset="bmd",
            root=tmp_path,
            subjects=["01"],
            options={},
            stimuli=study / "stimuli.tsv",
            out=tmp_path / "a.h5",
        )
