"""What the Zarr hierarchy is made of, without a gateway: documents, keys, chunks, cache, turns, sections."""

from __future__ import annotations

import asyncio
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from cryomamba.errors import InvalidRequestError
from cryomamba.volumes import LabelVolume, MaskWriter, blank_header, open_volume, write_volume
from cryomamba.volumes.multiscale import levels_of
from cryomamba_gateway.png import grey_png
from cryomamba_gateway.volumes import sections
from cryomamba_gateway.volumes.byte_cache import ByteCache
from cryomamba_gateway.volumes.caller_turns import CallerTurns
from cryomamba_gateway.volumes.chunks import encode_chunk, voxels_of
from cryomamba_gateway.volumes.hierarchy import CHUNK, Image, chunk_address, documents
from cryomamba_gateway.volumes.open_images import ImageSource, OpenImages
from cryomamba_gateway.volumes.reader import GROUP_NBYTES, group_of
from cryomamba_gateway.volumes.sections import SectionQuery

SHAPE = (40, 150, 300)


def image(dtype: str = "<i2", *, labels: bool = False, shape: tuple[int, int, int] = SHAPE) -> Image:
    return Image("ts", levels_of(shape), np.dtype(dtype), (10.0, 10.0, 10.0), (0.0, 0.0, 0.0), labels)


def test_keys_name_chunks_inside_the_grid_only() -> None:
    """Keys of both versions, of images at the root and below labels; nothing outside, nothing malformed."""
    images = {"": image(), "labels/mask": image("|u1", labels=True)}
    assert chunk_address("0/c/1/1/2", images, "0.5") == ("", 0, (1, 1, 2))
    assert chunk_address("labels/mask/1/c/1/0/1", images, "0.5") == ("labels/mask", 1, (1, 0, 1))
    assert chunk_address("labels/mask/1/1/0/1", images, "0.4") == ("labels/mask", 1, (1, 0, 1))
    for key in (
        "0/c/2/0/0",
        "0/c/0/0/3",
        "7/c/0/0/0",
        "0/1/1/1",
        "x/0/c/0/0/0",
        "0/c/-1/0/0",
        "0/c/0/0/0/0",
        "/0/c/0/0/0",
    ):
        assert chunk_address(key, images, "0.5") is None, key


def test_documents_of_a_version_do_not_name_the_other() -> None:
    """Neuroglancer refuses a hierarchy that has documents of both versions."""
    images = {"": image(), "labels/mask": image("|u1", labels=True)}
    new, old = documents(images, "0.5"), documents(images, "0.4")
    assert {key.rpartition("/")[2] for key in new} == {"zarr.json"}
    assert {key.rpartition("/")[2] for key in old} == {".zgroup", ".zattrs", ".zarray", ".zmetadata"}
    assert new["labels/zarr.json"]["attributes"]["ome"]["labels"] == ["mask"]
    assert "labels" not in documents({"": image()}, "0.5")["zarr.json"]["consolidated_metadata"]["metadata"]


def test_a_chunk_at_the_end_is_padded() -> None:
    """Every chunk has the same shape; compressed ones give the same bytes each time."""
    level = levels_of(SHAPE)[0]
    window = voxels_of(level, (1, 1, 2))
    assert window == (slice(32, 40), slice(128, 150), slice(256, 300))
    block = np.arange(8 * 22 * 44, dtype="<i2").reshape(8, 22, 44)
    raw = encode_chunk(block, CHUNK, compressed=False)
    whole = np.frombuffer(raw, "<i2").reshape(CHUNK)
    assert np.array_equal(whole[:8, :22, :44], block)
    assert np.count_nonzero(whole) == np.count_nonzero(block)
    packed = encode_chunk(block, CHUNK, compressed=True)
    assert gzip.decompress(packed) == raw
    assert packed == encode_chunk(block, CHUNK, compressed=True)


