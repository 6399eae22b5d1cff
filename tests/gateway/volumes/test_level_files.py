"""The coarser levels of a volume in a file: what is in it, and which files stay."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryomamba.errors import UnavailableError
from cryomamba.volumes import MaskWriter, blank_header, write_volume
from cryomamba.volumes.halving import halved
from cryomamba_gateway.volumes.hierarchy import chunk_shape
from cryomamba_gateway.volumes.level_file import LevelFile, LevelSource, levels_nbytes, write_levels
from cryomamba_gateway.volumes.level_store import LevelStore
from cryomamba_gateway.volumes.open_images import ImageSource, OpenImage, OpenImages

# More than one chunk along each axis of level 1, no side a whole number of chunks, and the last level with z as it is.
SHAPE = (70, 300, 530)
ALWAYS = 1 << 40


@pytest.fixture
def images() -> Any:
    found = OpenImages()
    yield found
    found.close()


def tomogram(folder: Path, name: str = "ts.mrc", shape: tuple[int, int, int] = SHAPE) -> ImageSource:
    """Write a tomogram of noise."""
    array = np.random.default_rng(8).integers(-2000, 2000, shape, np.int16)
    write_volume(folder / name, array, 9.0, dtype="int16")
    return ImageSource(name, folder / name, (folder,))


def mask(folder: Path) -> ImageSource:
    """Write a mask with a membrane one voxel thick."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 201, :] = 3
    with MaskWriter(folder / "m.mrc", blank_header(SHAPE, 9.0), labels=3, engine="x") as writer:
        writer.write(0, 0, 0, labels)
    return ImageSource("mask", folder / "m.mrc", (folder,), labels=True)


def expected_levels(opened: OpenImage) -> list[Any]:
    """Return all levels, each from the next finer one."""
    arrays: list[Any] = [opened.content.read_native(slice(None), slice(None), slice(None))]
    levels = opened.image.levels
    for finer, level in itertools.pairwise(levels):
        steps = [coarse // fine for coarse, fine in zip(level.factors, finer.factors, strict=True)]
        arrays.append(halved(arrays[-1], steps, labels=opened.image.labels))
    return arrays


@pytest.mark.parametrize("make", [tomogram, mask])
def test_each_level_is_that_of_the_next_finer_one(images: OpenImages, tmp_path: Path, make: Any) -> None:
    """Chunks and planes have the voxels of levels that are made in memory; chunks are padded with zeros."""
    with images.lease(make(tmp_path)) as opened:
        write_levels(opened.content, opened.image, opened.level_source, tmp_path / "k.levels")
        assert (tmp_path / "k.levels").stat().st_size == levels_nbytes(opened.image)
        found = LevelFile(tmp_path / "k.levels", opened.image)
        for number, expected in enumerate(expected_levels(opened)):
            if number == 0:
                continue
            shape = chunk_shape(opened.image.levels[number])
            grid = [-(-side // each) for side, each in zip(expected.shape, shape, strict=True)]
            padded = np.zeros([n * each for n, each in zip(grid, shape, strict=True)], expected.dtype)
            padded[tuple(slice(side) for side in expected.shape)] = expected
            for index in np.ndindex(*grid):
                part = padded[tuple(slice(n * side, (n + 1) * side) for n, side in zip(index, shape, strict=True))]
                assert np.array_equal(found.chunk(number, (index[0], index[1], index[2])), part)
            for along in range(3):
                last = expected.shape[along] - 1
                planes = list(found.planes(number, along, slice(last - 1, last + 1)))
                assert np.array_equal(np.stack(planes, axis=along), expected.take([last - 1, last], along))
        found.close()


def test_levels_appear_whole(images: OpenImages, tmp_path: Path) -> None:
    """A work that was interrupted leaves nothing, and names of the file tell whether it is still the same."""

    def interrupt() -> None:
        raise UnavailableError("The gateway has ended.")

    source = tomogram(tmp_path, shape=(4, 130, 130))
    with images.lease(source) as opened:
        (tmp_path / "levels").mkdir()
        with pytest.raises(UnavailableError):
            write_levels(opened.content, opened.image, opened.level_source, tmp_path / "levels/k.levels", interrupt)
        assert not list((tmp_path / "levels").iterdir())
        write_levels(opened.content, opened.image, opened.level_source, tmp_path / "levels/k.levels")
    known = LevelSource.read(tmp_path / "levels/k.levels")
    assert known is not None
    assert known.is_current()
    os.utime(source.path, (1, 1))
    assert not known.is_current()
    assert LevelSource.read(source.path) is None


def test_the_levels_used_longest_ago_make_room(images: OpenImages, tmp_path: Path) -> None:
    """The folder keeps to its bound; what was opened last stays; what does not fit at all is not made."""
    folder = tmp_path / "levels"
    opened = [tomogram(tmp_path, f"{n}.mrc", (4, 130, 130)) for n in range(3)]
    with images.lease(opened[0]) as first:
        nbytes = levels_nbytes(first.image)
    store = LevelStore(folder, 2 * nbytes, 0)

    def make(n: int) -> bool:
        with images.lease(opened[n]) as image:
            return store.make(f"k{n}", image.image, image.content, image.level_source, lambda: None)

    def there() -> list[str]:
        return sorted(path.stem for path in folder.iterdir())

    assert make(0)
    assert make(1)
    for n, path in enumerate(sorted(folder.iterdir())):
        os.utime(path, (n + 1, n + 1))
    with images.lease(opened[0]) as image:
        found = store.open("k0", image.image)
        assert found is not None
        found.close()
        assert store.open("k2", image.image) is None
    assert make(2)
    assert there() == ["k0", "k2"]
    store = LevelStore(folder, nbytes - 1, 0)
    assert not make(1)
    assert there() == ["k0", "k2"]
    full = shutil.disk_usage(tmp_path).total
    store = LevelStore(folder, ALWAYS, full)
    assert not make(1)


def test_levels_of_files_that_are_gone_are_removed(images: OpenImages, tmp_path: Path) -> None:
    """So are those of files that were changed, and what a killed process left; the others stay."""
    folder = tmp_path / "levels"
    store = LevelStore(folder, ALWAYS, 0)
    for n in range(3):
        with images.lease(tomogram(tmp_path, f"{n}.mrc", (4, 130, 130))) as image:
            assert store.make(f"k{n}", image.image, image.content, image.level_source, lambda: None)
    (tmp_path / "0.mrc").unlink()
    os.utime(tmp_path / "1.mrc", (1, 1))
    old, new = folder / ".k7.levels.00.part", folder / ".k8.levels.00.part"
    for path in (old, new):
        path.write_bytes(b"")
    long_ago = time.time() - 100_000
    os.utime(old, (long_ago, long_ago))
    store.sweep()
    assert sorted(path.name for path in folder.iterdir()) == [new.name, "k2.levels"]
