"""Volumes with every property that a header can have are segmented, and each mask has the grid of its volume."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

import cryomamba
from cryomamba.models.jobs import SubmitRequest, VolumeSource
from cryomamba.testing import Stack
from cryomamba.volumes import write_volume
from cryomamba_inference.local import LocalRunner

pytestmark = pytest.mark.system


def generated(folder: Path) -> Path:
    """A file with permuted axes, starts, an origin, an anisotropic cell and an extended header."""
    rng = np.random.default_rng(3)
    path = folder / "generated.mrc"
    with mrcfile.new(path) as file:
        file.set_data(rng.normal(size=(10, 12, 14)).astype(np.float32))
        file.voxel_size = (9.0, 10.0, 11.0)
        file.header.mapc, file.header.mapr, file.header.maps = 3, 1, 2
        file.header.nxstart, file.header.nystart, file.header.nzstart = 0, -21, -12
        file.header.origin = (5.0, 6.0, 7.0)
        file.set_extended_header(np.zeros(160, "V1"))
    return path


def microtubule(folder: Path, shared: Path) -> Path:
    tifffile = pytest.importorskip("tifffile")
    path = folder / "13pf_MT.mrc"
    write_volume(path, tifffile.imread(shared / "13pf_MT.tif").astype(np.float32), 10.52)
    return path


SOURCES: dict[str, Callable[[Path, Path], Path]] = {
    "EMD-3197": lambda folder, shared: copied(shared / "EMD-3197.map", folder),
    "EMD-3001": lambda folder, shared: copied(shared / "EMD-3001.map", folder),
    "13pf_MT": microtubule,
}


def copied(path: Path, folder: Path) -> Path:
    target = folder / path.name
    target.write_bytes(path.read_bytes())
    return target


def assert_same_grid(mask_path: Path, volume_path: Path) -> None:
    """The mask keeps grid, cell, start, origin and axes, has right statistics, and no library warns about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mrcfile.validate(mask_path)
        with mrcfile.open(mask_path) as mask, mrcfile.open(volume_path, permissive=True) as volume:
            for field in ("nx", "ny", "nz", "mx", "my", "mz", "nxstart", "nystart", "nzstart", "mapc", "mapr", "maps"):
                assert mask.header[field] == volume.header[field], field
            for field in ("cella", "cellb", "origin"):
                assert mask.header[field].item() == pytest.approx(volume.header[field].item()), field
            assert mask.header.nsymbt == 0
            assert mask.data.dtype == np.int8
            assert 0 < mask.data.mean() < 1
            assert mask.header.dmean == pytest.approx(float(mask.data.mean()), abs=1e-6)


def through_services(stack: Stack, url: str, path: Path, target: Path) -> Path:
    with cryomamba.connect(url) as client:
        job = client.submit(path, engine="threshold")
        job.wait()
        return client.download(job.job_id, "mask.mrc", target)


def in_this_process(path: Path, target: Path) -> Path:
    request = SubmitRequest(volume=VolumeSource(path=str(path)), engine="threshold")
    run: Any = LocalRunner().run
    run(path, request, output=target, on_event=lambda _: None, cancelled=lambda: False)
    return target


def check_all_routes(stack: Stack, path: Path, folder: Path) -> None:
    masks = [
        through_services(stack, stack.bus_url, path, folder / "bus.mrc"),
        through_services(stack, stack.http_url, path, folder / "http.mrc"),
        in_this_process(path, folder / "local.mrc"),
    ]
    for mask in masks:
        assert_same_grid(mask, path)
    assert len({mask.read_bytes()[1024:] for mask in masks}) == 1


def test_every_header_property_is_kept(stack: Stack, tmp_path: Path) -> None:
    """Axes, starts, origin, cell and extended header are kept over bus, gateway and a local run, with equal masks."""
    check_all_routes(stack, generated(tmp_path), tmp_path)


@pytest.mark.parametrize("name", list(SOURCES))
def test_real_files_are_segmented(name: str, stack: Stack, tmp_path: Path, shared_data: Path) -> None:
    """Real maps give equal masks over bus, gateway and a local run."""
    check_all_routes(stack, SOURCES[name](tmp_path, shared_data), tmp_path)
