"""The region that a mask gives: which masks are accepted, and what is inside."""

from __future__ import annotations

import gzip
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from cryomamba.errors import ErrorCode, InvalidRequestError, VolumeError
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.region import Region
from cryomamba.volumes import open_volume

SHAPE: Shape = (6, 8, 10)
SIZE_A: Spacing = (10.0, 10.0, 10.0)
WHOLE = (slice(0, 6), slice(0, 8), slice(0, 10))


def labels() -> np.ndarray[Shape, np.dtype[np.int8]]:
    mask = np.zeros(SHAPE, np.int8)
    mask[1:4, 2:5, 3:9] = 3
    return mask


def write_mask(path: Path, mask: np.ndarray[Shape, np.dtype[np.generic]], voxel_A: float | None = 10.0) -> Path:
    with mrcfile.new(path) as file:
        file.set_data(mask)
        file.set_volume()
        if voxel_A is not None:
            file.voxel_size = voxel_A
    return path


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float32", "float16"])
def test_every_kind_of_labels_is_read(dtype: str, tmp_path: Path) -> None:
    """Whatever whole numbers a mask has, its non-zero voxels are inside; a compressed file works too."""
    plain = write_mask(tmp_path / "mask.mrc", labels().astype(dtype))
    packed = tmp_path / "mask.mrc.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, packed):
        with open_volume(path) as volume:
            region = Region.of_volume(volume, SHAPE, SIZE_A)
            assert np.array_equal(region.read(WHOLE), labels() != 0)
            assert region.count((slice(0, 2), slice(0, 3), slice(0, 10))) == 6


def test_masks_of_four_bits_are_read(tmp_path: Path) -> None:
    """A mask of mode 101, as IMOD writes it, has its labels in halves of bytes."""
    path = write_mask(tmp_path / "mask.mrc", labels())
    raw = bytearray(path.read_bytes()[:1024])
    raw[12:16] = (101).to_bytes(4, "little")
    low, high = labels().reshape(-1, 2).T.astype(np.uint8)
    path.write_bytes(bytes(raw) + (low | (high << 4)).tobytes())
    with open_volume(path) as volume:
        assert np.array_equal(Region.of_volume(volume, SHAPE, SIZE_A).read(WHOLE), labels() != 0)


def test_a_mask_on_another_grid_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """Shape and voxel size must be those of the tomogram; message and details name what differs."""
    small = write_mask(tmp_path / "small.mrc", labels()[:, :, 1:])
    binned = write_mask(tmp_path / "binned.mrc", labels(), 20.0)
    for path, message in ((small, r"6 × 8 × 9 voxels.*6 × 8 × 10"), (binned, r"20 × 20 × 20 Å.*10 × 10 × 10")):
        with open_volume(path) as volume, pytest.raises(InvalidRequestError, match=message) as refused:
            Region.of_volume(volume, SHAPE, SIZE_A)
        assert refused.value.code is ErrorCode.INVALID_PARAMETERS
        assert refused.value.hint
        assert refused.value.details["fields"][0]["field"] == "within"


def test_a_rounded_or_unknown_voxel_size_is_accepted(tmp_path: Path) -> None:
    """Programs round the voxel size, or write none or 1 Å because they do not have it."""
    for name, voxel_A in (("rounded", 10.05), ("none", None), ("one", 1.0)):
        with open_volume(write_mask(tmp_path / f"{name}.mrc", labels(), voxel_A)) as volume:
            assert Region.of_volume(volume, SHAPE, SIZE_A).count(WHOLE) == 54


def test_densities_are_not_a_mask(tmp_path: Path) -> None:
    """A tomogram given by mistake would be inside everywhere; a soft edge would be too wide."""
    path = write_mask(tmp_path / "density.mrc", labels() + np.float32(0.25))
    with open_volume(path) as volume, pytest.raises(VolumeError, match="densities") as refused:
        Region.of_volume(volume, SHAPE, SIZE_A)
    assert refused.value.code is ErrorCode.VOLUME_UNSUPPORTED
    soft = labels().astype(np.float32)
    soft[5, 7, 9] = 0.5
    path = write_mask(tmp_path / "soft.mrc", soft)
    with open_volume(path) as volume, pytest.raises(VolumeError, match="densities"):
        Region.of_volume(volume, SHAPE, SIZE_A)


def test_positions_are_inside_by_their_nearest_voxel() -> None:
    """Also those half a voxel beyond the border of the volume."""
    region = Region.of_array(labels())
    positions = np.array([[1.4, 2.0, 3.0], [0.4, 2.0, 3.0], [0.6, 1.6, 8.4], [-0.4, 0.0, 9.4]])
    assert region.contains(positions).tolist() == [True, False, True, False]
    assert region.contains(np.empty((0, 3))).size == 0
