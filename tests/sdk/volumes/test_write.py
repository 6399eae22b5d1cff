from __future__ import annotations

import io
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from cryomamba.errors import ErrorCode, UnavailableError, VolumeError
from cryomamba.volumes import blank_header, open_volume, write_volume
from cryomamba.volumes.voxel_file import VoxelFile

ARRAY = np.random.default_rng(4).normal(0, 20, (7, 5, 6)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "int16", "uint16"])
def test_a_written_volume_is_valid_and_reads_back(tmp_path: Path, dtype: str) -> None:
    """Every MRC type reads back unchanged, with the voxel size and correct statistics."""
    path = tmp_path / "v.mrc"
    array = np.abs(ARRAY).astype(dtype)
    write_volume(path, array, (12.0, 10.0, 13.48), dtype=dtype)
    said = io.StringIO()
    assert mrcfile.validate(path, print_file=said), said.getvalue()
    assert np.array_equal(mrcfile.read(path), array)
    with open_volume(path) as volume:
        assert volume.voxel_size_A == (12.0, 10.0, 13.48)


def test_slabs_of_any_depth_make_the_same_bytes(tmp_path: Path) -> None:
    """A volume can be written in slabs."""
    write_volume(tmp_path / "a.mrc", ARRAY, 10.0)
    write_volume(tmp_path / "b.mrc", (ARRAY[start : start + 3] for start in (0, 3, 6)), 10.0, shape=(7, 5, 6))
    assert (tmp_path / "a.mrc").read_bytes() == (tmp_path / "b.mrc").read_bytes()


def test_slabs_that_do_not_add_up_leave_nothing(tmp_path: Path) -> None:
    """Too few, too many or misshapen slabs are errors and no file appears."""
    for slabs in ([ARRAY[:3]], [ARRAY, ARRAY], [ARRAY[:, :2]]):
        with pytest.raises(ValueError, match="slab"):
            write_volume(tmp_path / "v.mrc", iter(slabs), 10.0, shape=(7, 5, 6))
    with pytest.raises(ValueError, match="shape"):
        write_volume(tmp_path / "v.mrc", iter([ARRAY]), 10.0)
    with pytest.raises(ValueError, match="no mode"):
        write_volume(tmp_path / "v.mrc", ARRAY, 10.0, dtype="float64")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, -4, 4), (4, 4), (4, 4, 1 << 30)])
def test_impossible_shapes_are_refused(shape: tuple[int, int, int]) -> None:
    """A volume has three positive sides of plausible length."""
    with pytest.raises(VolumeError):
        blank_header(shape)


def test_a_disk_that_fills_up_while_writing_is_named() -> None:
    """The system's error becomes a retryable error that names the full disk."""
    with Path("/dev/full").open("r+b", buffering=0) as full, pytest.raises(UnavailableError) as caught:
        VoxelFile(full, blank_header((2, 3, 4))).write_from(ARRAY[:2, :3, :4], (0, 2), (0, 3), (0, 4))
    assert caught.value.code == ErrorCode.INSUFFICIENT_STORAGE
    assert caught.value.retryable
