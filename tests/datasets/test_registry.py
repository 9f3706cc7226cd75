"""What every dataset promises; a new one is tested by being in the registry."""

import subprocess
import sys
from pathlib import Path

import pytest

from brainflix import datasets
from brainflix.datasets.base import Facts
from brainflix.errors import InputError
from tests.datasets import studies

NAMES = list(datasets.ADAPTERS)


@pytest.mark.parametrize("name", NAMES)
def test_file_names_come_from_the_options_alone(name, tmp_path):
    module = datasets.adapter(name)
    subject, options = studies.SUBJECT[name], studies.OPTIONS[name]
    files = module.raw_files(root=tmp_path, subjects=[subject], options=options)
    files += module.response_files(root=tmp_path, subject=subject, options=options)
    assert files and all(isinstance(f, Path) and f.is_relative_to(tmp_path) for f in files)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_the_names_are_those_of_the_published_layout(name, request):
    root, _ = request.getfixturevalue(name)
    assert datasets.what_is_missing(name, root, [studies.SUBJECT[name]], studies.OPTIONS[name]) is None


@pytest.mark.parametrize("name", NAMES)
def test_what_is_missing_is_said_in_one_sentence_with_a_way_out(name, tmp_path):
    sentence = datasets.what_is_missing(name, tmp_path / "x", [studies.SUBJECT[name]], studies.OPTIONS[name])
    facts = datasets.adapter(name).FACTS
    assert "\n" not in sentence
    for part in (str(tmp_path / "x"), "no such folder", "missing", facts.homepage, facts.licence):
        assert part in sentence


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_cannot_be_entered_is_refused_by_name(name, tmp_path):
    """Root may enter every folder, but no link to itself."""
    root = tmp_path / "raw"
    root.symlink_to(root)
    with pytest.raises(InputError, match=r"raw/.*: expected a file or none, found Too many levels of symbolic links"):
        datasets.what_is_missing(name, root, [studies.SUBJECT[name]], studies.OPTIONS[name])


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_or_lacking_option_is_refused_by_name(name, tmp_path):
    module, options = datasets.adapter(name), studies.OPTIONS[name]
    with pytest.raises(InputError, match=f"options of dataset {name}: .*colour"):
        module.raw_files(root=tmp_path, subjects=[], options={**options, "colour": 1})
    with pytest.raises(InputError, match=f"options of dataset {name}: .*missing nan_share"):
        module.raw_files(root=tmp_path, subjects=[], options={k: options[k] for k in options if k != "nan_share"})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("bmd", {"train_clips": 1001}),
        ("bmd", {"test_repeats": 0}),
        ("bmd", {"train_clips": "many"}),
        ("had", {"cycles": 5}),
        ("had", {"cycles": 1}),
        ("had", {"split": "mosaic"}),
        ("had", {"split": "odd"}),
        ("cc2017", {"clips": 241}),
        ("cc2017", {"normalisation": "none"}),
        ("cc2017", {"test_segments": 0}),
        ("hcp", {"runs": []}),
        ("hcp", {"runs": ["REST3_LR"]}),
        ("hcp", {"runs": ["REST1_LR", "REST1_LR"]}),
        ("hcp", {"window_volumes": 0}),
        ("hcp", {"window_seconds": 8.0}),
        ("hcp", {"nan_share": 2}),
        ("mosaic", {"study": "NSD"}),
        ("mosaic", {"train_trials": 0}),
    ],
)
def test_an_impossible_option_is_refused(name, change, tmp_path):
    with pytest.raises(InputError, match=next(iter(change))):
        datasets.adapter(name).raw_files(root=tmp_path, subjects=[], options={**studies.OPTIONS[name], **change})


@pytest.mark.parametrize("name", ["bmd", "had", "cc2017", "hcp", "mosaic"])
@pytest.mark.parametrize("subject", ["x", "", "../1"])
def test_an_impossible_subject_is_refused(name, subject, tmp_path):
    with pytest.raises(InputError, match=f"subjects of dataset {name}"):
        datasets.adapter(name).response_files(root=tmp_path, subject=subject, options=studies.OPTIONS[name])


def test_an_unknown_dataset_is_refused_by_name():
    with pytest.raises(InputError, match="expected one of bmd, had, cc2017, hcp, mosaic, found imagenet"):
        datasets.adapter("imagenet")


def test_facts_must_be_complete():
    facts = dict(name="a", title="A", doi="10.1234/a", licence="CC0", citation="A", homepage="https://a.org")
    with pytest.raises(ValueError, match="lack what_to_download"):
        Facts(**facts, what_to_download=" ")
    with pytest.raises(ValueError, match="is no DOI"):
        Facts(**{**facts, "doi": "doi:a"}, what_to_download="a")


def test_asking_for_names_imports_nothing_heavy():
    code = (
        "import sys\nfrom brainflix import datasets\n"
        "[datasets.adapter(name) for name in datasets.ADAPTERS]\n"
        "heavy = {'torch', 'nibabel', 'h5py', 'scipy', 'av', 'cv2', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
