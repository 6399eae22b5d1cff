"""TIFF files of other programs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from cryomamba.errors import VolumeError
from cryomamba.volumes.images import open_image

SHAPE = (6, 20, 30)
SIZE_A = (8.0, 5.0, 5.0)


@pytest.fixture
def voxels() -> NDArray[np.float32]:
    """Noise."""
    return np.random.default_rng(1).normal(0, 1, SHAPE).astype(np.float32)


def read_all(path: Path) -> NDArray[Any]:
    with open_image(path) as image:
        return np.asarray(image.read_native(*[slice(None)] * 3))


def test_a_file_of_imagej_has_its_voxel_size(tmp_path: Path, voxels: NDArray[np.float32]) -> None:
    """Resolution, spacing and unit become Å along z, y and x."""
    path = tmp_path / "fiji.tif"
    tifffile.imwrite(
        path, voxels, imagej=True, resolution=(1 / 0.5, 1 / 0.5), metadata={"spacing": 0.8, "unit": "nm", "axes": "ZYX"}
    )
    with open_image(path) as image:
        assert image.format == "ImageJ TIFF"
        assert image.voxel_size_A == pytest.approx(SIZE_A)
    np.testing.assert_array_equal(read_all(path), voxels)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_plain_file_opens_with_a_warning(
    tmp_path: Path, voxels: NDArray[np.float32], compression: str | None
) -> None:
    """Without a voxel size in the file, 1 Å is assumed, and a warning says so."""
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, voxels, compression=compression, photometric="minisblack", resolution=(72, 72))
    with open_image(path) as image:
        assert image.voxel_size_A == (1.0, 1.0, 1.0)
        assert [warning.code for warning in image.meta.warnings] == ["voxel_size_missing"]
    np.testing.assert_array_equal(read_all(path), voxels)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_what_is_written_as_mrc_has_the_same_voxels(
    tmp_path: Path, voxels: NDArray[np.float32], dtype: type[np.generic]
) -> None:
    """Each type goes into one of MRC that holds its values; voxel size and statistics are in the header."""
    stored = (voxels * 20 + 100).astype(dtype)
    tifffile.imwrite(
        tmp_path / "t.ome.tif",
        stored,
        metadata={
            "axes": "ZYX",
            **{f"PhysicalSize{a}": s / 10 for a, s in zip("ZYX", SIZE_A, strict=True)},
            **{f"PhysicalSize{a}Unit": "nm" for a in "ZYX"},
        },
    )
    with open_image(tmp_path / "t.ome.tif") as image:
        image.write_mrc(tmp_path / "t.mrc")
    with mrcfile.open(tmp_path / "t.mrc") as written:
        np.testing.assert_array_equal(written.data, stored.astype(np.float32))
        np.testing.assert_allclose(written.voxel_size.tolist(), SIZE_A[::-1], rtol=1e-5)
        assert float(written.header.dmean) == pytest.approx(float(stored.mean()), rel=1e-4)


@pytest.mark.parametrize("size", ["abc", "nan", "inf", "0.0", "-75"])
def test_a_voxel_size_that_is_no_length_is_missing(tmp_path: Path, voxels: NDArray[np.float32], size: str) -> None:
    """The file opens, and a warning says that its voxel size is assumed."""
    path = tmp_path / "t.ome.tif"
    tifffile.imwrite(path, voxels, metadata={"axes": "ZYX", **{f"PhysicalSize{axis}": 7.5 for axis in "ZYX"}})
    assert path.read_bytes().count(b'="7.5"') == 3
    path.write_bytes(path.read_bytes().replace(b'="7.5"', f'="{size}"'.encode()))
    with open_image(path) as image:
        assert image.voxel_size_A == (1.0, 1.0, 1.0)
        assert [warning.code for warning in image.meta.warnings] == ["voxel_size_missing"]


def test_a_sample_reads_one_of_so_many_chunks(tmp_path: Path, voxels: NDArray[np.float32]) -> None:
    """All chunks together are the volume; every third is a third of it."""
    tifffile.imwrite(tmp_path / "t.tif", voxels, compression="zlib")
    with open_image(tmp_path / "t.tif") as image:
        section = 20 * 30 * 4
        assert sum(chunk.size for chunk in image.chunks(section)) == voxels.size
        assert sum(chunk.size for chunk in image.chunks(section, every=3)) == voxels.size // 3


@pytest.mark.parametrize(
    ("shape", "options", "reason"),
    [
        ((20, 30), {}, "has one section"),
        ((4, 20, 30, 3), {"photometric": "rgb"}, "has colours"),
        ((2, 4, 20, 30), {"imagej": True, "metadata": {"axes": "TZYX"}}, "has other axes than z, y and x"),
    ],
)
def test_what_is_no_volume_is_refused(tmp_path: Path, shape: Any, options: Any, reason: str) -> None:
    """The error names the file and says what it holds instead."""
    tifffile.imwrite(tmp_path / "other.tif", np.zeros(shape, np.uint8), **options)
    with pytest.raises(VolumeError, match=f"other.tif {reason}"):
        open_image(tmp_path / "other.tif")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """What is no TIFF is refused by its name."""
    (tmp_path / "broken.tif").write_bytes(b"nothing" * 100)
    with pytest.raises(VolumeError, match=r"broken\.tif cannot be read as TIFF"):
        open_image(tmp_path / "broken.tif")
    with pytest.raises(VolumeError, match=r"There is no file gone\.tif"):
        open_image(tmp_path / "gone.tif")


@pytest.mark.parametrize("compression", ["zlib", "lzma", None])
def test_a_file_that_is_damaged_anywhere_is_named(
    tmp_path: Path, voxels: NDArray[np.float32], compression: str | None
) -> None:
    """Whatever a decoder makes of changed and missing bytes, opening and reading end with voxels or with a sentence."""
    path, chance = tmp_path / "t.tif", random.Random(7)
    tifffile.imwrite(path, voxels, compression=compression)
    whole, refused = path.read_bytes(), 0
    for _ in range(60):
        changed = bytearray(whole)
        for _ in range(chance.randrange(1, 5)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        path.write_bytes(changed[: chance.randrange(len(changed))] if chance.random() < 0.3 else changed)
        try:
            read_all(path)
        except VolumeError as error:
            assert error.message.startswith("t.tif")
            refused += 1
    assert refused


OME = """<?xml version="1.0"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:00000000-0000-0000-0000-000000000001">
<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="8" SizeZ="2" SizeC="1"
 SizeT="1"><TiffData IFD="0" FirstZ="0" PlaneCount="1"><UUID FileName="a.ome.tif">
urn:uuid:00000000-0000-0000-0000-000000000001</UUID></TiffData><TiffData IFD="0" FirstZ="1" PlaneCount="1">
<UUID FileName="{}">urn:uuid:00000000-0000-0000-0000-000000000002</UUID></TiffData></Pixels></Image></OME>"""


def test_sections_in_other_folders_are_not_read(tmp_path: Path) -> None:
    """An OME-TIFF may name the files of its other sections: those beside it are read, any other file is refused."""
    folder = tmp_path / "in"
    folder.mkdir()
    for secret in (tmp_path / "b.ome.tif", folder / "b.ome.tif"):
        tifffile.imwrite(secret, np.full((8, 8), 77, np.uint8))
    for name in ("../b.ome.tif", str(tmp_path / "b.ome.tif"), "b.ome.tif"):
        xml = OME.format(name).replace("\n", "")
        tifffile.imwrite(folder / "a.ome.tif", np.ones((8, 8), np.uint8), description=xml, metadata=None)
        if name == "b.ome.tif":
            assert [int(section[0, 0]) for section in read_all(folder / "a.ome.tif")] == [1, 77]
        else:
            with pytest.raises(VolumeError, match="files of other folders"):
                open_image(folder / "a.ome.tif")
