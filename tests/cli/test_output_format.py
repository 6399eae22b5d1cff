"""Masks in the format of the extension that was given with -o, and dry runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from typer.testing import Result

from cryomamba.volumes import open_volume

Cli = Callable[..., Result]


def voxels(path: Path) -> np.ndarray:
    with open_volume(path) as volume:
        return volume.read_native(slice(None), slice(None), slice(None))


@pytest.fixture
def mask(cli: Cli, tomogram: Path) -> np.ndarray:
    """The mask that the command writes by default."""
    assert cli("segment", tomogram, "-e", "threshold", "-o", "expected.mrc").exit_code == 0
    return voxels(Path("expected.mrc"))


def test_a_mask_has_the_format_of_its_extension(cli: Cli, tomogram: Path, mask: np.ndarray) -> None:
    """NIfTI, TIFF and a mesh; the other files are beside it, and nothing else is left behind."""
    before = set(Path().iterdir())
    for name in ("m.nii.gz", "m.tif", "m.stl"):
        done = cli("segment", tomogram, "-e", "threshold", "-o", name)
        assert done.exit_code == 0, done.stderr
        assert done.stdout == f"{name}\n"
    assert {path.name for path in set(Path().iterdir()) - before} == {"m.nii.gz", "m.tif", "m.stl"}
    assert (tifffile.imread("m.tif") == mask).all()
    assert np.array_equal(np.asarray(nibabel.Nifti1Image.from_filename("m.nii.gz").dataobj).T, mask)


def test_files_beside_a_mask_are_named_after_it(cli: Cli, tomogram: Path) -> None:
    """Tables and other formats; the mask is listed first."""
    done = cli("segment", tomogram, "-e", "particles", "-p", "diameter_A=100", "-o", "p.nrrd", "--format", "stl")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split() == ["p.nrrd", "p.csv", "p.stl"]
    assert all(Path(name).stat().st_size for name in done.stdout.split())


def test_a_folder_of_zarr_is_replaced_by_force_only(cli: Cli, tomogram: Path) -> None:
    """Although it is a folder, it is the mask and not the folder of it."""
    assert cli("segment", tomogram, "-e", "threshold", "-o", "m.ome.zarr").exit_code == 0
    assert cli("segment", tomogram, "-e", "threshold", "-o", "m.ome.zarr").exit_code == 6
    assert cli("segment", tomogram, "-e", "threshold", "-o", "m.ome.zarr", "-f").exit_code == 0
    assert {path.name for path in Path("m.ome.zarr").iterdir()} >= {"zarr.json", "0"}


def test_a_cleaned_mask_has_the_format_of_its_extension(cli: Cli, tomogram: Path, mask: np.ndarray) -> None:
    """As one that an engine has made."""
    assert cli("clean", "expected.mrc", "--fill-holes", "-o", "c.mrc").exit_code == 0
    assert cli("clean", "expected.mrc", "--fill-holes", "-o", "c.nrrd").exit_code == 0
    assert cli("export", "c.mrc", "-o", "d.nrrd").exit_code == 0
    assert Path("c.nrrd").read_bytes() == Path("d.nrrd").read_bytes()


def test_a_dry_run_of_one_tomogram_checks_and_writes_nothing(cli: Cli, tomogram: Path) -> None:
    """It names the engine, the parameters and the files; what would fail at once fails."""
    before = set(Path().iterdir())
    done = cli("segment", tomogram, "-e", "threshold", "-p", "sigma_A=20", "-o", "new/", "--dry-run", "--json")
    assert done.exit_code == 0, done.stderr
    planned = json.loads(done.stdout)
    assert planned["engine"] == "threshold"
    assert planned["params"] == {"sigma_A": 20.0}
    assert planned["files"] == ["new/ball__threshold.mrc"]
    assert set(Path().iterdir()) == before
    assert cli("segment", "missing.mrc", "--dry-run").exit_code == 5
    Path("there.mrc").touch()
    assert cli("segment", tomogram, "--dry-run", "-o", "there.mrc").exit_code == 6


def test_a_dry_run_of_a_watched_folder_lists_what_is_there(cli: Cli, tomogram: Path, mask: np.ndarray) -> None:
    """With what would be done; the folder of results is not made."""
    done = cli("watch-folder", ".", "-o", "out", "-e", "threshold", "--dry-run", "--json")
    assert done.exit_code == 0, done.stderr
    plans = {Path(one["tomogram"]).name: one["plan"] for one in json.loads(done.stdout)}
    assert plans == {"ball.mrc": "segment", "expected.mrc": "leave out: a result of CryoMamba"}
    assert not Path("out").exists()
