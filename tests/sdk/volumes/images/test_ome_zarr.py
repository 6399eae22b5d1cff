"""OME-Zarr of other programs, in folders and on a web server."""

from __future__ import annotations

import contextlib
import functools
import gzip
import http.server
import json
import pickle
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from cryomamba.errors import AccessError, VolumeError
from cryomamba.volumes import open_volume
from cryomamba.volumes.images import is_image, open_image
from cryomamba.volumes.images.ome_zarr import ZarrVoxels

SHAPE = (20, 70, 90)
SIZE_A = (8.0, 5.0, 5.0)
ALL = (slice(None), slice(None), slice(None))


@pytest.fixture
def voxels() -> NDArray[np.float32]:
    """Noise."""
    return np.random.default_rng(1).normal(0, 1, SHAPE).astype(np.float32)


class Files(http.server.SimpleHTTPRequestHandler):
    """A web server of a folder that says nothing, and needs a token for what is below 'private'."""

    def do_GET(self) -> None:
        """Send a file."""
        if "/private/" in self.path and self.headers.get("Authorization") != "Bearer secret":
            self.send_error(401)
            return
        super().do_GET()

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a web server of `tmp_path`."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=tmp_path)) as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


def write_foreign(
    folder: Path, voxels: NDArray[Any], version: str, *, unit: str = "nanometer", extra: dict[str, Any] | None = None
) -> None:
    """Write an image with time and channel as other programs do: in nm, with its position."""
    zarr_format = 3 if version == "0.5" else 2
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": unit} for name in "zyx"]
    steps = [
        {"type": "scale", "scale": [1, 1, 0.4, 0.25, 0.25]},
        {"type": "translation", "translation": [0, 0, 4.0, 0, 1.0]},
    ]
    image = {
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": steps}],
        "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 2, 2, 2]}],
    }
    metadata: dict[str, Any] = {"multiscales": [image], **(extra or {})}
    if version == "0.5":
        attributes = {"ome": {"version": version, **metadata}}
    else:
        image["version"] = version
        attributes = metadata
    group = zarr.create_group(folder, attributes=attributes, zarr_format=zarr_format)  # type: ignore[arg-type]
    shape = (1, 1, *voxels.shape)
    array = group.create_array("0", shape=shape, dtype=voxels.dtype, chunks=(1, 1, 8, 32, 32))
    array[0, 0] = voxels


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_images_of_both_versions_open(tmp_path: Path, voxels: NDArray[np.float32], version: str) -> None:
    """Axes of length 1 are dropped; the scales multiply and the unit counts; the position is kept."""
    write_foreign(tmp_path / "t.ome.zarr", voxels, version)
    assert is_image(tmp_path / "t.ome.zarr")
    with open_image(tmp_path / "t.ome.zarr") as image:
        assert image.format == f"OME-Zarr {version}"
        assert (image.shape, image.is_labels) == (SHAPE, False)
        assert image.voxel_size_A == pytest.approx(SIZE_A)
        assert image.header.placement_A == pytest.approx((80.0, 0.0, 20.0))
        np.testing.assert_array_equal(image.read_native(*ALL), voxels)
        where = (slice(3, 11), slice(30, 70), slice(5, 6))
        np.testing.assert_array_equal(image.read_native(*where), voxels[where])
        image.write_mrc(tmp_path / "t.mrc")
    with open_volume(tmp_path / "t.mrc") as volume:
        np.testing.assert_array_equal(volume.read_native(*ALL), voxels)
        assert volume.voxel_size_A == pytest.approx(SIZE_A)
        assert volume.header.placement_A == pytest.approx((80.0, 0.0, 20.0))


def test_labels_of_other_programs_are_known(tmp_path: Path, voxels: NDArray[np.float32]) -> None:
    """An image with 'image-label' is labels; one without is not, although it holds integers."""
    integers = (voxels > 1).astype(np.uint8)
    write_foreign(tmp_path / "a.zarr", integers, "0.4", extra={"image-label": {"version": "0.4"}})
    write_foreign(tmp_path / "b.zarr", integers, "0.5")
    with open_image(tmp_path / "a.zarr") as a, open_image(tmp_path / "b.zarr") as b:
        assert (a.is_labels, b.is_labels) == (True, False)


