from __future__ import annotations

import bz2
import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cryomamba.errors import ErrorCode, UnavailableError, VolumeError
from cryomamba.volumes import inspect, open_volume
from cryomamba.volumes.compressed import head

Make = Callable[..., Path]
PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "bzip2": bz2.compress}
ALL = slice(None)
ARRAY = np.random.default_rng(3).normal(size=(4, 8, 8)).astype(np.float32)


@pytest.fixture(params=PACKERS)
def packing(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def packed(path: Path, packing: str) -> Path:
    # The first bytes decide whether a file is compressed, not its name.
    target = path.with_name("packed.mrc")
    target.write_bytes(PACKERS[packing](path.read_bytes()))
    return target


def test_a_packed_volume_reads_as_the_plain_one(make_file: Make, packing: str) -> None:
    """Metadata and voxels are those of the uncompressed file, and no copy is left."""
    plain = make_file(ARRAY)
    path = packed(plain, packing)
    meta = inspect(path)
    assert meta.compression == packing
    assert meta.size_bytes == path.stat().st_size
    with open_volume(path) as volume:
        assert volume.meta == meta
        assert np.array_equal(volume.read(ALL, ALL, ALL), ARRAY)
        unpacked = volume.path
        assert unpacked.exists()
    assert not unpacked.exists()


def test_looking_unpacks_a_bounded_head(make_file: Make, packing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the 1024 bytes of the header are decompressed."""
    asked = []

    def spy(file: object, compression: object, nbytes: int) -> bytes:
        asked.append(nbytes)
        return head(file, compression, nbytes)  # type: ignore[arg-type]

    monkeypatch.setattr("cryomamba.volumes.compressed.head", spy)
    inspect(packed(make_file(ARRAY), packing))
    assert asked == [1024]


def test_a_scratch_folder_keeps_the_unpacked_file_for_the_next_opening(
    make_file: Make, packing: str, tmp_path: Path
) -> None:
    """A second attempt of a job does not unpack again; a changed file does."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = packed(make_file(ARRAY), packing)
    for _ in range(2):
        with open_volume(path, scratch=scratch) as volume:
            assert np.array_equal(volume.read(ALL, ALL, ALL), ARRAY)
            assert [entry.name for entry in scratch.iterdir()] == [volume.path.name]
            stamp = volume.path.stat().st_mtime_ns
    assert next(scratch.iterdir()).stat().st_mtime_ns == stamp


def test_a_stream_that_ends_early_is_refused(make_file: Make, packing: str, tmp_path: Path) -> None:
    """A truncated stream, and a stream of a truncated file, are errors and leave no file."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    plain = make_file(ARRAY)
    path = packed(plain, packing)
    whole = path.read_bytes()
    for raw in (whole[: len(whole) // 2], PACKERS[packing](plain.read_bytes()[:-5])):
        path.write_bytes(raw)
        with pytest.raises(VolumeError, match=r"damaged|truncated"):
            open_volume(path, scratch=scratch)
        assert list(scratch.iterdir()) == []


def test_damage_inside_the_stream_is_refused(make_file: Make, packing: str) -> None:
    """Damaged bytes give a clear error."""
    path = packed(make_file(ARRAY), packing)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 16] = b"\0" * 16
    path.write_bytes(raw)
    with pytest.raises(VolumeError, match=r"damaged|truncated|not an MRC"):
        open_volume(path)


@pytest.mark.parametrize("raw", [b"\x1f\x8b", b"\x1f\x8b" + b"x" * 2000, b"BZh9", b"BZh" + b"x" * 2000])
def test_a_false_beginning_is_refused(tmp_path: Path, raw: bytes) -> None:
    """A file that only begins like a compressed one is an error, not a crash."""
    path = tmp_path / "x.mrc.gz"
    path.write_bytes(raw)
    with pytest.raises(VolumeError):
        inspect(path)


def test_a_header_that_describes_more_than_the_stream_can_contain_is_refused(make_file: Make, packing: str) -> None:
    """A small file with a header of 16 million voxels a side is refused before decompression."""
    big = 1 << 20
    with pytest.raises(VolumeError, match="truncated"):
        inspect(packed(make_file(ARRAY, nx=big, ny=big, nz=big), packing))


def test_decompression_stops_at_the_size_in_the_header(make_file: Make, packing: str, tmp_path: Path) -> None:
    """An endless stream needs no more disk space than the volume."""
    plain = make_file(ARRAY)
    plain.write_bytes(plain.read_bytes() + b"\0" * (4 << 20))
    with open_volume(packed(plain, packing), scratch=tmp_path) as volume:
        assert volume.path.stat().st_size == 1024 + ARRAY.nbytes


def test_a_full_disk_is_reported_before_decompression(
    make_file: Make, packing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is an error that can be retried once there is room."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(UnavailableError, match="disk is full") as caught:
        open_volume(packed(make_file(ARRAY), packing), scratch=tmp_path)
    assert caught.value.code == ErrorCode.INSUFFICIENT_STORAGE
