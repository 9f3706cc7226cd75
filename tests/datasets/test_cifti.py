"""The CIFTI reader, with nibabel as the independent truth."""

import gzip
import itertools
import os

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brainflix import atlas
from brainflix.datasets import cifti
from brainflix.datasets.cifti_axes import parse_axes
from brainflix.errors import InputError
from tests.datasets import raw

VERTICES = atlas.vertices("glasser41")


def whole(series):
    return series


def read(path, vertices=VERTICES, **expected):
    header = cifti.read_header(path, grayordinates=91_282, **expected)
    return cifti.read(header, vertices, n_rows=header.maps, transform=whole)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    path = tmp_path_factory.mktemp("cifti") / "a.dtseries.nii"
    return raw.write_series(path, raw.noise((7, 91_282), seed=1), step_seconds=0.72)


def test_columns_equal_nibabels_bit_for_bit(series):
    values = read(series, maps=7, step_seconds=0.72)
    assert values.dtype == np.float32
    assert np.array_equal(values, nib.load(series).get_fdata(dtype=np.float32)[:, VERTICES])


def test_columns_come_in_the_order_asked_for(series):
    some = np.array([91_281, 5, 6, 7, 0, 59_412])
    assert np.array_equal(read(series, some), nib.load(series).get_fdata(dtype=np.float32)[:, some])


@pytest.mark.parametrize("dtype", ["<i2", ">f4", ">i2", "<f8"])
@pytest.mark.parametrize("scale", [(1.0, 0.0), (0.5, -3.0)])
def test_byte_order_type_and_scale_are_honoured(tmp_path, series, dtype, scale):
    path = tmp_path / "b.dtseries.nii"
    _rewrite(series, path, np.dtype(dtype), *scale)
    assert np.array_equal(read(path), nib.load(path).get_fdata()[:, VERTICES].astype(np.float32))


def _rewrite(source, path, dtype, slope, intercept):
    """The same file in another type, byte order and scale, written field by field."""
    image = nib.load(source)
    header = image.nifti_header.as_byteswapped(">" if dtype.byteorder == ">" else "<")
    header.set_data_dtype(dtype)
    header["scl_slope"], header["scl_inter"] = slope, intercept
    header.set_data_shape((1, 1, 1, 1, *image.shape))
    xml = image.header.to_xml()
    size = -(-(len(xml) + 8) // 16) * 16
    header["vox_offset"] = 544 + size
    order = ">" if dtype.byteorder == ">" else "<"
    extension = np.array([size, 32], f"{order}i4").tobytes() + xml.ljust(size - 8, b"\0")
    data = np.round(image.get_fdata()).astype(dtype)
    path.write_bytes(header.binaryblock + b"\1\0\0\0" + extension + data.tobytes(order="F"))


def test_compressed_files_are_read(tmp_path, series):
    path = tmp_path / "c.dtseries.nii.gz"
    _compressed(series, path)
    assert np.array_equal(read(path), read(series))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"c\.dtseries\.nii\.gz: expected .* bytes, found .*: it is truncated"):
        read(path)


def test_compressed_columns_come_in_the_order_asked_for(tmp_path, series, monkeypatch):
    path = _compressed(series, tmp_path / "c.dtseries.nii.gz")
    some = np.array([91_281, 5, 6, 7, 0, 59_412, 6])
    monkeypatch.setattr(cifti, "BLOCK_BYTES", 100)  # three series a block
    assert np.array_equal(read(path, some), nib.load(series).get_fdata(dtype=np.float32)[:, some])


def _compressed(source, path, parts=1):
    data = source.read_bytes()
    edges = np.linspace(0, len(data), parts + 1).astype(int)
    path.write_bytes(b"".join(gzip.compress(data[a:b], 1) for a, b in itertools.pairwise(edges)))
    return path


def test_compressed_files_of_several_parts_are_whole(tmp_path, series):
    path = _compressed(series, tmp_path / "d.dtseries.nii.gz", parts=3)
    assert np.array_equal(read(path), read(series))
    path.write_bytes(path.read_bytes()[:-1_000_000])
    with pytest.raises(InputError, match="it is truncated"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"\x1f", b"no gzip at all", gzip.compress(b"", mtime=0) + b"\0" * 3])