def test_the_image_of_bio_formats_is_in_a_folder_within(tmp_path: Path, voxels: NDArray[np.float32]) -> None:
    """The folder that bioformats2raw writes opens as its first image."""
    zarr.create_group(tmp_path / "t.zarr", attributes={"bioformats2raw.layout": 3}, zarr_format=2)
    write_foreign(tmp_path / "t.zarr" / "0", voxels, "0.4")
    with open_image(tmp_path / "t.zarr") as image:
        assert image.shape == SHAPE


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_on_a_web_server_opens(tmp_path: Path, server: str, voxels: NDArray[np.float32], version: str) -> None:
    """Only the chunks that are looked at are asked for; a token is sent with each request."""
    write_foreign(tmp_path / "private" / "t.ome.zarr", voxels, version)
    address = f"{server}/private/t.ome.zarr"
    assert is_image(address)
    with open_image(address, headers={"Authorization": "Bearer secret"}) as image:
        assert image.meta.name == "t.ome.zarr"
        assert image.voxel_size_A == pytest.approx(SIZE_A)
        np.testing.assert_array_equal(image.read_native(*ALL), voxels)
    with pytest.raises(AccessError, match="needs a token"):
        open_image(address)
    with pytest.raises(VolumeError, match=r"gone\.ome\.zarr cannot be read"):
        open_image(f"{server}/gone.ome.zarr")


