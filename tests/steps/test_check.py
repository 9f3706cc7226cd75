"""brainflix check: what is there, what is missing and how it comes, what is wrong, and in which form it is said."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from brainflix import datasets
from brainflix.errors import InputError
from brainflix.steps.check import check
from tests.datasets import raw, studies

ROOT = Path(__file__).parents[2]
NAMES = list(datasets.ADAPTERS)
FAKE_AWS = """#!/bin/sh
# aws s3 cp and sync --exclude '*' --include NAME ..., from a folder that plays all buckets.
set -eu
IFS=  # names have spaces
[ "$1 $3" = "s3 --no-sign-request" ]
verb=$2 there={bucket}/${{4#s3://}} here=$5
shift 5
if [ $verb = cp ]; then mkdir -p "${{here%/*}}"; cp "$there" "$here"; exit; fi
[ "$1 $2" = "--exclude *" ]
shift 2
mkdir -p "$here"
while [ $# -gt 0 ]; do cp "$there"/$2 "$here"; shift 2; done
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A function from a dataset to a complete tiny study, movies included, written once."""
    made = {}

    def study(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name) / "raw"
            studies.WRITE[name](made[name])
            movie = raw.write_movie(tmp_path_factory.mktemp("movie") / "a.mp4", raw.numbered(5), fps=15)
            for empty in made[name].rglob("*.mp4"):
                shutil.copy(movie, empty)
        return made[name]

    return study


@pytest.fixture
def copy(whole, tmp_path):
    """A function from a dataset to a copy of its study that a test may damage."""
    return lambda name: Path(shutil.copytree(whole(name), tmp_path / name, copy_function=os.link))


def own(path):
    """The file, no longer shared with the study it was copied from."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    return path


def overlay(name, root, path, **changes):
    entry = {"root": str(root), "subjects": [studies.SUBJECT[name]], "evaluate": [], "options": studies.OPTIONS[name]}
    path.write_text(yaml.safe_dump({"datasets": {name: {**entry, "captioner": "eilev", **changes}}}))
    return path


def run(name, root, tmp_path, capsys, **flags):
    """What check says of one dataset: (report, error or None); with ``fetch_plan`` the script."""
    configfile = overlay(name, root, tmp_path / "overlay.yaml")
    error = None
    try:
        check(configfile=[configfile], only=[name], paper=ROOT / "config/paper.yaml", **{"json": True, **flags})
    except InputError as raised:
        error = str(raised)
    out = capsys.readouterr().out
    return (json.loads(out)["datasets"][name] if flags.get("json", True) else out), error


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_study_is_right(name, whole, tmp_path, capsys):
    root = whole(name)
    report, error = run(name, root, tmp_path, capsys)
    assert error is None and report["ok"]
    assert (report["missing"], report["problems"]) == ([], [])
    module, ask = datasets.adapter(name), {"root": root, "options": studies.OPTIONS[name]}
    files = set(module.response_files(subject=studies.SUBJECT[name], **ask))
    stimuli = module.stimuli(subjects=[studies.SUBJECT[name]], **ask)
    files |= set(module.raw_files(subjects=[studies.SUBJECT[name]], **ask)) | set(map(Path, stimuli["path"]))
    assert sum(report["found"].values()) == len(files)
    assert report["bytes"] == sum(file.stat().st_size for file in files)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_is_told_with_licence_and_origin(name, tmp_path, capsys):
    text, error = run(name, tmp_path / "none", tmp_path, capsys, json=False)
    facts = datasets.adapter(name).FACTS
    for part in ("found    nothing", "missing", facts.licence, facts.homepage, datasets.adapter(name).SOURCES[0].url):
        assert part in text
    assert error == f"raw data: expected all that is needed, found {name} incomplete or wrong"


@pytest.mark.parametrize("name", NAMES)
def test_each_response_file_is_missed_by_name(name, whole, copy, tmp_path, capsys):
    root, ask = copy(name), {"options": studies.OPTIONS[name]}
    files = datasets.adapter(name).response_files(root=root, subject=studies.SUBJECT[name], **ask)
    for file in files:
        file.rename(tmp_path / "aside")
        report, error = run(name, root, tmp_path, capsys)
        (tmp_path / "aside").rename(file)
        gone = str(file.relative_to(root))
        if name == "hcp":  # does with the runs it has
            assert error is None and report["absent"][0].split("/")[3] == gone.split("/")[3]
            continue
        assert error and report["missing"] == [gone] and report["problems"] == []
        assert report["fetch"][0]["files"] == 1 and report["without_source"] == []


class Malicious:
    def __reduce__(self):
        return os.system, ("true",)


def text(edit):
    return lambda path: path.write_text(edit(path.read_text()))


def loop(path):
    path.unlink()
    path.symlink_to(path)


def series(volumes, step_seconds):
    return lambda path: raw.write_series(path, np.zeros((volumes, 91_282), np.float32), step_seconds=step_seconds)


def folder(path):
    path.unlink()
    path.mkdir()


FOUR_CAPTIONS = json.dumps({"0001": {"text_descriptions": ["a"] * 4}})
# What is done to which file of which study, and what has to be said of it.
DAMAGES = {
    "a truncated series": ("cc2017", "seg1_1_*.nii", lambda p: os.truncate(p, 10**7), "it is truncated"),
    "another repetition time": ("hcp", "*REST1_LR_*.nii", series(25, 1.4), "repetition time of 0.72 s, found 1.4"),
    "another number of volumes": ("cc2017", "seg1_1_*.nii", series(240, 2.0), "245 or 246 volumes, found 240"),
    "cortex alone": ("hcp", "*REST1_LR_*.nii", lambda p: raw.write_maps(p, np.zeros((9, 59_412))), "59,412"),
    "a malicious pickle": ("bmd", "*test_norm*.pkl", lambda p: p.write_bytes(pickle.dumps(Malicious())), "refused"),
    "a truncated pickle": ("bmd", "*task-train_normalized.pkl", lambda p: os.truncate(p, 10**6), "truncated"),
    "a truncated movie": ("bmd", "0001.mp4", lambda p: os.truncate(p, p.stat().st_size // 2), "a whole movie"),
    "an empty movie": ("cc2017", "test1.mp4", lambda p: p.write_bytes(b""), "found an empty one"),
    "a folder without pictures": ("bmd", "0002.mp4", folder, "a file, or pictures of a clip, found a folder without"),
    "four captions": (
        "bmd",
        "annotations.json",
        lambda p: p.write_text(FOUR_CAPTIONS),
        "captions of clip 0001, found 4",
    ),
    "an unknown class": (
        "had",
        "*run-01_events.tsv",
        text(lambda t: re.sub(r"\t\d+\.0\t", "\t181.0\t", t)),
        "found 181.0",
    ),
    "events out of order": (
        "had",
        "*run-01_events.tsv",
        text(lambda t: "\n".join([t.splitlines()[0], *t.splitlines()[:0:-1]]) + "\n"),
        "rising onsets",
    ),
    "no UTF-8": ("had", "*run-02_events.tsv", lambda p: p.write_bytes(b"onset\xff\n"), "not UTF-8"),
    "contradicting labels": (
        "had",
        "*cycle-1_label.txt",
        text(lambda t: "\n".join(t.splitlines()[::-1])),
        "as in the events",
    ),
    "a loop of links to betas": ("bmd", "*task-train*.pkl", loop, "Too many levels of symbolic links"),
    "a loop of links to events": ("had", "*run-01_events.tsv", loop, "Too many levels of symbolic links"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_damage_is_one_sentence_that_names_the_file(case, copy, tmp_path, capsys):
    name, pattern, damage, sentence = DAMAGES[case]
    root = copy(name)
    damage(own(next(root.rglob(pattern))))
    report, error = run(name, root, tmp_path, capsys)
    assert error is not None and not report["ok"]
    assert any(sentence in problem and str(root) in problem for problem in report["problems"]), report["problems"]
    assert not any("\n" in problem for problem in report["problems"])


def test_the_folder_in_cc2017s_archives_may_be_the_root(copy, tmp_path, capsys):
    root = copy("cc2017") / "video_fmri_dataset"
    (root / "stimuli/test2.mp4").unlink()
    report, error = run("cc2017", root, tmp_path, capsys)
    assert error and (report["missing"], report["without_source"]) == (["video_fmri_dataset/stimuli/test2.mp4"], [])
    assert report["fetch"][0]["commands"][-1].endswith(f"-d {root.parent}") and report["state"] == "real"
    (root.parent / "phantom.json").touch()
    assert run("cc2017", root, tmp_path, capsys)[0]["state"] == "simulated"
    assert datasets.is_simulated(root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_a_sentence(copy, tmp_path, capsys):
    root = copy("cc2017")
    own(next(root.rglob("seg1_1_Atlas.dtseries.nii"))).chmod(0)
    report, error = run("cc2017", root, tmp_path, capsys)
    assert error and "Permission denied" in report["problems"][0]


def test_the_fetch_plan_brings_what_is_missing_and_nothing_else(whole, tmp_path, capsys):
    """Run as a user would, with a program in place of aws; class folders and the root have spaces."""
    bucket, root = tmp_path / "buckets", tmp_path / "my data"
    shutil.copytree(whole("had"), bucket / "openneuro.org/ds004488", copy_function=os.link)
    (bucket / "openneuro.org/ds004488/sub-01/ses-action01/func/sub-01_T1w.nii").write_text("not asked for")
    aws = tmp_path / "bin/aws"
    aws.parent.mkdir()
    aws.write_text(FAKE_AWS.format(bucket=bucket))
    aws.chmod(0o755)
    for movies_known in (False, True):
        script, error = run("had", root, tmp_path, capsys, json=False, fetch_plan=True)
        assert error is None and ("check again" in script) is not movies_known
        environment = {**os.environ, "PATH": f"{aws.parent}:{os.environ['PATH']}"}
        subprocess.run(["sh"], input=script, text=True, check=True, env=environment)
    report, error = run("had", root, tmp_path, capsys)
    assert error is None and report["ok"]
    assert not list(root.rglob("*T1w*"))
    script, _ = run("had", root, tmp_path, capsys, json=False, fetch_plan=True)
    assert "aws s3" not in script


def test_the_demo_lacks_nothing_as_it_brings_its_own_data(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(configfile=[ROOT / "config/demo.yaml"], paper=ROOT / "config/paper.yaml")
    assert capsys.readouterr().out.count("will be simulated") == 4


def test_a_dataset_that_is_not_in_the_config_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"--only: expected one of .*bmd.*, found eeg"):
        check(only=["eeg"], paper=ROOT / "config/paper.yaml")


@pytest.mark.parametrize("content", ["- a list", "{unclosed", "treads: 3", "datasets: {bmd: {options: {colour: 1}}}"])
def test_a_wrong_config_is_refused_before_anything_is_looked_at(tmp_path, content, capsys):
    path = tmp_path / "overlay.yaml"
    path.write_text(content)
    with pytest.raises(InputError):
        check(configfile=[path], paper=ROOT / "config/paper.yaml")
    assert capsys.readouterr().out == ""


def test_the_command_ends_with_one_line_and_exit_code_1(tmp_path):
    command = [sys.executable, "-m", "brainflix.cli", "check", "--json", "--paper", str(ROOT / "config/paper.yaml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert done.returncode == 1 and report["ok"] is False
    assert {name for name, entry in report["datasets"].items() if entry["needed"]} == {"bmd", "had", "cc2017", "hcp"}
    assert done.stderr.startswith("brainflix: raw data: expected") and done.stderr.count("\n") == 1
