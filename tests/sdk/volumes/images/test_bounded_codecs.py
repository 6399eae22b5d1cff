"""Chunks of Zarr and strips of TIFF decompress to their own size at most, whatever the file holds."""

from __future__ import annotations

import json
import lzma
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import tifffile
import zarr

from cryomamba.errors import VolumeError
from cryomamba.testing import DEADLINE_S
from cryomamba.volumes.images import open_image

ALL = (slice(None), slice(None), slice(None))
CODECS: list[dict[str, Any]] = [
    {"id": "zlib"},
    {"id": "gzip"},
    {"id": "bz2"},
    {"id": "lzma"},
    {"id": "zstd"},
    {"id": "lz4"},
    {"id": "blosc", "cname": "zstd"},
]
BOMB = bytes(32 << 20)
LARGE_BOMB = bytes(128 << 20)
# In a process of its own; prints in kB by how much refusing the images raises the peak of its resident memory.
READING = """
import sys
from pathlib import Path
from cryomamba.errors import VolumeError
from cryomamba.volumes.images import open_image

def peak_kB():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))

def read(path):
    with open_image(path) as image:
        image.read_native(*[slice(None)] * 3)

good, *bombs = map(Path, sys.argv[1:])
read(good)
before = peak_kB()
for bomb in bombs:
    try:
        read(bomb)
    except VolumeError as error:
        assert "decompresses to more than" in str(error), error
    else:
        raise AssertionError(bomb)
print(peak_kB() - before)
"""
NAMES = [codec["id"] for codec in CODECS]


