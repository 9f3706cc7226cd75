"""The simulated HCP tree, file by file, against the names of S1200 and of the 2025 release."""

import nibabel as nib
import numpy as np
import pytest

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
