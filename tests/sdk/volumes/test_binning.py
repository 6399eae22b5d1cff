"""The coarser levels of a volume, read from its file, against numpy on the whole array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryomamba.volumes import LabelVolume, MaskWriter, blank_header, open_volume
from cryomamba.volumes.binning import middle, read_level
from cryomamba.volumes.multiscale import Level, levels_of

Make = Callable[..., Path]
ALL = slice(None)


def reference(array: Any, factors: tuple[int, int, int], *, labels: bool) -> Any:
    """Return a level voxel by voxel, as the documentation describes it."""
    shape = [-(-side // factor) for side, factor in zip(array.shape, factors, strict=True)]
    out = np.empty(shape, array.dtype)
    for index in np.ndindex(*shape):
        cell = [(n * f, min((n + 1) * f, side)) for n, f, side in zip(index, factors, array.shape, strict=True)]
        if not labels:
            cell[:2] = [middle(cell[0]), middle(cell[1])]
        values = array[tuple(slice(*span) for span in cell)]
        mean = values.mean(dtype=np.float64)
        out[index] = values.max() if labels else np.rint(mean) if array.dtype.kind in "iu" else mean
    return out


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float32", "float16"])
@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 2, 2), (4, 4, 4), (1, 8, 8), (16, 16, 16)])
def test_a_level_is_the_mean(make_file: Make, dtype: str, order: str, factors: tuple[int, int, int]) -> None:
    """Every voxel is the mean of those that it covers, of four in the middle of a longer cell, in the file's type."""
    array = np.random.default_rng(3).normal(0, 40, (19, 35, 22)).round().astype(dtype)
    shape = tuple(-(-side // factor) for side, factor in zip(array.shape, factors, strict=True))
    with open_volume(make_file(array, order)) as volume:
        found: Any = read_level(volume, Level(shape, factors), ALL, ALL, ALL)
    assert found.dtype == np.dtype("float32" if dtype == "float16" else dtype).newbyteorder("<")
    expected = reference(array.astype(found.dtype), factors, labels=False)
    assert np.allclose(found, expected, rtol=1e-6, atol=1e-5 if found.dtype.kind == "f" else 0)


@pytest.mark.parametrize("axes", [(1, 2, 3), (1, 3, 2), (3, 1, 2)])
def test_a_block_is_a_part_of_its_level(make_file: Make, axes: tuple[int, int, int]) -> None:
    """Any block equals that part of the whole level, for any order of axes in the file."""
    array = np.random.default_rng(4).integers(0, 200, (30, 41, 50)).astype(np.int16)
    mapc, mapr, maps = axes
    with open_volume(make_file(array, mapc=mapc, mapr=mapr, maps=maps)) as volume:
        zyx: Any = volume.read_native(ALL, ALL, ALL)
        level = Level((-(-zyx.shape[0] // 8), -(-zyx.shape[1] // 8), -(-zyx.shape[2] // 4)), (8, 8, 4))
        whole = read_level(volume, level, ALL, ALL, ALL)
        assert np.array_equal(whole, reference(zyx, level.factors, labels=False))
        part = slice(1, 3), slice(2, 40), slice(3, 9)
        assert np.array_equal(read_level(volume, level, *part), whole[part])
        assert read_level(volume, level, slice(2, 2), ALL, ALL).shape[0] == 0


def test_labels_are_the_largest_of_their_cell(tmp_path: Path) -> None:
    """No label smaller than a voxel of the level is lost in the background, however coarse the level."""
    labels = np.zeros((40, 50, 60), np.uint8)
    labels[np.random.default_rng(5).random(labels.shape) > 0.999] = 3
    labels[20, 7, 33] = 9
    with MaskWriter(tmp_path / "m.mrc", blank_header(labels.shape, 8.0), labels=9, engine="x") as writer:
        writer.write(0, 0, 0, labels)
    with open_volume(tmp_path / "m.mrc") as volume:
        mask = LabelVolume.of(volume)
        for factors in [(2, 2, 2), (16, 16, 16), (1, 4, 8)]:
            shape = [-(-side // factor) for side, factor in zip(labels.shape, factors, strict=True)]
            found = read_level(mask, Level((shape[0], shape[1], shape[2]), factors), ALL, ALL, ALL)
            assert found.dtype == np.uint8
            assert np.array_equal(found, reference(labels, factors, labels=True))


@pytest.mark.parametrize("dtype", ["int16", "uint16"])
def test_sums_do_not_overflow(make_file: Make, dtype: str) -> None:
    """A volume of the largest value has it on every level."""
    top = np.iinfo(dtype).max
    with open_volume(make_file(np.full((8, 8, 300), top, dtype))) as volume:
        assert np.all(read_level(volume, Level((1, 1, 2), (8, 8, 256)), ALL, ALL, ALL) == top)


def test_levels_halve_long_axes_only() -> None:
    """A thin tomogram is not binned along z, and the last level fits into a chunk of 64 voxels a side."""
    levels = levels_of((60, 100, 1000))
    assert levels[1] == ((60, 50, 500), (1, 2, 2))
    assert levels[-1] == ((60, 50, 63), (1, 2, 16))
    assert levels_of((5, 6, 7)) == (((5, 6, 7), (1, 1, 1)),)
