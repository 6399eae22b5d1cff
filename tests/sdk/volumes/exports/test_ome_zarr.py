from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaozarrs
import zarr

from cryomamba.volumes import MaskWriter, Volume, blank_header, multiscale, open_volume
from cryomamba.volumes.exports import ome_zarr, write_ome_zarr


@pytest.fixture(autouse=True)
def small_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels, chunks and blocks small enough that a small volume has several of each."""
    monkeypatch.setattr(multiscale, "SMALLEST_SIDE", 4)
    monkeypatch.setattr(ome_zarr, "_CHUNK", 8)
    monkeypatch.setattr(ome_zarr, "_BLOCK", 16)


def transforms(group: zarr.Group) -> list[tuple[list[float], list[float]]]:
    found: Any = group.attrs["ome"]
    assert found["version"] == "0.5"
    image = found["multiscales"][0]
    assert [(axis["name"], axis["type"], axis["unit"]) for axis in image["axes"]] == [
        (name, "space", "angstrom") for name in "zyx"
    ]
    steps = [dataset["coordinateTransformations"] for dataset in image["datasets"]]
    assert all([part["type"] for part in step] == ["scale", "translation"] for step in steps)
    return [(step[0]["scale"], step[1]["translation"]) for step in steps]


def level(group: zarr.Group, number: int) -> Any:
    array = group[str(number)]
    assert isinstance(array, zarr.Array)
    return array[:]


def test_zarr_reads_values_and_every_level_lies_on_the_first(volume: Volume, array: Any, tmp_path: Path) -> None:
    """Level 0 is the volume; a coarser voxel's centre is the mean of the centres that it covers."""
    write_ome_zarr(volume, tmp_path / "v.ome.zarr")
    group = zarr.open_group(tmp_path / "v.ome.zarr", mode="r")
    assert np.array_equal(level(group, 0), array)
    found = transforms(group)
    assert found[0] == ([12.0, 10.0, 13.48], [-30.0, 20.5, 100.25])
    assert len(found) == 3
    for scale, translation in found[1:]:
        for axis in range(3):
            size, start = found[0][0][axis], found[0][1][axis]
            covered = [start + size * n for n in range(round(scale[axis] / size))]
            assert translation[axis] == pytest.approx(np.mean(covered))
    assert level(group, 1)[1, 1, 1] == pytest.approx(array[2:4, 2:4, 2:4].mean(), rel=1e-5)


def test_a_thin_label_survives_every_level(tmp_path: Path) -> None:
    """A membrane one voxel thick stays complete on every level."""
    block = np.zeros((37, 41, 50), np.uint8)
    block[:, 21, :] = 3
    with MaskWriter(tmp_path / "m.mrc", blank_header(block.shape, 10.0), labels=3, engine="x") as writer:
        writer.write(0, 0, 0, block)
    with open_volume(tmp_path / "m.mrc") as mask:
        write_ome_zarr(mask, tmp_path / "m.ome.zarr", labels=True)
    group = zarr.open_group(tmp_path / "m.ome.zarr", mode="r")
    count = len(transforms(group))
    assert count == 5
    for number in range(count):
        values = level(group, number)
        assert values.dtype == np.uint8
        assert np.all(values[:, 21 // 2**number, :] == 3)
        assert np.count_nonzero(values) == values.shape[0] * values.shape[2]


@pytest.mark.parametrize("kind", ["volume", "mask"])
def test_a_validator_finds_nothing(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """yaozarrs accepts metadata and arrays as OME-Zarr 0.5, and rejects a missing level."""
    path = tmp_path / "v.ome.zarr"
    write_ome_zarr(request.getfixturevalue(kind), path, labels=kind == "mask")
    group = yaozarrs.validate_zarr_store(path)
    assert group.ome_version() == "0.5"
    shutil.rmtree(path / "1")
    with pytest.raises(ValueError, match="1"):
        yaozarrs.validate_zarr_store(path)


def test_a_flat_axis_is_not_halved(tmp_path: Path) -> None:
    """A short axis is not downsampled and keeps its position."""
    with MaskWriter(tmp_path / "m.mrc", blank_header((1, 40, 40), 10.0), labels=1, engine="x") as writer:
        writer.write(0, 0, 0, np.ones((1, 40, 40), np.uint8))
    with open_volume(tmp_path / "m.mrc") as mask:
        write_ome_zarr(mask, tmp_path / "m.ome.zarr", labels=True)
    found = transforms(zarr.open_group(tmp_path / "m.ome.zarr", mode="r"))
    assert {(scale[0], translation[0]) for scale, translation in found} == {(10.0, 0.0)}


def test_an_export_replaces_an_older_one_only_when_it_is_whole(volume: Volume, tmp_path: Path) -> None:
    """A failed export leaves the old folder and nothing else."""
    path = tmp_path / "out" / "v.ome.zarr"
    path.mkdir(parents=True)
    (path / "old").touch()

    def stop(_: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        write_ome_zarr(volume, path, progress=stop)
    assert [entry.name for entry in path.iterdir()] == ["old"]
    assert list(path.parent.iterdir()) == [path]
    write_ome_zarr(volume, path)
    assert not (path / "old").exists()
    assert list(path.parent.iterdir()) == [path]
