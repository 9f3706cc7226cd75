"""The simulated HCP tree, file by file, against the names of S1200 and of the 2025 release."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from brainflix.steps.synthesize import synthesize
from tests.conftest import phantom_settings

STRUCTURES = {  # the 91,282 grayordinates of HCP pipelines
    "CORTEX_LEFT": 29696,
    "CORTEX_RIGHT": 29716,
    "ACCUMBENS_LEFT": 135,
    "ACCUMBENS_RIGHT": 140,
    "AMYGDALA_LEFT": 315,
    "AMYGDALA_RIGHT": 332,
    "BRAIN_STEM": 3472,
    "CAUDATE_LEFT": 728,
    "CAUDATE_RIGHT": 755,
    "CEREBELLUM_LEFT": 8709,
    "CEREBELLUM_RIGHT": 9144,
    "DIENCEPHALON_VENTRAL_LEFT": 706,
    "DIENCEPHALON_VENTRAL_RIGHT": 712,
    "HIPPOCAMPUS_LEFT": 764,
    "HIPPOCAMPUS_RIGHT": 795,
    "PALLIDUM_LEFT": 297,
    "PALLIDUM_RIGHT": 260,
    "PUTAMEN_LEFT": 1060,
    "PUTAMEN_RIGHT": 1010,
    "THALAMUS_LEFT": 1288,
    "THALAMUS_RIGHT": 1248,
}
RUN = "rfMRI_REST1_LR"
FILES = {
    "100206": f"{RUN}_Atlas_MSMAll_hp2000_clean.dtseries.nii",
    "100307": f"{RUN}_Atlas_MSMAll_hp2000_clean_rclean_tclean.dtseries.nii",
}


@pytest.fixture(scope="module")
def root(phantom_root):
    return phantom_root("hcp")


@pytest.mark.parametrize("subject", FILES)
def test_subjects_have_one_of_the_two_names(root, subject):
    files = [p for p in (root / subject).rglob("*") if p.is_file()]
    assert files == [root / subject / "MNINonLinear" / "Results" / RUN / FILES[subject]]


@pytest.mark.parametrize("subject", FILES)
def test_series_are_whole_cifti_files_of_the_standard_grayordinates(root, subject):
    image = nib.load(root / subject / "MNINonLinear" / "Results" / RUN / FILES[subject])
    time, brain = (image.header.get_axis(i) for i in range(2))
    assert image.shape == (20, 91_282) and image.get_data_dtype() == np.float32
    assert (time.unit, time.step, time.size) == ("SECOND", 0.72, 20)
    assert image.nifti_header.get_intent()[0] == "ConnDenseSeries"
    found = {n.removeprefix("CIFTI_STRUCTURE_"): len(part) for n, _, part in brain.iter_structures()}
    assert found == STRUCTURES and list(found) == list(STRUCTURES)
    assert brain.nvertices == {"CIFTI_STRUCTURE_CORTEX_LEFT": 32492, "CIFTI_STRUCTURE_CORTEX_RIGHT": 32492}
    assert brain.volume_shape == (91, 109, 91)
    assert len(np.unique(brain.voxel[59_412:], axis=0)) == 31_870
    assert np.isfinite(np.asanyarray(image.dataobj)).all()


def test_subjects_differ(root):
    first, second = (
        np.asanyarray(nib.load(root / s / "MNINonLinear" / "Results" / RUN / f).dataobj) for s, f in FILES.items()
    )
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.2


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Every quirk at once, two runs a subject."""
    root = tmp_path_factory.mktemp("odd")
    settings = phantom_settings("hcp", counts={"runs": 2, "volumes": 20})
    quirks = ["no-msmall", "short-run", "missing-run", "compressed"]
    synthesize(dataset="hcp", root=root, settings=settings, seed=0, quirks=quirks)
    return root


def test_quirks_are_named_and_cut_and_left_out_as_their_text_says(root, odd):
    files = {str(p.relative_to(odd)) for p in odd.rglob("*.dtseries.nii*")}
    second = RUN.replace("LR", "RL")
    assert files == {
        f"100206/MNINonLinear/Results/{RUN}/{RUN}_Atlas_hp2000_clean.dtseries.nii.gz",
        f"100206/MNINonLinear/Results/{second}/{second}_Atlas_hp2000_clean.dtseries.nii.gz",
        f"100307/MNINonLinear/Results/{RUN}/{FILES['100307']}.gz",
    }
    plain = (root / "100307" / "MNINonLinear" / "Results" / RUN / FILES["100307"]).read_bytes()
    packed = (odd / "100307" / "MNINonLinear" / "Results" / RUN / f"{FILES['100307']}.gz").read_bytes()
    assert gzip.decompress(packed) == plain, "values are those written without quirks"
    short = odd / "100206" / "MNINonLinear" / "Results" / second / f"{second}_Atlas_hp2000_clean.dtseries.nii.gz"
    assert nib.Nifti2Image.from_bytes(gzip.decompress(short.read_bytes())).shape == (1, 1, 1, 1, 10, 91_282)


def test_the_reader_takes_every_quirk(odd):
    from brainflix import atlas
    from brainflix.datasets import adapter

    options = {"runs": ["REST1_LR", "REST1_RL"], "window_volumes": 10, "window_seconds": None, "nan_share": 0.05}
    ask = {"root": odd, "stimuli": None, "options": options, "vertices": atlas.vertices("glasser41")}
    first, last = (adapter("hcp").responses(subject=subject, **ask) for subject in FILES)
    assert first.rows["run"].tolist() == ["100206/REST1_LR"] * 2 + ["100206/REST1_RL"]
    assert last.rows["run"].tolist() == ["100307/REST1_LR"] * 2
    assert [run.run for run in last.skipped] == ["100307/REST1_RL"]
    assert [block.values.shape for block in first.blocks] == [(2, 13_156), (1, 13_156)]
