from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.volumes import HeaderFields, VolumeMeta, parse_header
from cryomamba.volumes.header_encoder import encode_header

Make = Callable[..., bytearray]
SHAPE = (3, 4, 5)
SIDES = ["nx", "ny", "nz", "mx", "my", "mz", "mode", "nsymbt", "ispg", "mapc", "mapr", "maps", "nlabl", "nxstart"]


def parsed(raw: bytearray, size: int | None = None) -> HeaderFields:
    return parse_header(bytes(raw), size)


def codes(fields: HeaderFields) -> set[str]:
    return {warning.code for warning in fields.warnings}


def test_a_valid_header_is_parsed_without_warnings(make_header: Make) -> None:
    """A valid header gives shape, voxel size and type, without warnings."""
    fields = parsed(make_header(SHAPE, 2), 1024 + 4 * 60)
    assert fields.shape == fields.file_shape == SHAPE
    assert fields.voxel_size_A == (10.0, 10.0, 10.0)
    assert fields.dtype == "<f4"
    assert fields.data_offset == 1024
    assert fields.data_nbytes == 240
    assert fields.warnings == ()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("mode", "kind"), [(1, "i2"), (2, "f4"), (6, "u2"), (12, "f2")])
def test_the_machine_stamp_gives_the_byte_order(make_header: Make, order: str, mode: int, kind: str) -> None:
    """The machine stamp gives the byte order of the voxels."""
    assert parsed(make_header(SHAPE, mode, order)).dtype == order + kind


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("stamp", [(0, 0, 0, 0), (0x41, 0x41, 0, 0), "other"])
def test_a_wrong_machine_stamp_is_corrected_with_a_warning(make_header: Make, order: str, stamp: object) -> None:
    """If the stamp is missing or contradicts the numbers, the numbers decide, with a warning."""
    swapped = (0x11, 0x11, 0, 0) if order == "<" else (0x44, 0x41, 0, 0)
    fields = parsed(make_header(SHAPE, 2, order, machst=swapped if stamp == "other" else stamp))
    assert fields.byte_order == order
    assert codes(fields) == {"machine_stamp"}


@pytest.mark.parametrize(
    ("axes", "shape"), [((1, 2, 3), (3, 4, 5)), ((3, 1, 2), (5, 3, 4)), ((2, 1, 3), (3, 5, 4)), ((3, 2, 1), (5, 4, 3))]
)
def test_permuted_axes_are_mapped_to_zyx(
    make_header: Make, axes: tuple[int, int, int], shape: tuple[int, int, int]
) -> None:
    """mapc, mapr and maps decide which of the file's axes z, y and x are."""
    fields = parsed(make_header(SHAPE, 2, mapc=axes[0], mapr=axes[1], maps=axes[2]))
    assert fields.shape == shape
    assert fields.axes == axes


@pytest.mark.parametrize("axes", [(0, 0, 0), (1, 1, 3), (1, -2, 3), (7, 8, 9)])
def test_invalid_axes_fall_back_to_xyz(make_header: Make, axes: tuple[int, int, int]) -> None:
    """An axis order that is not a permutation is read as x, y, z, with a warning."""
    fields = parsed(make_header(SHAPE, 2, mapc=axes[0], mapr=axes[1], maps=axes[2]))
    assert fields.axes == (1, 2, 3)
    assert codes(fields) == {"axes_invalid"}


def test_start_places_the_volume_along_its_own_axes(make_header: Make) -> None:
    """A start, given per column, row and section, becomes Å along z, y, x."""
    header = make_header(
        SHAPE, 2, mapc=3, mapr=1, maps=2, nxstart=7, nystart=-21, nzstart=-12, mx=1, my=1, mz=1, cella=(2, 3, 4)
    )
    fields = parsed(header)
    assert fields.nstart == (7, -21, -12)
    assert fields.placement_A == (7 * fields.voxel_size_A[0], -12 * 3.0, -21 * 2.0)


def test_origin_places_the_volume_before_start(make_header: Make) -> None:
    """A non-zero origin, stored as x, y, z, takes precedence over the start."""
    fields = parsed(make_header(SHAPE, 2, nxstart=5, origin=(1.5, 2.5, -3.5)))
    assert fields.origin_A == (1.5, 2.5, -3.5)
    assert fields.placement_A == (-3.5, 2.5, 1.5)


