"""HAD: betas by action, clips by label and events, four test splits."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from brainflix import atlas
from brainflix.datasets import had as adapter
from brainflix.errors import InputError
from tests.datasets import studies

VERTICES = atlas.vertices("glasser41")


def read(root, **options):
    options = {**studies.HAD, **options}
    table = adapter.stimuli(root=root, subjects=["01"], options=options)
    return adapter.responses(root=root, subject="01", stimuli=table, options=options, vertices=VERTICES)


@pytest.fixture
def copy(had, tmp_path):
    """A copy whose text may be damaged; betas are linked."""
    root, _ = had
    return shutil.copytree(root, tmp_path / "copy", copy_function=lambda a, b: _link_or_copy(Path(a), Path(b)))


def _link_or_copy(source, target):
    if source.suffix in (".nii", ".mp4"):
        target.symlink_to(source)
    else:
        shutil.copy(source, target)


def test_rows_are_cycles_of_actions_in_order(had):
    root, betas = had
    responses = read(root)
    blocks = list(responses.blocks)
    for cycle, block in zip((1, 2), blocks, strict=True):
        assert np.array_equal(block.values, betas[cycle][:, VERTICES])
    expected = [Path(studies.had_clip(action, cycle)).stem for cycle in (1, 2) for action in range(1, 181)]
    assert responses.rows["stimulus"].tolist() == expected
    assert responses.rows["run"].tolist() == ["cycle-1"] * 180 + ["cycle-2"] * 180
    assert responses.by_train_rows


def test_names_with_spaces_survive(had):
    root, _ = had
    table = adapter.stimuli(root=root, subjects=["01"], options=studies.HAD)
    expected = "stimuli/Action-46 of many/v_Action-46 of many_id_-x46c1_start_1.0_label_1.mp4"
    assert table["path"][45] == str(root / expected)
    assert all(Path(path).exists() for path in table["path"])


def test_the_seeded_split_holds_out_one_clip_of_every_action(had):
    rows = read(had[0]).rows
    action = np.tile(np.arange(180), 2)
    held_out = action[rows["split"] == "test"]
    assert sorted(held_out) == list(range(180))
    cycles = rows["run"][rows["split"] == "test"].value_counts()
    assert 60 < cycles["cycle-1"] < 120  # drawn, not one cycle
    assert rows["split"].tolist() == read(had[0]).rows["split"].tolist()
    assert rows["split"].tolist() != read(had[0], split_seed=1).rows["split"].tolist()


def _rename(root, source, target):
    """Rename a clip everywhere, as if it had been published under another name."""
    for path in [*root.rglob("*_events.tsv"), *root.rglob("*_label.txt")]:
        path.write_text(path.read_text().replace(source, target))
    movie = next(root.rglob(source))
    movie.rename(movie.with_name(target))


@pytest.mark.parametrize(("second", "split"), [("1.5", "overlap"), ("3.5", "overlap"), ("3.6", "train")])
def test_a_clip_that_shares_frames_with_a_test_clip_is_no_training_clip(copy, second, split):
    """Action 9 of cycle 2 is cut from the video of action 4 of cycle 1, which is held out and begins at 1 s."""
    name = f"v_Action-9 of many_id_-x4c1_start_{second}_label_1.mp4"
    _rename(copy, Path(studies.had_clip(9, 2)).name, name)
    rows = read(copy, split="released-json").rows
    found = dict(zip(rows["stimulus"], rows["split"], strict=True))
    assert found.pop(Path(name).stem) == split
    assert set(found.values()) == {"train", "test"} and list(found.values()).count("test") == 180


def test_the_released_split_holds_out_the_first_cycle(had):
    rows = read(had[0], split="released-json").rows
    assert set(rows["run"][rows["split"] == "test"]) == {"cycle-1"}
    assert (rows["split"] == "test").sum() == 180


def test_the_path_list_split_reads_the_authors_list(copy):
    listed = [Path(studies.had_clip(action, 2)).name for action in (3, 9)]
    (copy / "had_test_set_video_paths.json").write_text(json.dumps([*listed, "v_another subject.mp4"]))
    rows = read(copy, split="path-list").rows
    assert rows["stimulus"][rows["split"] == "test"].tolist() == [Path(name).stem for name in listed]
    assert copy / "had_test_set_video_paths.json" in adapter.raw_files(
        root=copy, subjects=["01"], options={**studies.HAD, "split": "path-list"}
    )
    (copy / "had_test_set_video_paths.json").write_text("{}")
    with pytest.raises(InputError, match=r"had_test_set_video_paths\.json: expected a JSON list"):
        read(copy, split="path-list")


def test_both_published_forms_of_the_events_are_read(tmp_path):
    studies.write_had(tmp_path, newer=False)
    assert len(read(tmp_path).rows) == 360


def _edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def test_a_label_that_contradicts_the_events_is_refused(copy):
    path = next(copy.rglob("*cycle-2_label.txt"))
    lines = path.read_text().split("\n")
    lines[4], lines[5] = lines[5], lines[4]
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"cycle-2_label\.txt, line 5: expected v_Action-5 .* as in the events"):
        read(copy)


def test_a_missing_label_line_is_refused(copy):
    path = next(copy.rglob("*cycle-1_label.txt"))
    path.write_text("\n".join(path.read_text().split("\n")[:100]))
    with pytest.raises(InputError, match=r"label\.txt: expected 180 clip names, found 100"):
        read(copy)


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("\t7.0\t", "\t8.0\t", "expected action 8 once a cycle, found it twice"),
        ("\t7.0\t", "\t0.0\t", "expected trial_type 1 to 180, found 0.0"),
        ("\t7.0\t", "\t181.0\t", "expected trial_type 1 to 180, found 181.0"),
        ("\t7.0\t", "\tn/a\t", "expected trial_type 1 to 180, found n/a"),
        ("\t7.0\t", "\t7.5\t", r"expected trial_type 1 to 180, found 7\.5"),
    ],
)
def test_events_that_cannot_be_are_refused(copy, before, after, complaint):
    runs = sorted(copy.rglob("*run-0[123]_events.tsv"))
    path = next(run for run in runs if before in run.read_text())
    _edit(path, before, after)
    with pytest.raises(InputError, match=rf"_events\.tsv: {complaint}"):
        read(copy)


def test_an_event_after_the_last_volume_is_refused(copy):
    """Runs last 312 s, onsets count from 12 s on."""
    path = next(copy.rglob("*run-02_events.tsv"))
    lines = path.read_text().rstrip("\n").split("\n")
    lines[-1] = "301.0\t" + lines[-1].split("\t", 1)[1]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"run-02_events\.tsv: expected onsets from 0 s to .* at 300 s, found 301 s"):
        read(copy)


def test_a_short_run_is_refused(copy):
    path = next(copy.rglob("*run-02_events.tsv"))
    path.write_text("\n".join(path.read_text().split("\n")[:31]) + "\n")
    with pytest.raises(InputError, match=r"run-02_events\.tsv: expected 60 events, found 30"):
        read(copy)


def test_published_file_names_are_padded_only_where_they_are(tmp_path):
    options = {"cycles": 4, "split": "mosaic", "split_seed": 0, "glm": None, "nan_share": 0.05}
    names = [p.name for p in adapter.response_files(root=tmp_path, subject="30", options=options)]
    assert "ses-action01_task-action_cycle-4_beta.dscalar.nii" in names
    assert "sub-30_ses-action01_task-action_run-01_events.tsv" in names
    assert len(adapter.raw_files(root=tmp_path, subjects=["30"], options=options)) == 12