def test_groups_of_chunks_have_bounded_size_and_cover_a_row() -> None:
    """Each chunk belongs to exactly one group, and no group exceeds the bound."""
    wide = image("<f4", shape=(32, 128, 40_000))
    rows = {tuple(group_of(wide, 0, (0, 0, x))) for x in range(313)}
    assert sorted(x for row in rows for _, _, x in row) == list(range(313))
    assert all(len(row) * 32 * 128 * 128 * 4 <= GROUP_NBYTES for row in rows)
    assert len(rows) > 1


def test_the_cache_keeps_to_its_bound() -> None:
    """What was used longest ago goes first; what is too large is not kept at all."""
    cache = ByteCache(10)
    cache.put("a", b"1234")
    cache.put("b", b"1234")
    assert cache.get("a") == b"1234"
    cache.put("c", b"1234")
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (b"1234", None, b"1234")
    cache.put("a", b"12")
    assert cache.nbytes == 6
    cache.put("d", b"12345678901")
    assert (cache.get("d"), cache.nbytes) == (None, 6)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (683, 853)])
def test_a_grey_image_is_what_readers_read(shape: tuple[int, int]) -> None:
    """Every pixel of noise, of a constant and of a ramp comes back."""
    noise = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    for grey in (noise, np.full(shape, 7, np.uint8), np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)):
        found = PIL.Image.open(io.BytesIO(grey_png(grey)))
        assert (found.format, found.mode) == ("PNG", "L")
        assert np.array_equal(np.asarray(found), grey)
    assert len(grey_png(np.zeros((512, 512), np.uint8))) < 5000


async def test_one_caller_does_not_hold_up_another() -> None:
    """A caller has as many turns as allowed; the next of its requests waits, one of another caller does not."""
    turns = CallerTurns(2)
    async with turns.turn("ada"), turns.turn("ada"):
        third = asyncio.create_task(turns.turn("ada").__aenter__())
        async with turns.turn("bob"):
            assert not third.done()
    await third