@pytest.mark.parametrize(("flags", "version", "sign"), [(0, 0, -1), (4, 0, 1), (0, 20140, 1)])
def test_the_sign_of_imods_old_origin_is_corrected(make_header: Make, flags: int, version: int, sign: int) -> None:
    """IMOD's origin is negated unless its flag or the version declares the standard sign."""
    fields = parsed(make_header(SHAPE, 2, imod_flags=flags, nversion=version, origin=(8, 16, 32)))
    assert fields.origin_A == (8, 16, 32)
    assert fields.placement_A == (sign * 32, sign * 16, sign * 8)


@pytest.mark.parametrize(
    ("fields", "dtype", "warned"),
    [
        ({}, "|i1", set()),
        ({"dmin": 0, "dmax": 255}, "|u1", {"byte_mode_unsigned"}),
        ({"dmin": -128, "dmax": 127}, "|i1", set()),
        ({"dmin": 0, "dmax": 100}, "|i1", set()),
        ({"imod_flags": 0}, "|u1", set()),
        ({"imod_flags": 1}, "|i1", set()),
        ({"imod_flags": 1, "dmin": 0, "dmax": 255}, "|i1", set()),
    ],
)
def test_mode_0_is_signed_unless_imod_or_the_statistics_say_otherwise(
    make_header: Make, fields: dict[str, float], dtype: str, warned: set[str]
) -> None:
    """Bytes are signed by the standard, unsigned by IMOD's stamp without its flag or by a maximum above 127."""
    read = parsed(make_header(SHAPE, 0, **fields))
    assert read.dtype == dtype
    assert codes(read) == warned


def test_mode_101_counts_half_bytes(make_header: Make) -> None:
    """Voxels of 4 bits take half a byte each and every row begins on a byte."""
    fields = parsed(make_header(SHAPE, 101), 1024 + 3 * 4 * 3)
    assert fields.nibbles
    assert fields.row_nbytes == 3
    assert fields.shape == SHAPE


def test_imods_half_bytes_in_mode_0_double_the_columns(make_header: Make) -> None:
    """With IMOD's flag, a byte of mode 0 holds two voxels; the voxel size does not change."""
    fields = parsed(make_header(SHAPE, 0, imod_flags=16), 1024 + 60)
    assert fields.shape == (3, 4, 10)
    assert fields.voxel_size_A == (10.0, 10.0, 10.0)
    assert fields.data_nbytes == 60


@pytest.mark.parametrize(("mode", "word"), [(3, "complex"), (4, "complex"), (16, "RGB"), (5, "mode 5")])
def test_modes_without_densities_are_refused_by_name(make_header: Make, mode: int, word: str) -> None:
    """Complex, colour and unknown modes are refused, and the message names them."""
    with pytest.raises(VolumeError, match=word) as caught:
        parsed(make_header(SHAPE, mode))
    assert caught.value.code == ErrorCode.VOLUME_UNSUPPORTED
    assert caught.value.hint


def test_voxel_size_is_cell_over_sampling_per_axis(make_header: Make) -> None:
    """Anisotropic sizes are kept per axis, in the seven digits that the header holds, with a warning."""
    fields = parsed(make_header((8, 4, 2), 2, cella=(26.96, 40.0, 96.0)))
    assert fields.voxel_size_A == (12.0, 10.0, 13.48)
    assert codes(fields) == {"voxel_size_anisotropic"}


@pytest.mark.parametrize("cell", [(0, 0, 0), (-50, 0, -1), (np.nan, np.inf, 0)])
def test_a_missing_voxel_size_is_1_with_a_warning(make_header: Make, cell: tuple[float, float, float]) -> None:
    """A cell without lengths gives 1 Å and a warning, never a division by zero."""
    fields = parsed(make_header(SHAPE, 2, cella=cell))
    assert fields.voxel_size_A == (1.0, 1.0, 1.0)
    assert "voxel_size_missing" in codes(fields)