class Endless(http.server.BaseHTTPRequestHandler):
    """Answers every request with a document that has no end, or with one of a few kB that decompresses to 256 MB."""

    packed = gzip.compress(bytes(256 << 20))

    def do_GET(self) -> None:
        """Send until the client has had enough."""
        self.send_response(200)
        if "/packed" in self.path:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        with contextlib.suppress(OSError):
            if "/packed" in self.path:
                self.wfile.write(self.packed)
            else:
                while True:
                    self.wfile.write(b" " * (1 << 20))

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize("name", ["plain.zarr", "packed.zarr"])
def test_an_answer_without_an_end_is_refused(name: str) -> None:
    """Metadata of a web server that are larger than any, compressed or not, are not read to their end."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless) as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        try:
            with pytest.raises(VolumeError, match="has more than"):
                open_image(f"http://127.0.0.1:{found.server_port}/{name}")
        finally:
            found.shutdown()
            thread.join()


def test_a_unit_that_is_missing_is_a_warning(tmp_path: Path, voxels: NDArray[np.float32]) -> None:
    """Without a unit the size is unknown: 1 Å is assumed, and a warning says so."""
    write_foreign(tmp_path / "t.zarr", voxels, "0.4", unit="")
    with open_image(tmp_path / "t.zarr") as image:
        assert image.voxel_size_A == (1.0, 1.0, 1.0)
        assert [warning.code for warning in image.meta.warnings] == ["voxel_size_missing"]


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    """The error names the folder and says what to choose."""
    zarr.create_group(tmp_path / "empty.zarr")
    with pytest.raises(VolumeError, match=r"empty\.zarr is Zarr, but not an OME-Zarr image"):
        open_image(tmp_path / "empty.zarr")
    (tmp_path / "other.zarr").mkdir()
    with pytest.raises(VolumeError, match=r"other\.zarr cannot be read as OME-Zarr"):
        open_image(tmp_path / "other.zarr")


@pytest.mark.parametrize("codec", [{"id": "zlib", "level": 1}, {"id": "blosc", "cname": "zstd"}, None])
def test_a_damaged_chunk_is_named(tmp_path: Path, codec: Any) -> None:
    """Whatever a decompressor makes of it, reading ends with a sentence."""
    chunk = foreign_chunk(tmp_path / "t.zarr", [20, 70, 90], compressor=codec)
    for content in (b"", b"damaged" * 9, zlib.compress(bytes(1000))):
        chunk.write_bytes(content)
        with open_image(tmp_path / "t.zarr") as image, pytest.raises(VolumeError, match=r"t\.zarr cannot be read"):
            image.read_native(*ALL)


@pytest.mark.parametrize("chunks", [[0, 4, 4], [4000, 4000, 4000]])
def test_chunks_that_cannot_be_read_are_refused(tmp_path: Path, chunks: list[int]) -> None:
    """Those without voxels, and those that would fill the memory at once, when the volume is opened."""
    foreign_chunk(tmp_path / "t.zarr", chunks, shape=[4000, 4000, 4000])
    with pytest.raises(VolumeError, match="has chunks of"):
        open_image(tmp_path / "t.zarr")


@pytest.mark.parametrize("codec", [{"id": "pickle"}, {"id": "json2"}])
@pytest.mark.parametrize("dtype", ["<f4", "|O"])
def test_objects_are_not_unpickled(tmp_path: Path, codec: dict[str, Any], dtype: str) -> None:
    """Arrays of Python objects are no volumes, and opening one runs nothing that is in it."""
    for filters, compressor in (([codec], None), (None, codec), ([{"id": "shuffle", "elementsize": 4}, codec], None)):
        chunk = foreign_chunk(
            tmp_path / "t.zarr", [4] * 3, [4] * 3, dtype=dtype, filters=filters, compressor=compressor
        )
        chunk.write_bytes(pickle.dumps(_Touch(str(tmp_path / "ran"))))
        with pytest.raises(VolumeError), open_image(tmp_path / "t.zarr") as image:
            image.read_native(*ALL)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "attributes",
    [
        '{"multiscales": [{"datasets": []}]}',
        '{"multiscales": [1]}',
        '{"multiscales": [{"datasets": [{"path": "../../0"}]}]}',
        '{"multiscales": [{"datasets": [{"path": "0"}], "axes": [1, 2, 3]}]}',
        '{"multiscales": [{"datasets": [{"path": "0"}], "axes": ["z"]}]}',
        '{"a":' * 100_000,
    ],
    ids=["no level", "number", "outside", "axes", "one axis", "deep"],
)
def test_metadata_that_were_made_to_harm_are_refused(tmp_path: Path, attributes: str) -> None:
    """With a sentence that names the image."""
    foreign_chunk(tmp_path / "t.zarr", [4] * 3, [4] * 3)
    (tmp_path / "t.zarr" / ".zattrs").write_text(attributes, encoding="utf-8")
    with pytest.raises(VolumeError, match=r"t\.zarr"):
        open_image(tmp_path / "t.zarr")


class _Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def foreign_chunk(
    folder: Path,
    chunks: list[int],
    shape: list[int] | None = None,
    *,
    dtype: str = "<f4",
    filters: list[dict[str, Any]] | None = None,
    compressor: dict[str, Any] | None = None,
) -> Path:
    """Write the metadata of an image of version 0.4, and return the path of its first chunk."""
    axes = [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"]
    array = {
        "zarr_format": 2,
        "shape": shape or list(SHAPE),
        "chunks": chunks,
        "dtype": dtype,
        "fill_value": 0,
        "order": "C",
        "filters": filters,
        "compressor": compressor,
        "dimension_separator": "/",
    }
    chunk = folder / "0" / "0" / "0" / "0"
    chunk.parent.mkdir(parents=True, exist_ok=True)
    (folder / ".zgroup").write_text('{"zarr_format": 2}', encoding="utf-8")
    image = {"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}
    (folder / ".zattrs").write_text(json.dumps({"multiscales": [image]}), encoding="utf-8")
    (folder / "0" / ".zarray").write_text(json.dumps(array), encoding="utf-8")
    return chunk


def test_chunks_that_were_read_are_kept_up_to_a_limit(tmp_path: Path, voxels: NDArray[np.float32]) -> None:
    """Sections of the same chunks are read from the disk once; the chunks that are kept never exceed the limit."""
    write_foreign(tmp_path / "t.zarr", voxels, "0.5")
    reads = []

    class Counting:
        """An array that counts what is read of it."""

        def __init__(self, array: Any) -> None:
            self.array, self.ndim, self.shape = array, array.ndim, array.shape
            self.dtype, self.chunks = array.dtype, array.chunks

        def __getitem__(self, index: Any) -> Any:
            reads.append(index)
            return self.array[index]

    slab = 8 * 70 * 90 * 4
    array = zarr.open_array(tmp_path / "t.zarr" / "0", mode="r")
    found = ZarrVoxels("t", Counting(array), (2, 3, 4), cache_nbytes=2 * slab)
    for z in range(20):
        np.testing.assert_array_equal(found[z : z + 1, :, :][0], voxels[z])
    assert len(reads) == 3
    assert sum(part.nbytes for part in found._kept.values()) <= 2 * slab
    # What is larger than the limit is read without being kept.
    np.testing.assert_array_equal(found[ALL], voxels)
    assert len(reads) == 4
