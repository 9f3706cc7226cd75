"""Where files come from: every file that can be missing has a source, and the commands say so exactly."""

import shlex
from pathlib import Path

import pytest

from brainflix import datasets
from brainflix.datasets.sources import Source, plan
from tests.datasets import studies

ROOT = Path("/data/my study")
BUCKET = Source("a/*.nii", "s3://bucket/ds", "public", 10)


@pytest.mark.parametrize("name", list(datasets.ADAPTERS))
def test_everything_that_can_be_missing_has_a_source(name, tmp_path):
    module, subject, options = datasets.adapter(name), studies.SUBJECT[name], studies.OPTIONS[name]
    files = module.raw_files(root=tmp_path, subjects=[subject], options=options)
    files += module.response_files(root=tmp_path, subject=subject, options=options)
    missing = {str(file.relative_to(tmp_path)) for file in files}
    assert sum(fetch.files for fetch in plan(tmp_path, missing, module.SOURCES)) == len(missing)


def test_the_authors_own_betas_of_bmd_have_a_source_too(tmp_path):
    options = {**studies.OPTIONS["bmd"], "betas": "group41"}
    module = datasets.adapter("bmd")
    (file,) = module.response_files(root=tmp_path, subject="01", options=options)
    (fetch,) = plan(tmp_path, [str(file.relative_to(tmp_path))], module.SOURCES)
    assert fetch.url.startswith("https://drive.google.com") and not fetch.commands


def test_one_missing_file_is_copied_under_its_own_path():
    (fetch,) = plan(ROOT, ["a/b c/1.nii"], [BUCKET])
    assert (fetch.files, fetch.size) == (1, 10)
    assert [shlex.split(command) for command in fetch.commands] == [
        ["aws", "s3", "cp", "--no-sign-request", "s3://bucket/ds/a/b c/1.nii", "/data/my study/a/b c/1.nii"]
    ]


def test_files_of_a_folder_are_fetched_together_and_nothing_else_of_it():
    (fetch,) = plan(ROOT, ["a/x/1.nii", "a/x/2.nii", "a/y/3.nii"], [BUCKET])
    first, second = (shlex.split(command) for command in fetch.commands)
    only = ["--exclude", "*", "--include", "1.nii", "--include", "2.nii"]
    assert first == ["aws", "s3", "sync", "--no-sign-request", "s3://bucket/ds/a/x", "/data/my study/a/x", *only]
    assert second[2] == "cp" and fetch.size == 30


def test_a_crowded_folder_is_fetched_by_pattern():
    (fetch,) = plan(ROOT, [f"a/x/{i}.nii" for i in range(101)], [BUCKET])
    assert shlex.split(fetch.commands[0])[-4:] == ["--exclude", "*", "--include", "*.nii"]


def test_a_pattern_that_is_everything_is_never_fetched():
    sources = [BUCKET, Source("a/*", "s3://bucket/ds", "public")]
    (fetch,) = plan(ROOT, [*(f"a/x/{i}.nii" for i in range(101)), "a/x/one.tsv"], sources)
    assert shlex.split(fetch.commands[0])[-6:] == ["--exclude", "*", "--include", "*.nii", "--include", "one.tsv"]


def test_the_first_source_that_fits_is_taken_and_one_unknown_size_leaves_the_sum_unknown():
    sources = [Source("a/big*", "s3://bucket/ds", "public", 5), Source("a/*", "s3://bucket/ds", "public")]
    assert [fetch.size for fetch in plan(ROOT, ["a/big1", "a/big2"], sources)] == [10]
    assert [(fetch.files, fetch.size) for fetch in plan(ROOT, ["a/big1", "a/small"], sources)] == [(2, None)]


def test_an_archive_is_fetched_once_and_unpacked_with_the_one_inside():
    source = Source("v/*", "ftp://host/r1.zip", "public", 99, inner="r1/bundle.zip")
    (fetch,) = plan(ROOT, ["v/1", "v/2"], [source])
    assert (fetch.files, fetch.size) == (2, 99)
    curl, outer, inner = map(shlex.split, fetch.commands)
    assert curl[0] == "curl" and curl[-1] == "ftp://host/r1.zip" and "/data/my study/r1.zip" in curl
    assert outer[:3] == ["unzip", "-n", "/data/my study/r1.zip"] and outer[-1] == str(ROOT)
    assert inner[:3] == ["unzip", "-n", "/data/my study/r1/bundle.zip"] and inner[-1] == str(ROOT)


def test_a_page_has_no_command():
    (fetch,) = plan(ROOT, ["s/1.mp4"], [Source("s/*", "https://host/form", "a form")])
    assert fetch.commands == () and fetch.access == "a form"


def test_a_file_that_nobody_hands_out_is_left_out():
    assert plan(ROOT, ["other"], [BUCKET]) == []