@pytest.mark.parametrize(
    ("cell", "size", "said"),
    [
        ((50, 40, 0), (10.0, 10.0, 10.0), "along z; that along x, 10 Å"),
        ((50, 48, 0), (10.0, 12.0, 10.0), "along z; that along x, 10 Å"),
        ((0, 40, 36), (12.0, 10.0, 10.0), "along x; that along y, 10 Å"),
        ((-50, 0, 30), (10.0, 10.0, 10.0), "along x and y; that along z, 10 Å"),
        ((np.nan, 40, 30), (10.0, 10.0, 10.0), "along x; that along y, 10 Å"),
        ((50, np.inf, 30), (10.0, 10.0, 10.0), "along y; that along x, 10 Å"),
    ],
)
def test_an_axis_without_a_size_gets_that_of_another(
    make_header: Make, cell: tuple[float, float, float], size: tuple[float, float, float], said: str
) -> None:
    """One length of the cell that is missing does not make the others unknown; a warning says what was assumed."""
    fields = parsed(make_header(SHAPE, 2, cella=cell))
    assert fields.voxel_size_A == size
    (warning,) = [one for one in fields.warnings if one.code == "voxel_size_incomplete"]
    assert said in warning.message
    assert warning.hint
    assert not {"voxel_size_missing", "voxel_size_suspect"} & codes(fields)
    assert fields.with_voxel_size(10.0).warnings == ()


def test_a_voxel_size_of_exactly_1_is_suspect(make_header: Make) -> None:
    """Programs write 1.0 if the size is unknown, so there is a warning."""
    assert codes(parsed(make_header(SHAPE, 2, cella=(5, 4, 3)))) == {"voxel_size_suspect"}


def test_an_override_replaces_size_and_cell_and_silences_the_warning(make_header: Make) -> None:
    """A voxel size given by the user replaces the header's, and the cell is adjusted."""
    fields = parsed(make_header(SHAPE, 2, cella=(0, 0, 0))).with_voxel_size((4.0, 3.0, 2.0))
    assert fields.voxel_size_A == (4.0, 3.0, 2.0)
    assert fields.cell_A == (10.0, 12.0, 12.0)
    assert fields.warnings == ()


@pytest.mark.parametrize("size", [0, -1.0, float("nan"), float("inf"), (1.0, 2.0), 1e9])
def test_an_impossible_override_is_refused(make_header: Make, size: object) -> None:
    """A voxel size is one or three plausible lengths."""
    with pytest.raises(VolumeError) as caught:
        parsed(make_header(SHAPE, 2)).with_voxel_size(size)  # type: ignore[arg-type]
    assert caught.value.code == ErrorCode.INVALID_PARAMETERS


@pytest.mark.parametrize("cell_z", [30.0, 10.0])
def test_a_stack_header_still_gives_the_size_along_z(make_header: Make, cell_z: float) -> None:
    """With mz = 1 the cell spans all sections, or is one voxel long: both give the voxel size."""
    fields = parsed(make_header(SHAPE, 2, mz=1, ispg=0, cella=(50, 40, cell_z)))
    assert fields.voxel_size_A == (10.0, 10.0, 10.0)
    assert codes(fields) == {"stack_header"}


def test_a_stack_of_volumes_is_refused(make_header: Make) -> None:
    """A file with several volumes is refused."""
    with pytest.raises(VolumeError, match="stack of several volumes"):
        parsed(make_header((6, 4, 5), 2, ispg=401, mz=3))


@pytest.mark.parametrize("kind", [b"FEI1", b"FEI2", b"SERI", b""])
def test_extended_headers_are_read_past(make_header: Make, kind: bytes) -> None:
    """The voxels begin after the extended header, whatever its type."""
    fields = parsed(make_header(SHAPE, 2, nsymbt=768, exttyp=kind), 1024 + 768 + 240)
    assert fields.data_offset == 1792
    described = fields.describe("a.mrc", 2032).extended_header
    assert described is not None
    assert (described.type, described.nbytes) == (kind.decode() or "unspecified", 768)


def test_a_header_that_describes_more_than_the_file_has_is_refused(make_header: Make) -> None:
    """A header of 4096³ voxels in a file of 1 kB is refused, and the message has both sizes."""
    with pytest.raises(VolumeError, match="truncated") as caught:
        parsed(make_header((4096, 4096, 4096), 2), 1024)
    assert caught.value.code == ErrorCode.VOLUME_UNREADABLE
    assert caught.value.details == {"expected_bytes": 1024 + 4 * 4096**3, "size_bytes": 1024}