def test_what_is_not_gzip_is_refused_by_name(tmp_path, content):
    path = tmp_path / "bad.dtseries.nii.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.dtseries\.nii\.gz: expected a CIFTI-2 file"):
        read(path)


def test_what_cannot_be_inflated_is_refused(tmp_path, series):
    path = _compressed(series, tmp_path / "e.dtseries.nii.gz")
    data = bytearray(path.read_bytes())
    data[len(data) // 4 : -8] = b"\xff" * len(data[len(data) // 4 : -8])
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"e\.dtseries\.nii\.gz: expected a whole file, found Error"):
        read(path)


def test_a_transform_sees_each_series_along_time(series):
    header = cifti.read_header(series, grayordinates=91_282)
    means = cifti.read(header, VERTICES, n_rows=1, transform=lambda s: s.mean(axis=1, keepdims=True))
    assert np.allclose(means[0], read(series).mean(axis=0))


@pytest.mark.parametrize("size", [0, 100, 540, 5000, 10_000_000])
def test_a_truncated_file_is_refused_by_name(tmp_path, series, size):
    assert series.stat().st_size > 0
    path = tmp_path / "short.dtseries.nii"
    path.write_bytes(series.read_bytes()[:-1] if size == 10_000_000 else series.read_bytes()[:size])
    with pytest.raises(InputError, match=r"short\.dtseries\.nii: expected "):
        read(path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.nii: expected a readable CIFTI-2 file, found No such file"):
        read(tmp_path / "nowhere.nii")


def test_another_number_of_volumes_is_refused(series):
    with pytest.raises(InputError, match="expected 245 volumes, found 7"):
        read(series, maps=245)


def test_another_repetition_time_is_refused(series):
    with pytest.raises(InputError, match=r"expected a repetition time of 2 s, found 0\.72"):
        read(series, step_seconds=2.0)


def test_another_number_of_grayordinates_is_refused(tmp_path):
    axis = raw.brain_models(subcortex=10)
    path = raw.write_series(tmp_path / "d.nii", np.zeros((2, 59_422), np.float32), step_seconds=1, axis=axis)
    with pytest.raises(InputError, match="expected 91,282 grayordinates, found 59,422"):
        read(path)


def test_another_order_of_grayordinates_is_refused(tmp_path):
    axis = raw.brain_models()
    swapped = axis[np.r_[29_696:59_412, 0:29_696, 59_412:91_282]]
    path = raw.write_series(tmp_path / "e.nii", np.zeros((2, 91_282), np.float32), step_seconds=1, axis=swapped)
    with pytest.raises(InputError, match="found CORTEX_RIGHT in place 1 where CORTEX_LEFT belongs"):
        read(path)
    order = np.arange(91_282)
    order[[0, 1]] = [1, 0]
    path = raw.write_series(tmp_path / "f.nii", np.zeros((2, 91_282), np.float32), step_seconds=1, axis=axis[order])
    with pytest.raises(InputError, match="vertices of CORTEX_LEFT in another order"):
        read(path)


def test_a_plain_nifti_and_cifti_1_are_refused(tmp_path, series):
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)), tmp_path / "g.nii")
    with pytest.raises(InputError, match="expected a CIFTI-2 file"):
        read(tmp_path / "g.nii")
    nib.save(nib.Nifti2Image(np.zeros((4, 4, 4), np.float32), np.eye(4)), tmp_path / "h.nii")
    with pytest.raises(InputError, match="found dimensions"):
        read(tmp_path / "h.nii")
    old = series.read_bytes().replace(b'Version="2.0"', b'Version="1.0"', 1)
    (tmp_path / "i.nii").write_bytes(old)
    with pytest.raises(InputError, match="found CIFTI version 1"):
        read(tmp_path / "i.nii")