def write_image(folder: Path, zarr_format: int, **options: Any) -> np.ndarray[Any, Any]:
    """Write an image of (16, 32, 32) voxels in chunks of (8, 16, 16), and return it."""
    axes = [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"]
    image = {"version": "0.4", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": []}]}
    attributes: dict[str, Any] = {"multiscales": [image]}
    if zarr_format == 3:
        attributes = {"ome": {"version": "0.5", **attributes}}
    group = zarr.create_group(folder, attributes=attributes, zarr_format=zarr_format)  # type: ignore[arg-type]
    voxels = np.random.default_rng(3).integers(0, 200, (16, 32, 32)).astype(np.int16)
    options = {"chunks": (8, 16, 16), **options}
    group.create_array("0", shape=voxels.shape, dtype=voxels.dtype, **options)[:] = voxels
    return voxels


def chunks_of(folder: Path) -> list[Path]:
    return [path for path in (folder / "0").rglob("*") if path.is_file() and not path.name.startswith((".z", "zarr"))]


def write_strip(path: Path, section: int, content: bytes) -> None:
    """Replace the strip of one section of a TIFF file."""
    with tifffile.TiffFile(path, mode="r+") as file:
        offset = file.filehandle.seek(0, 2)
        file.filehandle.write(content)
        page = file.pages[section]
        assert isinstance(page, tifffile.TiffPage)
        page.tags["StripOffsets"].overwrite([offset])
        page.tags["StripByteCounts"].overwrite([len(content)])


@pytest.mark.parametrize(("name", "compress"), [("zlib", zlib.compress), ("lzma", lzma.compress)])
def test_a_strip_of_more_than_its_size_is_refused(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    """A strip that holds 32 MB instead of 4 kB is refused; the other sections are read."""
    voxels = np.random.default_rng(1).normal(size=(6, 32, 32)).astype(np.float32)
    tifffile.imwrite(tmp_path / "t.tif", voxels, compression=name)
    write_strip(tmp_path / "t.tif", 2, compress(BOMB * 3))
    with open_image(tmp_path / "t.tif") as image:
        np.testing.assert_array_equal(image.read_native(slice(0, 2), *ALL[1:]), voxels[:2])
        with pytest.raises(VolumeError, match="decompresses to more than its"):
            image.read_native(slice(2, 3), *ALL[1:])


@pytest.fixture(params=[2, 3])
def zarr_format(request: pytest.FixtureRequest) -> int:
    """Version of the format."""
    found: int = request.param
    return found


@pytest.mark.filterwarnings("ignore:Numcodecs codecs")
@pytest.mark.parametrize("codec", CODECS, ids=NAMES)
def test_a_chunk_of_more_than_its_size_is_refused(tmp_path: Path, zarr_format: int, codec: dict[str, Any]) -> None:
    """Whole chunks are read with each codec; one that holds 32 MB instead of 4 kB is refused."""
    folder = tmp_path / "t.zarr"
    name, config = codec["id"], {key: value for key, value in codec.items() if key != "id"}
    compressor = codec if zarr_format == 2 else {"name": f"numcodecs.{name}", "configuration": config}
    voxels = write_image(folder, zarr_format, compressors=[compressor], filters=None)
    with open_image(folder) as image:
        np.testing.assert_array_equal(image.read_native(*ALL), voxels)
    content = numcodecs.get_codec(codec).encode(BOMB)
    for chunk in chunks_of(folder):
        chunk.write_bytes(content)
    with open_image(folder) as image, pytest.raises(VolumeError, match="decompresses to more than its"):
        image.read_native(*ALL)


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_a_small_file_does_not_fill_the_memory(tmp_path: Path) -> None:
    """Images with chunks, and a TIFF file with strips, of a few kB that hold 128 MB are refused in a few MB."""
    write_image(tmp_path / "good.zarr", 2)
    paths = [tmp_path / "good.zarr"]
    for codec in CODECS:
        folder = tmp_path / f"{codec['id']}.zarr"
        write_image(folder, 2, compressors=[codec], filters=None)
        content = numcodecs.get_codec(codec).encode(LARGE_BOMB)
        for chunk in chunks_of(folder):
            chunk.write_bytes(content)
        paths.append(folder)
    tifffile.imwrite(tmp_path / "t.tif", np.ones((6, 32, 32), np.float32), compression="zlib")
    write_strip(tmp_path / "t.tif", 2, zlib.compress(LARGE_BOMB))
    done = subprocess.run(
        [sys.executable, "-c", READING, *paths, tmp_path / "t.tif"],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    assert int(done.stdout) < 48_000


@pytest.mark.parametrize("name", ["gzip", "zstd", "blosc"])
def test_chunks_of_shards_are_bounded_too(tmp_path: Path, name: str) -> None:
    """An inner chunk of a shard that decompresses to more than it has is refused, whole ones are read."""
    folder = tmp_path / "t.zarr"
    voxels = write_image(folder, 3, shards=(16, 32, 32), compressors=[{"name": name, "configuration": {}}])
    with open_image(folder) as image:
        np.testing.assert_array_equal(image.read_native(*ALL), voxels)
        assert image.read_native(slice(3, 4), slice(5, 9), slice(0, 32)).shape == (1, 4, 32)
    (shard,) = chunks_of(folder)
    content = bytes(numcodecs.get_codec({"id": name}).encode(BOMB))
    index = np.array([[0, len(content)]] * 8, "<u8").tobytes()
    shard.write_bytes(content + bytes(numcodecs.get_codec({"id": "crc32c", "location": "end"}).encode(index)))
    with open_image(folder) as image, pytest.raises(VolumeError, match="decompresses to more than its"):
        image.read_native(*ALL)


@pytest.mark.parametrize(
    "filters",
    [
        [{"id": "delta", "dtype": "<i2", "astype": "<i8"}],
        [{"id": "fixedscaleoffset", "scale": 1, "offset": 0, "dtype": "<i2", "astype": "<f8"}, {"id": "zlib"}],
        [{"id": "astype", "decode_dtype": "<i2", "encode_dtype": "<f8"}, {"id": "shuffle", "elementsize": 8}],
    ],
    ids=["delta", "scale and zlib", "astype and shuffle"],
)
def test_filters_may_store_wider_numbers(tmp_path: Path, filters: list[dict[str, Any]]) -> None:
    """A chunk that is larger before its filters than after them is read."""
    made = [numcodecs.get_codec(dict(config)) for config in filters]
    voxels = write_image(tmp_path / "t.zarr", 2, filters=made, compressors=[{"id": "zstd"}])
    with open_image(tmp_path / "t.zarr") as image:
        np.testing.assert_array_equal(image.read_native(*ALL), voxels)


@pytest.mark.parametrize("key", ["compressor", "filters"])
@pytest.mark.parametrize("name", ["vlen-bytes", "msgpack2", "base64", "categorize"])
def test_codecs_without_a_bound_are_refused(tmp_path: Path, name: str, key: str) -> None:
    """A codec that makes other things than numbers is named when the image is opened."""
    config = {"id": name, **({"labels": ["a"], "dtype": "|O"} if name == "categorize" else {})}
    write_image(tmp_path / "t.zarr", 2, filters=None, compressors=None)
    path = tmp_path / "t.zarr" / "0" / ".zarray"
    metadata = json.loads(path.read_text())
    path.write_text(json.dumps({**metadata, key: config if key == "compressor" else [config]}))
    with pytest.raises(VolumeError, match=name):
        open_image(tmp_path / "t.zarr")


def test_text_is_no_type_of_a_filter(tmp_path: Path) -> None:
    """A filter that would make a megabyte of each voxel is refused."""
    write_image(tmp_path / "t.zarr", 2, filters=None, compressors=None)
    path = tmp_path / "t.zarr" / "0" / ".zarray"
    wide = {"id": "astype", "encode_dtype": "<i2", "decode_dtype": "<U250000"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "filters": [wide]}))
    with pytest.raises(VolumeError, match="is encoded with 'astype'"):
        open_image(tmp_path / "t.zarr")


@pytest.mark.parametrize("name", ["zlib", "gzip", "bz2", "lzma", "zstd"])
def test_a_truncated_chunk_is_refused(tmp_path: Path, name: str) -> None:
    """A chunk whose last bytes are missing is damaged, also where all its voxels are there."""
    write_image(tmp_path / "t.zarr", 2, filters=None, compressors=[{"id": name}])
    for chunk in chunks_of(tmp_path / "t.zarr"):
        chunk.write_bytes(chunk.read_bytes()[:-6])
    with open_image(tmp_path / "t.zarr") as image, pytest.raises(VolumeError, match="cannot be read as OME-Zarr"):
        image.read_native(*ALL)