def test_a_file_one_byte_short_is_refused(make_header: Make) -> None:
    """A file that lacks one byte is truncated."""
    with pytest.raises(VolumeError, match="truncated"):
        parsed(make_header(SHAPE, 2), 1024 + 239)


def test_bytes_after_the_voxels_are_ignored_with_a_warning(make_header: Make) -> None:
    """A longer file is readable."""
    assert codes(parsed(make_header(SHAPE, 2), 1024 + 240 + 7)) == {"trailing_bytes"}


@pytest.mark.parametrize("fields", [{"nx": 0}, {"ny": -4}, {"nz": 2**31 - 1}, {"nsymbt": -1}])
def test_impossible_numbers_are_refused(make_header: Make, fields: dict[str, int]) -> None:
    """Impossible dimensions are an error of the file."""
    with pytest.raises(VolumeError) as caught:
        parsed(make_header(SHAPE, 2, **fields))
    assert caught.value.code == ErrorCode.VOLUME_UNREADABLE


@pytest.mark.parametrize("raw", [b"", b"short", b"\0" * 1024, b"a tomogram, honestly " * 60])
def test_a_file_that_is_not_mrc_is_refused_as_such(raw: bytes) -> None:
    """Text, zeros and short files are refused as not MRC."""
    with pytest.raises(VolumeError, match="not an MRC volume"):
        parse_header(raw, len(raw))


def test_a_file_without_map_identifier_is_read_only_if_its_size_matches(make_header: Make) -> None:
    """Files from before the year 2000 are read if dimensions and file size match exactly."""
    header = make_header(SHAPE, 2, map=b"", machst=(0, 0, 0, 0))
    assert codes(parsed(header, 1264)) == {"machine_stamp", "map_id_missing"}
    for size in (1263, 1265, None):
        with pytest.raises(VolumeError, match="not an MRC volume"):
            parsed(header, size)


def test_labels_are_plain_text(make_header: Make) -> None:
    """Labels lose unprintable characters, and a wrong count is harmless."""
    raw = make_header(SHAPE, 2, nlabl=99)
    raw[224:304] = b"aligned\x00\x07 by hand\xff".ljust(80)
    assert parsed(raw).labels == ("aligned by hand",)


def test_meta_crosses_json_and_names_no_folder(make_header: Make) -> None:
    """Metadata survives JSON and has no folder."""
    meta = parsed(make_header(SHAPE, 2, cella=(0, 0, 0))).describe("a.mrc", 1264)
    assert VolumeMeta.model_validate_json(meta.model_dump_json()) == meta


def judged(raw: bytes, size: int | None) -> None:
    try:
        fields = parse_header(raw, size)
    except VolumeError as error:
        assert error.message
        assert error.hint
        return
    assert all(side > 0 for side in fields.shape)
    assert all(np.isfinite(length) and length > 0 for length in fields.voxel_size_A)
    assert size is None or fields.data_offset + fields.data_nbytes <= size
    meta = fields.describe("x.mrc", 0)
    assert VolumeMeta.model_validate_json(meta.model_dump_json()) == meta
    again = parse_header(encode_header(dataclasses.replace(fields, extended_nbytes=0), ()), None)
    assert again.shape == fields.shape or fields.nibbles


@given(st.binary(max_size=1100), st.none() | st.integers(0, 1 << 40))
def test_any_bytes_give_a_header_or_a_clear_error(raw: bytes, size: int | None) -> None:
    """Random bytes never crash the reader."""
    judged(raw, size)


@given(
    st.sampled_from("<>"),
    st.dictionaries(st.sampled_from(SIDES), st.integers(-(2**31), 2**31 - 1) | st.integers(0, 110), max_size=5),
    st.lists(st.tuples(st.integers(0, 1023), st.integers(0, 255)), max_size=6),
    st.none() | st.integers(0, 1 << 16),
)
def test_any_damaged_header_gives_a_header_or_a_clear_error(
    make_header: Make, order: str, fields: dict[str, int], flips: list[tuple[int, int]], size: int | None
) -> None:
    """A real header with any fields and bytes changed never crashes the reader, and never outgrows its file."""
    raw = make_header(SHAPE, 2, order, **fields)
    for position, value in flips:
        raw[position] = value
    judged(bytes(raw), size)
