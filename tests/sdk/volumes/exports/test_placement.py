"""All exports of one mask put each voxel at the same place in Å, in every program that reads them."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mrcfile
import nibabel
import nrrd
import numpy as np
import pytest
import tifffile

from cryomamba.masks.export import export
from cryomamba.volumes import HeaderFields, MaskWriter, blank_header, open_volume
from cryomamba.volumes.exports.nrrd import VectorFieldWriter

SHAPE = (5, 7, 9)
VOXEL_SIZE = (12.5, 13.5, 10.25)
VOXEL = (1, 5, 2)
"""The only voxel of the mask (z, y, x)."""


def by_origin() -> HeaderFields:
    """A grid that is placed by the header's origin."""
    origin = (100.25, -200.5, 3000.0)
    return replace(blank_header(SHAPE, VOXEL_SIZE), origin_A=origin, standard_origin_A=origin)


def by_start() -> HeaderFields:
    """A grid that is placed by the header's start, with permuted axes."""
    header = replace(blank_header(SHAPE, VOXEL_SIZE), axes=(2, 1, 3), nstart=(-21, 13, 240))
    return replace(header, file_shape=(SHAPE[0], SHAPE[2], SHAPE[1]))


@pytest.fixture(params=[by_origin, by_start])
def mask(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A mask of one voxel, off the origin, with a different voxel size along each axis."""
    with MaskWriter(tmp_path / "mask.mrc", request.param(), labels=1, engine="x") as writer:
        writer.write(*VOXEL, np.ones((1, 1, 1), np.uint8))
    return tmp_path / "mask.mrc"


def chimerax_mrc(path: Path) -> Any:
    """Return where ChimeraX puts the marked voxel: at the origin, or if that is zero, at the start."""
    with mrcfile.open(path) as file:
        header, axes = file.header, [int(file.header[name]) - 1 for name in ("mapc", "mapr", "maps")]
        step = np.array(header.cella.item()) / np.array([int(header[name]) for name in ("mx", "my", "mz")])
        start, index = np.zeros(3), np.zeros(3)
        found = np.argwhere(file.data)[0][::-1]
        for place, axis in enumerate(axes):
            start[axis] = int(header[("nxstart", "nystart", "nzstart")[place]])
            index[axis] = found[place]
        origin = np.array(header.origin.item())
    return (origin if origin.any() else start * step) + index * step


def nibabel_nifti(path: Path) -> Any:
    """Return where the affine puts the marked voxel."""
    image: Any = nibabel.load(path)
    assert image.header.get_xyzt_units()[0] == "unknown"
    return (image.affine @ [*np.argwhere(np.asarray(image.dataobj))[0], 1])[:3]


def chimerax_nifti(path: Path) -> Any:
    """Return where ChimeraX puts the marked voxel: lengths and directions of the affine's columns, and its offset."""
    image: Any = nibabel.load(path)
    step = np.linalg.norm(image.affine[:3, :3], axis=0)
    rotation = image.affine[:3, :3] / step
    return rotation @ (np.argwhere(np.asarray(image.dataobj))[0] * step) + image.affine[:3, 3]


def pynrrd(path: Path) -> Any:
    """Return where directions and origin put the marked voxel."""
    data, header = nrrd.read(str(path))
    assert header["space units"] == ["angstrom"] * 3
    return header["space origin"] + np.argwhere(data)[0] @ header["space directions"]


def itk(path: Path) -> Any:
    """Return where ITK puts the marked voxel, with x and y turned from its own convention (LPS) to the file's (RAS)."""
    simpleitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    image = simpleitk.ReadImage(str(path))
    index = np.argwhere(simpleitk.GetArrayFromImage(image))[0][::-1]
    return np.array(image.TransformIndexToPhysicalPoint([int(at) for at in index])) * (-1, -1, 1)


def ome_tiff(path: Path) -> Any:
    """Return where OME's physical sizes and positions put the marked voxel."""
    with tifffile.TiffFile(path) as file:
        z, y, x = np.argwhere(file.asarray())[0]
        tree = ET.fromstring(file.ome_metadata or "")
    name = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
    pixels, plane = tree.find(f".//{name}Pixels"), tree.findall(f".//{name}Plane")[z]
    assert pixels is not None
    assert {pixels.attrib[f"PhysicalSize{axis}Unit"] for axis in "XYZ"} == {"Å"}
    sizes = [float(pixels.attrib[f"PhysicalSize{axis}"]) for axis in "XYZ"]
    corner = [float(plane.attrib[f"Position{axis}"]) for axis in "XYZ"]
    return np.array(corner) + np.array([x, y, 0]) * sizes


def ome_zarr(path: Path) -> Any:
    """Return where scale and translation of the full resolution put the marked voxel."""
    import zarr

    group = zarr.open_group(path, mode="r")
    image: Any = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    assert {axis["unit"] for axis in image["axes"]} == {"angstrom"}
    scale, translation = image["datasets"][0]["coordinateTransformations"]
    index = np.argwhere(np.asarray(group["0"]))[0]
    return (index * scale["scale"] + translation["translation"])[::-1]


def mesh(path: Path) -> Any:
    """Return the middle of the closed surface around the marked voxel."""
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed")
    return trimesh.load(path).bounds.mean(axis=0)


READERS: list[tuple[str, Callable[[Path], Any]]] = [
    (".mrc", chimerax_mrc),
    (".nii", nibabel_nifti),
    (".nii.gz", nibabel_nifti),
    (".nii", chimerax_nifti),
    (".nii.gz", itk),
    (".nrrd", pynrrd),
    (".nrrd", itk),
    (".ome.tif", ome_tiff),
    (".ome.zarr", ome_zarr),
    (".stl", mesh),
    (".obj", mesh),
]


@pytest.mark.parametrize(("extension", "read"), READERS)
def test_a_voxel_is_at_the_same_place_in_every_format(
    mask: Path, tmp_path: Path, extension: str, read: Callable[[Path], Any]
) -> None:
    """Read by its own library, each export has the marked voxel where the mask has it, in Å."""
    with open_volume(mask) as volume:
        expected = np.array(volume.header.placement_A) + np.array(VOXEL) * VOXEL_SIZE
        export(volume, tmp_path / f"out{extension}")
    # NIfTI-1 and STL have 32-bit floats, OBJ hundredths.
    np.testing.assert_allclose(read(tmp_path / f"out{extension}"), expected[::-1], rtol=1e-6, atol=0.01)


def test_itk_sees_one_grid(mask: Path, tmp_path: Path) -> None:
    """For ITK, NIfTI, NRRD and normals have equal spacing, origin and direction, and lengths in Å."""
    simpleitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    with open_volume(mask) as volume:
        export(volume, tmp_path / "out.nii.gz")
        export(volume, tmp_path / "out.nrrd")
        with VectorFieldWriter(tmp_path / "normals.nrrd", volume) as field:
            field.write(np.zeros((*SHAPE, 3), np.float32))
    nifti, nrrd_file, normals = (
        simpleitk.ReadImage(str(tmp_path / name)) for name in ("out.nii.gz", "out.nrrd", "normals.nrrd")
    )
    for image in (nrrd_file, normals):
        np.testing.assert_allclose(image.GetSpacing(), nifti.GetSpacing(), rtol=1e-6)
        np.testing.assert_allclose(image.GetOrigin(), nifti.GetOrigin(), rtol=1e-6)
        assert image.GetDirection() == nifti.GetDirection() == (-1, 0, 0, 0, -1, 0, 0, 0, 1)
    assert simpleitk.GetArrayFromImage(nifti).tolist() == simpleitk.GetArrayFromImage(nrrd_file).tolist()
    assert math.prod(nifti.GetSpacing()) == pytest.approx(math.prod(VOXEL_SIZE))


def test_itk_reads_mrc_with_x_and_y_of_the_other_sign(tmp_path: Path) -> None:
    """ITK's MRC reader agrees on voxel size and origin, but not on the axes: the guide says to export both files."""
    simpleitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    with MaskWriter(tmp_path / "mask.mrc", by_origin(), labels=1, engine="x"):
        pass
    with open_volume(tmp_path / "mask.mrc") as volume:
        export(volume, tmp_path / "mask.nrrd")
    mrc, exported = (simpleitk.ReadImage(str(tmp_path / name)) for name in ("mask.mrc", "mask.nrrd"))
    np.testing.assert_allclose(mrc.GetSpacing(), exported.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(np.array(mrc.GetOrigin()) * (-1, -1, 1), exported.GetOrigin(), rtol=1e-6)
    assert mrc.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
