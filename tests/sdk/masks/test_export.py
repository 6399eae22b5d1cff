"""A mask in every format that holds voxels, read back by the library of that format."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import mrcfile
import nibabel
import nrrd
import numpy as np
import pytest
import tifffile
import zarr

from cryomamba.masks.export import export
from cryomamba.volumes import MaskWriter, Volume, blank_header, open_volume

SHAPE = (5, 7, 9)
SIZE = (12.0, 10.0, 13.5)
ORIGIN = (-30.0, 20.5, 100.25)

Found = tuple[Any, Any, Any]


def read_mrc(path: Path) -> Found:
    assert mrcfile.validate(path)
    with mrcfile.open(path) as file:
        size, origin = file.voxel_size, file.header.origin
        return file.data.copy(), [float(size[axis]) for axis in "zyx"], [float(origin[axis]) for axis in "zyx"]


def read_nifti(path: Path) -> Found:
    image: Any = nibabel.load(path)
    assert image.header.get_xyzt_units()[0] == "unknown"
    return np.asarray(image.dataobj).T, np.diag(image.affine)[2::-1], image.affine[2::-1, 3]


def read_nrrd(path: Path) -> Found:
    data, header = nrrd.read(str(path), index_order="C")
    assert header["space units"] == ["angstrom"] * 3
    return data, np.diag(header["space directions"])[::-1], header["space origin"][::-1]


def read_tiff(path: Path) -> Found:
    with tifffile.TiffFile(path) as file:
        assert file.series[0].axes == "ZYX"
        pixels = next(found for found in ET.fromstring(file.ome_metadata or "").iter() if found.tag.endswith("Pixels"))
        plane = next(found for found in pixels if found.tag.endswith("Plane"))
        sizes = [float(pixels.attrib[f"PhysicalSize{axis}"]) for axis in "ZYX"]
        return file.asarray(), sizes, [float(plane.attrib[f"Position{axis}"]) for axis in "ZYX"]


def read_zarr(path: Path) -> Found:
    group = zarr.open_group(path, mode="r")
    ome: Any = group.attrs["ome"]
    assert [axis["name"] + axis["unit"] for axis in ome["multiscales"][0]["axes"]] == [f"{n}angstrom" for n in "zyx"]
    scale, translation = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    array: Any = group["0"]
    return array[:], scale["scale"], translation["translation"]


READERS = {
    "m.mrc": read_mrc,
    "m.nii": read_nifti,
    "m.nii.gz": read_nifti,
    "m.nrrd": read_nrrd,
    "m.ome.tif": read_tiff,
    "m.ome.zarr": read_zarr,
}


@pytest.fixture
def labels() -> Any:
    """Labels that take 16 bits."""
    return np.random.default_rng(3).integers(0, 1000, SHAPE).astype(np.uint16)


@pytest.fixture
def mask(tmp_path: Path, labels: Any) -> Iterator[Volume]:
    """The labels as a file, with an origin and three voxel sizes."""
    header = dataclasses.replace(blank_header(SHAPE, SIZE), standard_origin_A=ORIGIN[::-1])
    with MaskWriter(tmp_path / "mask.mrc", header, labels=1000, engine="x") as writer:
        writer.write(0, 0, 0, labels)
    with open_volume(tmp_path / "mask.mrc") as volume:
        yield volume


@pytest.mark.parametrize(("name", "reader"), READERS.items(), ids=list(READERS))
def test_sixteen_bit_labels_size_and_place_come_back(
    mask: Volume, labels: Any, tmp_path: Path, name: str, reader: Callable[[Path], Found]
) -> None:
    """All labels as uint16, voxel size and origin in ångström along z, y, x."""
    export(mask, tmp_path / name)
    data, size, origin = reader(tmp_path / name)
    assert data.dtype == np.uint16
    assert np.array_equal(data, labels)
    assert size == pytest.approx(SIZE, rel=1e-6)
    assert origin == pytest.approx(ORIGIN, rel=1e-6)


@pytest.mark.parametrize(("name", "reader"), READERS.items(), ids=list(READERS))
def test_one_label_alone(mask: Volume, labels: Any, tmp_path: Path, name: str, reader: Callable[[Path], Found]) -> None:
    """The selected label becomes 1 and all others 0, at the same position."""
    wanted = int(labels[2, 3, 4])
    export(mask, tmp_path / name, label=wanted)
    data, size, origin = reader(tmp_path / name)
    assert np.array_equal(data, labels == wanted)
    assert size == pytest.approx(SIZE, rel=1e-6)
    assert origin == pytest.approx(ORIGIN, rel=1e-6)