def test_maps_have_no_repetition_time(tmp_path):
    path = raw.write_maps(tmp_path / "j.dscalar.nii", np.ones((3, 59_412), np.float32))
    header = cifti.read_header(path, grayordinates=59_412, maps=3)
    assert header.step_seconds is None


def test_milliseconds_are_understood(series):
    xml = nib.load(series).header.to_xml()
    milli = xml.replace(b'SeriesStep="0.72"', b'SeriesStep="720"').replace(
        b'SeriesExponent="0"', b'SeriesExponent="-3"'
    )
    assert milli != xml
    assert parse_axes(milli).step_seconds == pytest.approx(0.72)
    assert parse_axes(xml.replace(b'"SECOND"', b'"HERTZ"')).step_seconds is None


@pytest.mark.parametrize("slope, intercept", [(0.0, 5.0), (np.nan, 1.0), (np.inf, 1.0)])
def test_a_slope_that_means_none_is_none(tmp_path, series, slope, intercept):
    path = tmp_path / "k.dtseries.nii"
    _rewrite(series, path, np.dtype("<i2"), slope, intercept)
    assert np.array_equal(read(path), nib.load(path).get_fdata()[:, VERTICES].astype(np.float32))


def test_an_intercept_that_is_no_number_is_refused(tmp_path, series):
    _rewrite(series, tmp_path / "l.nii", np.dtype("<i2"), 0.5, np.nan)
    with pytest.raises(InputError, match=r"l\.nii: expected a finite intercept, found nan"):
        read(tmp_path / "l.nii")


def test_a_type_that_is_no_number_is_refused(tmp_path, series):
    data = bytearray(series.read_bytes())
    data[12:14] = (128).to_bytes(2, "little")  # RGB
    (tmp_path / "m.nii").write_bytes(data)
    with pytest.raises(InputError, match=r"m\.nii: expected a numeric data type, found NIfTI code 128"):
        read(tmp_path / "m.nii")


def test_a_file_that_may_not_be_read_is_refused_by_name(series, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(series), "open", refuse)  # a test may run as root, whom permissions do not stop
    with pytest.raises(
        InputError, match=r"a\.dtseries\.nii: expected a readable CIFTI-2 file, found Permission denied"
    ):
        read(series)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permissions_is_refused_by_name(tmp_path, series):
    path = tmp_path / "n.dtseries.nii"
    path.write_bytes(series.read_bytes())
    path.chmod(0)
    with pytest.raises(
        InputError, match=r"n\.dtseries\.nii: expected a readable CIFTI-2 file, found Permission denied"
    ):
        read(path)


def test_links_in_circles_and_folders_are_refused_by_name(tmp_path):
    path = tmp_path / "o.dtseries.nii"
    path.symlink_to(path)
    with pytest.raises(InputError, match=r"o\.dtseries\.nii: .* found Too many levels of symbolic links"):
        read(path)
    with pytest.raises(InputError, match="expected a readable CIFTI-2 file, found Is a directory"):
        read(tmp_path)


@pytest.mark.parametrize(
    "good, bad", [(b'Step="0.72"', b'Step="soon"'), (b'Exponent="0"', b'Exponent="999"'), (b'="29696"', b'="many"')]
)
def test_numbers_in_the_axes_that_are_none_are_refused(series, good, bad):
    xml = nib.load(series).header.to_xml()
    assert good in xml and isinstance(parse_axes(xml.replace(good, bad)), str)


@pytest.fixture(scope="module")
def head(series):
    """A file of two volumes, its bytes, and where its XML without the long lists of vertices lies."""
    data = series.read_bytes()
    return data, [*range(540), *range(544, 552), *range(552, 1200)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_corrupt_header_is_refused_or_harmless_but_never_another_error(tmp_path, head, data):
    whole, places = head
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.sampled_from(places))] = data.draw(st.integers(0, 255))
    path = tmp_path / "p.dtseries.nii"
    path.write_bytes(changed)
    try:
        values = read(path)
    except InputError as error:
        assert str(error).startswith(f"{path}: expected ") and "\n" not in str(error)
    else:
        assert values.shape[1] == len(VERTICES)
