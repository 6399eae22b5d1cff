"""``convert``: TIFF and OME-Zarr become MRC with the same voxels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from typer.testing import Result

Cli = Callable[..., Result]


@pytest.fixture
def voxels() -> NDArray[np.float32]:
    """Densities of 5 × 7 × 9 voxels."""
    return np.random.default_rng(0).normal(size=(5, 7, 9)).astype(np.float32)


def write_zarr(folder: Path, voxels: NDArray[np.float32]) -> None:
    """Write an OME-Zarr image of voxels of 1.3 nm."""
    group = zarr.create_group(folder, zarr_format=3)
    group.create_array("0", data=voxels, chunks=(2, 4, 4))
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [1.3, 1.3, 1.3]}]
    multiscale: Any = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}


def test_a_tiff_becomes_mrc_with_the_voxel_size_given(cli: Cli, tmp_path: Path, voxels: NDArray[np.float32]) -> None:
    """mrcfile reads the voxels of the TIFF file, and the voxel size of the command line."""
    tifffile.imwrite(tmp_path / "t1.tif", voxels)
    done = cli("convert", "t1.tif", "-o", "t1.mrc", "--voxel-size", "13.5")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == "t1.mrc"
    assert "warning" not in done.stderr
    with mrcfile.open(tmp_path / "t1.mrc") as file:
        assert np.array_equal(file.data, voxels)
        assert float(file.voxel_size.x) == pytest.approx(13.5)


def test_a_missing_voxel_size_is_told(cli: Cli, tmp_path: Path, voxels: NDArray[np.float32]) -> None:
    """A TIFF file without voxel size is converted with a warning."""
    tifffile.imwrite(tmp_path / "t1.tif", voxels)
    assert "voxel size" in cli("convert", "t1.tif", "-o", "t1.mrc").stderr


def test_ome_zarr_keeps_its_voxel_size(cli: Cli, tmp_path: Path, voxels: NDArray[np.float32]) -> None:
    """The voxel size in nm of an OME-Zarr image arrives in Å."""
    write_zarr(tmp_path / "t1.ome.zarr", voxels)
    assert cli("convert", "t1.ome.zarr", "-o", "t1.mrc").exit_code == 0
    with mrcfile.open(tmp_path / "t1.mrc") as file:
        assert np.array_equal(file.data, voxels)
        assert float(file.voxel_size.z) == pytest.approx(13)


def test_a_file_that_exists_is_kept(cli: Cli, tmp_path: Path, voxels: NDArray[np.float32]) -> None:
    """Without --force the output is refused before anything is read."""
    tifffile.imwrite(tmp_path / "t1.tif", voxels)
    (tmp_path / "t1.mrc").write_bytes(b"mine")
    assert cli("convert", "t1.tif", "-o", "t1.mrc").exit_code != 0
    assert (tmp_path / "t1.mrc").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["t1.tif", "t1.ome.zarr"])
def test_segment_says_how_to_convert(cli: Cli, tmp_path: Path, voxels: NDArray[np.float32], name: str) -> None:
    """An image of another format is refused with the command that makes it readable."""
    tifffile.imwrite(tmp_path / "t1.tif", voxels)
    write_zarr(tmp_path / "t1.ome.zarr", voxels)
    done = cli("segment", name)
    assert done.exit_code != 0
    assert "cryomamba convert" in done.stderr
