"""index and parcellate on tiny studies: values, scales, counts, and refusals that leave nothing behind."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from brainflix import artifacts, atlas
from brainflix.datasets import ADAPTERS
from brainflix.errors import InputError
from brainflix.steps.index import index
from brainflix.steps.parcellate import parcellate
from tests.datasets import raw, studies

VERTICES = atlas.vertices("glasser41")


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Study by name, written when first asked for: (root, what was written, stimuli.tsv)."""
    made = {}

    def root(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            written = studies.WRITE[name](folder / "raw")
            made[name] = (folder / "raw", written, run_index(name, folder / "raw", folder / "stimuli.tsv"))
        return made[name]

    return root


def run_index(name, root, out):
    index(dataset=name, root=root, subjects=[studies.SUBJECT[name]], options=studies.OPTIONS[name], out=out)
    return out


def run(name, root, stimuli, out, **options):
    subjects, options = [studies.SUBJECT[name]], {**studies.OPTIONS[name], **options}
    parcellate(name=name, dataset=name, root=root, subjects=subjects, options=options, stimuli=stimuli, out=out)
    return artifacts.read(out, kind="responses")


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_dataset_becomes_the_same_kind_of_file(roots, tmp_path, name):
    root, _, stimuli = roots(name)
    samples = run(name, root, stimuli, tmp_path / "sub.h5", nan_share=0.05)
    assert samples.values.shape == (len(samples.rows), 13_156) and samples.values.dtype == np.float32
    assert np.isfinite(samples.values).all()
    assert (samples.axes, samples.unit) == (("vertex",), "z")
    assert samples.about["dataset"] == name and samples.about["subject"] == studies.SUBJECT[name]
    assert samples.about["space"] == "glasser41" and samples.about["simulated"] is False
    assert samples.about["vertices_sha256"] == atlas.sha256(VERTICES)
    assert set(samples.rows.columns) == {"stimulus", "split", "repeat", "run"}
    table = artifacts.read_table(stimuli, columns=["stimulus", "split"])
    assert set(samples.rows["stimulus"]) == (set(table["stimulus"]) or {"rest"})


def test_had_is_scaled_by_its_train_rows_alone(roots, tmp_path):
    root, betas, stimuli = roots("had")
    samples = run("had", root, stimuli, tmp_path / "sub.h5")
    train = (samples.rows["split"] == "train").to_numpy()
    data = np.concatenate([betas[1], betas[2]])[:, VERTICES].astype(float)
    expected = (data - data[train].mean(axis=0)) / data[train].std(axis=0, ddof=1)
    assert np.allclose(samples.values, expected, atol=1e-4)
    assert np.allclose(samples.values[train].mean(axis=0), 0, atol=1e-4)
    assert samples.about["normalisation"] == "z per vertex by the subject's train rows"


def test_no_test_row_reaches_the_scale_of_cc2017(roots, tmp_path):
    root, series, stimuli = roots("cc2017")
    before = run("cc2017", root, stimuli, tmp_path / "before.h5")
    other = shutil.copytree(root, tmp_path / "other", copy_function=lambda a, b: Path(b).symlink_to(a))
    path = next(other.rglob("test2_1_Atlas.dtseries.nii"))
    path.unlink()
    raw.write_series(path, series["test2"] * 2 + 7, step_seconds=2.0)
    after = run("cc2017", other, stimuli, tmp_path / "after.h5")
    changed = (before.rows["run"] == "test2_1").to_numpy()
    assert np.array_equal(before.values[~changed], after.values[~changed])
    assert not np.allclose(before.values[changed], after.values[changed])


def test_unusable_vertices_are_zeroed_and_counted(roots, tmp_path):
    root, _, stimuli = roots("bmd")
    samples = run("bmd", root, stimuli, tmp_path / "sub.h5")
    assert samples.about["nan_vertices"] == [4]  # grayordinates 53, 54, 60 and 61
    assert (samples.values[:, :2] == 0).all()
    trial = (samples.rows["stimulus"] == "0001") & (samples.rows["repeat"] == 2)
    assert samples.values[trial.to_numpy(), np.flatnonzero(VERTICES == 60)] == 0
    root, _, stimuli = roots("cc2017")
    samples = run("cc2017", root, stimuli, tmp_path / "sub-1.h5")
    assert samples.about["nan_vertices"] == [1] and (samples.values[:, 0] == 0).all()


@pytest.mark.parametrize("normalisation", ["paper", "official"])
def test_other_scales_of_cc2017_are_recorded(roots, tmp_path, normalisation):
    root, _, stimuli = roots("cc2017")
    samples = run("cc2017", root, stimuli, tmp_path / "sub.h5", normalisation=normalisation)
    assert "run" in samples.about["normalisation"]
    rows = (samples.rows["run"] == "test1_1").to_numpy()
    assert np.allclose(samples.values[rows, 1:].std(axis=0, ddof=1), 1, atol=1e-3)


def test_a_shard_holds_its_subjects_one_after_the_other(roots, tmp_path):
    root, _, stimuli = roots("hcp")
    both = shutil.copytree(root, tmp_path / "two")
    shutil.copytree(both / "100307", both / "100206")
    options = {"name": "hcp", "dataset": "hcp", "root": both, "options": studies.HCP, "stimuli": stimuli}
    parcellate(subjects=["100206", "100307"], out=tmp_path / "shard.h5", **options)
    shard = artifacts.read(tmp_path / "shard.h5", kind="responses")
    one = run("hcp", root, stimuli, tmp_path / "one.h5")
    assert np.array_equal(shard.values, np.concatenate([one.values, one.values]))
    assert shard.rows["run"].str.split("/").str[0].unique().tolist() == ["100206", "100307"]


def test_a_subject_listed_twice_is_refused(roots, tmp_path):
    root, _, stimuli = roots("hcp")
    options = {"name": "hcp", "dataset": "hcp", "root": root, "options": studies.HCP, "stimuli": stimuli}
    with pytest.raises(InputError, match="subjects: expected each once, found 100307 twice"):
        parcellate(subjects=["100307", "100206", "100307"], out=tmp_path / "shard.h5", **options)


def test_every_run_has_a_row_of_quality(roots, tmp_path):
    root, _, stimuli = roots("hcp")
    copy = shutil.copytree(root, tmp_path / "raw")
    data = raw.noise((31, 91_282), seed=1)
    data[3, VERTICES[:2]], data[:, VERTICES[7]] = np.nan, 5
    path = next(copy.rglob("*REST2_RL*.nii"))
    raw.write_series(path, data, step_seconds=0.72)
    raw.write_series(next(copy.rglob("*REST1_LR*.nii")), data[:3], step_seconds=0.72)
    options = {**studies.HCP, "runs": ["REST1_LR", "REST1_RL", "REST2_RL"]}
    qc, out = tmp_path / "sub.qc.tsv", tmp_path / "sub.h5"
    parcellate(
        name="hcp", dataset="hcp", root=copy, subjects=["100307"], options=options, stimuli=stimuli, out=out, qc=qc
    )
    table = artifacts.read_table(qc, columns=["file", "tsnr"]).set_index("run")
    used = table.loc["100307/REST2_RL"]
    assert (used["volumes"], used["rows"], used["nan_vertices"], used["skipped"]) == (31, 3, 3, "")
    usable = np.setdiff1d(VERTICES, VERTICES[[0, 1, 7]])
    wanted = data[:, usable].astype(float)
    assert used["tsnr"] == pytest.approx(np.median(wanted.mean(axis=0) / wanted.std(axis=0)), rel=1e-6)
    assert copy / used["file"] == path
    short, missing = table.loc["100307/REST1_LR"], table.loc["100307/REST1_RL"]
    assert (short["volumes"], short["rows"]) == (3, 0) and "shorter than a window" in short["skipped"]
    assert np.isnan(missing["volumes"]) and missing["rows"] == 0 and missing["skipped"] == "no such file"
    assert not table["simulated"].any() and (table["subject"] == "100307").all()
    assert len(artifacts.read(out, kind="responses").rows) == 3


def test_a_file_that_comes_in_pieces_has_one_row_of_quality(roots, tmp_path):
    root, _, stimuli = roots("bmd")
    options = {"options": studies.BMD, "stimuli": stimuli, "out": tmp_path / "sub.h5", "qc": tmp_path / "qc.tsv"}
    parcellate(name="bmd", dataset="bmd", root=root, subjects=["01"], **options)
    table = artifacts.read_table(tmp_path / "qc.tsv", columns=["file", "nan_vertices"])
    assert table["rows"].tolist() == [8, 6]  # 4 clips twice, 2 clips three times
    assert table["nan_vertices"].tolist() == [4, 4]
    assert table["file"].is_unique


def test_a_full_disk_is_one_line_exit_code_1_and_nothing_half_written(roots, tmp_path):
    root, _, stimuli = roots("hcp")
    out = tmp_path / "out" / "sub.h5"
    # A limit on the size of files stands in for a full disk: the write fails after some of it was written.
    done = _command("hcp", root, stimuli, out, before="import resource; resource.setrlimit(1, (99_999, 99_999))")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and f"{out}: expected room for it on its disk" in done.stderr
    assert not list(out.parent.iterdir())


def test_the_mark_of_the_phantom_makes_a_file_simulated(roots, tmp_path):
    root, _, stimuli = roots("hcp")
    marked = shutil.copytree(root, tmp_path / "marked")
    (marked / "phantom.json").write_text("{}")
    assert run("hcp", marked, stimuli, tmp_path / "sub.h5").about["simulated"] is True


def test_the_same_raw_files_give_the_same_bytes(roots, tmp_path):
    root, _, stimuli = roots("bmd")
    for name in ("a.h5", "b.h5"):
        run("bmd", root, stimuli, tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_too_many_unusable_vertices_are_refused_with_the_file(roots, tmp_path):
    root, _, stimuli = roots("bmd")
    expected = r"train_normalized\.pkl: expected at most 0\.0% of the vertices NaN, infinite or constant, found"
    with pytest.raises(InputError, match=expected):
        run("bmd", root, stimuli, tmp_path / "sub.h5", nan_share=0.0001)
    assert not list(tmp_path.iterdir())


def _zeros(name, root):
    """The file that now holds zeros alone, as after a download that reserved its room and broke off."""
    pattern = {"bmd": "*task-test_normalized.pkl", "had": "*cycle-2_beta*", "cc2017": "test1_1_Atlas*"}[name]
    path = next(root.rglob(pattern))
    path.unlink()
    if name == "bmd":
        path.write_bytes(pickle.dumps((np.zeros((2, 3, 91_282)), ["vid1001", "vid1002"])))
    elif name == "had":
        raw.write_maps(path, np.zeros((180, 59_412), np.float32))
    else:
        raw.write_series(path, np.zeros((245, 91_282), np.float32), step_seconds=2.0)
    return path


@pytest.mark.parametrize("name", ["bmd", "had", "cc2017"])
def test_a_file_of_zeros_is_refused_by_name(roots, tmp_path, name):
    root, _, stimuli = roots(name)
    copy = shutil.copytree(root, tmp_path / "raw", copy_function=os.link)
    path = _zeros(name, copy)
    with pytest.raises(InputError, match=r"expected at most 5.0% of the vertices .* constant, found 100") as refused:
        run(name, copy, stimuli, tmp_path / "sub.h5")
    assert str(refused.value).startswith(str(path)) and not (tmp_path / "sub.h5").exists()


def test_a_missing_movie_is_refused_by_index(roots, tmp_path):
    root, _, _ = roots("bmd")
    copy = shutil.copytree(root, tmp_path / "copy")
    (copy / "stimuli/test/1002.mp4").unlink()
    with pytest.raises(InputError, match=r"expected 6 movies of bmd, found 1 missing, first .*1002\.mp4"):
        run_index("bmd", copy, tmp_path / "stimuli.tsv")
    assert not (tmp_path / "stimuli.tsv").exists()


def _truncate(root):
    path = next(root.rglob("*REST2_RL*.nii"))
    path.write_bytes(path.read_bytes()[:-1000])
    return "it is truncated"


def _remove(root):
    for path in root.rglob("*.dtseries.nii"):
        path.unlink()
    return "expected a run of at least 10 volumes, found 100307/REST1_LR: no such file; 100307/REST2_RL: no such file"


def _shorten(root):
    for path in root.rglob("*.dtseries.nii"):
        raw.write_series(path, np.zeros((3, 91_282), np.float32), step_seconds=0.72)
    return "REST2_RL: 3 volumes, shorter than a window of 10 volumes"


def _loop(root):
    path = next(root.rglob("*REST2_RL*.nii"))
    path.unlink()
    path.symlink_to(path)
    return "expected a readable CIFTI-2 file, found Too many levels of symbolic links"


def _empty(root):
    next(root.rglob("*REST2_RL*.nii")).write_bytes(b"")
    return "expected a CIFTI-2 file, found its end too early"


def _constant(root):
    data = raw.noise((20, 91_282), seed=0)
    data[:, :30_000] = 7
    raw.write_series(next(root.rglob("*REST2_RL*.nii")), data, step_seconds=0.72)
    return "of the vertices NaN, infinite or constant, found"


def _other_repetition_time(root):
    raw.write_series(next(root.rglob("*REST2_RL*.nii")), raw.noise((20, 91_282), seed=0), step_seconds=2.0)
    return "expected a repetition time of 0.72 s, found 2.0 s"


def _cortex_only(root):
    axis = raw.brain_models(subcortex=0)
    data = np.zeros((20, 59_412), np.float32)
    raw.write_series(next(root.rglob("*REST2_RL*.nii")), data, step_seconds=0.72, axis=axis)
    return "expected 91,282 grayordinates, found 59,412"


def _infinite(root):
    data = raw.noise((20, 91_282), seed=0)
    data[3, :30_000] = np.inf
    raw.write_series(next(root.rglob("*REST2_RL*.nii")), data, step_seconds=0.72)
    return "of the vertices NaN, infinite or constant, found"


def _nan(root):
    data = raw.noise((20, 91_282), seed=0)
    data[3, :30_000] = np.nan
    raw.write_series(next(root.rglob("*REST2_RL*.nii")), data, step_seconds=0.72)
    return "of the vertices NaN, infinite or constant, found"


@pytest.mark.parametrize(
    "damage",
    [_truncate, _empty, _remove, _shorten, _loop, _cortex_only, _nan, _infinite, _constant, _other_repetition_time],
)
def test_bad_series_are_one_line_exit_code_1_and_nothing_half_written(roots, tmp_path, damage):
    root, _, stimuli = roots("hcp")
    copy = shutil.copytree(root, tmp_path / "raw")
    complaint = damage(copy)
    out = tmp_path / "responses" / "sub.h5"
    done = _command("hcp", copy, stimuli, out)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "REST2_RL" in done.stderr and complaint in done.stderr
    assert not out.parent.exists() or not list(out.parent.iterdir())


def test_a_malicious_pickle_is_one_line_and_exit_code_1(roots, tmp_path):
    root, _, stimuli = roots("bmd")
    copy = shutil.copytree(root, tmp_path / "raw")
    path = next(copy.rglob("*task-test_normalized.pkl"))
    path.write_bytes(pickle.dumps(print))
    done = _command("bmd", copy, stimuli, tmp_path / "out" / "sub.h5")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "found a call of builtins.print: refused" in done.stderr
    assert not list((tmp_path / "out").iterdir())


def _command(name, root, stimuli, out, before=""):
    command = [
        sys.executable,
        "-c",
        f"{before}\nfrom brainflix.cli import main; main()",
        "parcellate",
        "--name",
        name,
        "--dataset",
        name,
        "--root",
        str(root),
    ]
    command += ["--subjects", studies.SUBJECT[name], "--options", json.dumps(studies.OPTIONS[name])]
    command += ["--stimuli", str(stimuli), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True)