def test_an_open_image_is_closed_when_nobody_reads_it_any_more(tmp_path: Path) -> None:
    """Files beyond the bound are closed after their last reader; a replaced file is opened anew."""
    sources = []
    for n in range(3):
        write_volume(tmp_path / f"{n}.mrc", np.full((2, 3, 4), n, np.float32), 9.0)
        sources.append(ImageSource(str(n), tmp_path / f"{n}.mrc", (tmp_path,)))
    images = OpenImages(1)
    with images.lease(sources[0]) as first:
        with images.lease(sources[1]), images.lease(sources[2]):
            assert first.content.read_native(slice(0, 1), slice(0, 1), slice(0, 1)) == 0
        with images.lease(sources[0]) as again:
            assert again is not first
    with pytest.raises((OSError, ValueError)):
        first.content.read_native(slice(0, 1), slice(0, 1), slice(0, 1))
    with images.lease(sources[2]) as before:
        key = before.key
    write_volume(tmp_path / "2.mrc", np.full((2, 3, 4), 7, np.float32), 9.0)
    with images.lease(sources[2]) as after:
        assert after.key != key
        assert after.content.read_native(slice(0, 1), slice(0, 1), slice(0, 1)) == 7
    images.close()


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_a_section_is_the_mean_of_a_slab(tmp_path: Path, axis: sections.Axis) -> None:
    """Planes are averaged around the index, and binned by an integer; at the ends with what is left."""
    array = np.random.default_rng(2).normal(size=(21, 30, 45)).astype(np.float32)
    write_volume(tmp_path / "v.mrc", array, 9.0)
    along = "zyx".index(axis)
    with open_volume(tmp_path / "v.mrc") as volume:

        def section(index: int | None, thickness: int, size: int) -> Any:
            found = sections.section_of(volume, SectionQuery(axis, index, thickness, size))
            assert not found.sampled
            return found.values

        assert np.allclose(section(5, 1, 64), array.take(5, along))
        assert np.allclose(section(5, 3, 64), array.take([4, 5, 6], along).mean(along), atol=1e-6)
        assert np.allclose(section(0, 5, 64), array.take([0, 1, 2], along).mean(along), atol=1e-6)
        binned = section(None, 1, 16)
        middle = array.take(array.shape[along] // 2, along)
        factor = -(-max(middle.shape) // 16)
        assert binned.shape == tuple(-(-side // factor) for side in middle.shape)
        for row, column in np.ndindex(*binned.shape):
            cell = middle[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
            assert binned[row, column] == pytest.approx(cell.mean(), abs=1e-6)
        with pytest.raises(InvalidRequestError, match=f"no slice {array.shape[along]} along {axis}"):
            section(array.shape[along], 1, 64)


@pytest.mark.parametrize("axes", [(1, 2, 3), (2, 1, 3), (1, 3, 2)])
def test_a_section_across_a_large_file_without_levels_is_a_sample(
    tmp_path: Path, axes: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made of the rows in the middle of each cell, for every order of axes; not along other axes."""
    array = np.random.default_rng(2).normal(size=(20, 30, 40)).astype(np.float32)
    path = tmp_path / "v.mrc"
    write_volume(path, array, 9.0)
    with path.open("r+b") as file:
        file.seek(64)
        file.write(np.array(axes, "<i4").tobytes())
    with open_volume(path) as volume:
        zyx: Any = volume.read(slice(None), slice(None), slice(None))
        across: sections.Axis = "xyz"[axes[0] - 1]  # type: ignore[assignment]
        along = "zyx".index(across)
        found = sections.section_of(volume, SectionQuery(across, 7, 3, 8), lambda: None)
        plane = zyx.take([6, 7, 8], along).mean(along)
        factor = -(-max(plane.shape) // 8)
        assert found.sampled
        assert np.allclose(found.values, plane[factor // 2 :: factor, factor // 2 :: factor], atol=1e-6)
        for other in set(sections.AXES) - {across}:
            assert not sections.section_of(volume, SectionQuery(other, 7), lambda: None).sampled
        monkeypatch.setattr(sections, "_ROWS_MAX", 20)
        assert sections.section_of(volume, SectionQuery(across, 7, 3, 1000), lambda: None).values.size <= 20


@pytest.mark.parametrize(("size", "number"), [(1000, 1), (150, 1), (75, 1), (40, 2), (37, 2)])
def test_a_section_across_a_large_file_is_made_of_a_coarser_level(tmp_path: Path, size: int, number: int) -> None:
    """Of the coarsest that has enough pixels, and at least of the first; of the planes that a slab touches."""
    array = np.random.default_rng(2).integers(-999, 999, (140, 150, 90), np.int16)
    write_volume(tmp_path / "v.mrc", array, 9.0, dtype="int16")
    asked = []

    class Levels:
        def planes(self, number: int, along: int, slab: slice) -> Any:
            asked.append((number, along, slab))
            level = levels_of(array.shape)[number]
            sides = [side for axis, side in enumerate(level.shape) if axis != along]
            return [np.full(sides, n, np.int16) for n in range(slab.start, slab.stop)]

    with open_volume(tmp_path / "v.mrc") as volume:
        found = sections.section_of(volume, SectionQuery("x", 41, 7, size), Levels)
    # Columns 38 to 44; x was halved once, for level 1.
    assert asked == [(number, 2, slice(19, 23))]
    assert not found.sampled
    assert max(found.values.shape) <= size
    assert np.allclose(found.values, 20.5)


def test_a_section_of_labels_is_their_maximum(tmp_path: Path) -> None:
    """A membrane one voxel thick is in the binned section of a slab."""
    labels = np.zeros((20, 40, 40), np.uint8)
    labels[7, 21, :] = 3
    with MaskWriter(tmp_path / "m.mrc", blank_header(labels.shape, 9.0), labels=3, engine="x") as writer:
        writer.write(0, 0, 0, labels)
    with open_volume(tmp_path / "m.mrc") as volume:
        found = sections.section_of(LabelVolume.of(volume), SectionQuery("z", 6, 3, 16)).values
    assert found.dtype == np.uint8
    assert np.all(found[7] == 3)
    assert np.count_nonzero(found) == found.shape[1]
