from __future__ import annotations

import io
import os
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryomamba.errors import CryoMambaError, ErrorCode, VolumeError
from cryomamba.volumes import inspect, open_volume, parse_header, stream_statistics, voxel_file
from cryomamba.volumes.voxel_file import unpack_nibbles

Make = Callable[..., Path]
ALL = slice(None)
DTYPES = ["int8", "int16", "uint16", "float32", "float16"]
AXES = [(1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1)]


def numbers(shape: tuple[int, int, int], dtype: str = "float32") -> Any:
    return np.random.default_rng(7).integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", DTYPES)
def test_voxels_of_every_mode_and_byte_order_are_read(make_file: Make, dtype: str, order: str) -> None:
    """Blocks, the memory-mapped view and flat chunks give the stored voxels."""
    array = numbers((4, 5, 6), dtype)
    with open_volume(make_file(array, order)) as volume:
        assert volume.meta.dtype == dtype
        assert volume.array is not None
        assert np.array_equal(volume.array, array)
        block = volume.read(ALL, ALL, ALL)
        assert block.dtype == np.float32
        assert np.array_equal(block, array)
        native = volume.read_native(slice(1, 3), ALL, slice(2, 4))
        assert native.dtype == np.dtype(dtype)
        assert np.array_equal(native, array[1:3, :, 2:4])
        chunks = [chunk.copy() for chunk in volume.chunks(16)]
    assert all(chunk.dtype == np.dtype(dtype) for chunk in chunks)
    assert len(chunks) > 5
    assert np.array_equal(np.concatenate(chunks), array.ravel())


def test_half_byte_voxels_are_unpacked_per_read(make_file: Make) -> None:
    """Mode 101 holds the earlier voxel in the low half of a byte and pads odd rows."""
    array = np.random.default_rng(1).integers(0, 16, (3, 4, 5)).astype(np.uint8)
    padded = np.pad(array, [(0, 0), (0, 0), (0, 1)])
    packed = padded[..., ::2] | padded[..., 1::2] << 4
    with open_volume(make_file(packed, mode=101, nx=5, mx=5, cella=(50, 40, 30))) as volume:
        assert volume.array is None
        assert volume.shape == (3, 4, 5)
        assert np.array_equal(volume.read(ALL, ALL, ALL), array)
        assert np.array_equal(volume.read(slice(1, 2), slice(1, 3), slice(3, 5)), array[1:2, 1:3, 3:5])
        assert np.array_equal(np.concatenate([chunk.copy() for chunk in volume.chunks(4)]), array.ravel())
        assert stream_statistics(volume).maximum == array.max()


def test_nibbles_come_low_half_first() -> None:
    """0x21 is the voxels 1 and 2."""
    assert unpack_nibbles(np.array([[0x21, 0x43]], np.uint8), 3).tolist() == [[1, 2, 3]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7)),
    axes=st.sampled_from(AXES),
    dtype=st.sampled_from(["int8", "int16", "float32"]),
    order=st.sampled_from("<>"),
    bridged=st.sampled_from([0, 8192]),
    buffer=st.sampled_from([8, 64, 1 << 20]),
    data=st.data(),
)
def test_any_block_of_any_layout_is_what_numpy_would_cut(
    make_file: Make,
    shape: tuple[int, int, int],
    axes: tuple[int, int, int],
    dtype: str,
    order: str,
    bridged: int,
    buffer: int,
    data: st.DataObject,
) -> None:
    """Whatever the axes, type, buffer and way of reading, a block equals the same cut from the whole array."""
    array = numbers(shape, dtype)
    path = make_file(array, order, mapc=axes[0], mapr=axes[1], maps=axes[2])
    index = {axis: place for place, axis in enumerate((axes[2], axes[1], axes[0]))}
    whole = array.transpose(index[3], index[2], index[1])
    z, y, x = (data.draw(st.slices(side).filter(lambda s: s.step in (None, 1))) for side in whole.shape)
    with pytest.MonkeyPatch.context() as patch, open_volume(path) as volume:
        patch.setattr(voxel_file, "_BRIDGED_NBYTES", bridged)
        patch.setattr(voxel_file, "BUFFER_NBYTES", buffer)
        assert volume.shape == whole.shape
        block = volume.read(z, y, x)
        assert block.flags.c_contiguous
        assert np.array_equal(block, whole[z, y, x])
        assert volume.array is not None
        assert np.array_equal(volume.array, whole)


def test_a_block_can_be_read_into_an_array(make_file: Make) -> None:
    """`out` is filled and returned; one of another shape, type or layout is refused before reading."""
    array = numbers((4, 5, 6))
    with open_volume(make_file(array)) as volume:
        out = np.empty((2, 5, 6), np.float32)
        assert volume.read(slice(1, 3), ALL, ALL, out) is out
        assert np.array_equal(out, array[1:3])
        wrong: list[Any] = [np.empty((2, 5, 5), np.float32), np.empty((2, 5, 6)), np.empty((6, 5, 2), np.float32).T]
        for bad in wrong:
            with pytest.raises(ValueError, match="C-contiguous float32"):
                volume.read(slice(1, 3), ALL, ALL, bad)


def test_only_steps_of_one_are_read(make_file: Make) -> None:
    """A strided slice is an error and not a silent whole block."""
    with open_volume(make_file(numbers((4, 5, 6)))) as volume, pytest.raises(IndexError, match="step 1"):
        volume.read(slice(None, None, 2), ALL, ALL)


class YieldingFile(io.FileIO):
    """A file that lets other threads run between positioning and reading."""

    def seek(self, offset: int, whence: int = 0) -> int:
        position = super().seek(offset, whence)
        time.sleep(0)
        return position


@pytest.mark.parametrize("positioned", [True, False])
def test_threads_may_read_one_volume(make_file: Make, monkeypatch: pytest.MonkeyPatch, *, positioned: bool) -> None:
    """Several threads can read blocks at the same time, also where a read has no position of its own."""
    if not positioned:
        monkeypatch.delattr(os, "preadv", raising=False)
        monkeypatch.delattr(os, "pread", raising=False)
    array = numbers((16, 32, 32))
    path = make_file(array)
    gate = threading.Barrier(4)
    with YieldingFile(path) as file, ThreadPoolExecutor(4) as pool:
        voxels = voxel_file.VoxelFile(file, parse_header(path.read_bytes(), path.stat().st_size))

        def worker(seed: int) -> bool:
            gate.wait()
            block = np.empty((4, 4, 4), np.float32)
            for z, y, x in np.random.default_rng(seed).integers(0, 12, (50, 3)).tolist():
                voxels.read_into(block, (z, z + 4), (y, y + 4), (x, x + 4))
                if not np.array_equal(block, array[z : z + 4, y : y + 4, x : x + 4]):
                    return False
            return True

        assert all(pool.map(worker, range(4)))


def test_inspect_reads_the_header_only_and_tells_the_name_only(make_file: Make) -> None:
    """Metadata has the file's size and name, but no folder."""
    path = make_file(numbers((4, 5, 6)), extended=b"x" * 64, exttyp=b"FEI1")
    meta = inspect(path)
    assert meta.name == "tomogram.mrc"
    assert meta.shape == (4, 5, 6)
    assert meta.size_bytes == 1024 + 64 + 480
    assert str(path.parent) not in meta.model_dump_json()


def test_an_override_of_the_voxel_size_reaches_meta(make_file: Make) -> None:
    """A size given on opening is the size of the volume."""
    path = make_file(numbers((4, 5, 6)), cella=(0, 0, 0))
    assert inspect(path, voxel_size_A=7.5).voxel_size_A == (7.5, 7.5, 7.5)
    with open_volume(path, voxel_size_A=(1.5, 2.0, 2.5)) as volume:
        assert volume.voxel_size_A == volume.meta.voxel_size_A == (1.5, 2.0, 2.5)
        assert not [w for w in volume.meta.warnings if w.code == "voxel_size_missing"]


def test_a_lying_header_is_refused_before_anything_is_allocated(make_file: Make) -> None:
    """A header of 4096³ voxels in 1 kB is an error for `inspect` and `open_volume`."""
    path = make_file(numbers((1, 1, 1)), nx=4096, ny=4096, nz=4096)
    for attempt in (inspect, open_volume):
        with pytest.raises(VolumeError, match="truncated"):
            attempt(path)


def test_a_pipe_put_in_place_of_a_file_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between looking at a file and opening it; a thread that waits for a writer would never come back."""
    path, regular = tmp_path / "t1.mrc", tmp_path / "regular.mrc"
    regular.touch()
    os.mkfifo(path)
    monkeypatch.setattr(Path, "stat", lambda _path: os.stat(regular))  # noqa: PTH116 (that of Path is replaced)
    with pytest.raises(VolumeError, match="is not a file"):
        inspect(path)


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    """A missing file, a folder, an empty file and a pipe have their own messages; nothing blocks."""
    with pytest.raises(VolumeError, match=r"no file gone\.mrc") as caught:
        inspect(tmp_path / "gone.mrc")
    assert caught.value.code == ErrorCode.VOLUME_NOT_FOUND
    os.mkfifo(tmp_path / "pipe.mrc")
    (tmp_path / "empty.mrc").touch()
    for name, words in [(".", "is not a file"), ("pipe.mrc", "is not a file"), ("empty.mrc", "has 0 bytes")]:
        with pytest.raises(VolumeError, match=words):
            open_volume(tmp_path / name)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(make_file: Make) -> None:
    """A file truncated while open gives an error instead of wrong data."""
    path = make_file(numbers((4, 5, 6)))
    with open_volume(path) as volume:
        os.truncate(path, 1100)
        with pytest.raises(VolumeError, match="truncated") as caught:
            volume.read(ALL, ALL, ALL)
    assert caught.value.code is ErrorCode.VOLUME_CHANGED


def test_closing_twice_is_no_error(make_file: Make) -> None:
    """A volume can be closed inside its `with` block."""
    with open_volume(make_file(numbers((2, 2, 2)))) as volume:
        volume.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.integers(0, 1023), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.none() | st.integers(0, 1300),
)
def test_a_mutated_file_reads_or_fails_clearly(make_file: Make, flips: list[tuple[int, int]], cut: int | None) -> None:
    """Damaged and truncated files give a readable volume or a typed error."""
    path = make_file(numbers((4, 5, 6), "int16"))
    raw = bytearray(path.read_bytes())
    for position, value in flips:
        raw[position] = value
    path.write_bytes(bytes(raw[:cut]))
    try:
        with open_volume(path) as volume:
            assert volume.read(ALL, ALL, ALL).shape == volume.shape
    except CryoMambaError as error:
        assert error.hint


def test_real_map_with_permuted_axes(shared_data: Path) -> None:
    """EMD-3001 has its columns along z, a start, an extended header and a skewed cell."""
    with open_volume(shared_data / "EMD-3001.map") as volume:
        assert volume.shape == (73, 25, 43)
        assert volume.voxel_size_A == (0.45875, 0.3925, 0.44825)
        assert volume.meta.placement_A == pytest.approx((0.0, -12 * 0.3925, -21 * 0.44825))
        assert volume.meta.extended_header is not None
        assert volume.meta.extended_header.nbytes == 160
        stats = stream_statistics(volume)
    assert stats.minimum == pytest.approx(-0.36814296)
    assert stats.maximum == pytest.approx(0.72161025)


def test_a_volume_is_opened_again_where_it_is_unpickled(make_file: Make) -> None:
    """It has the same voxels and voxel size, by its own descriptor; a file that changed in between is refused."""
    path = make_file(numbers((4, 5, 6)))
    with open_volume(path, voxel_size_A=7.5) as volume:
        pickled = pickle.dumps(volume)
        with pickle.loads(pickled) as again:
            assert again.voxel_size_A == (7.5, 7.5, 7.5)
            assert again.fileno() != volume.fileno()
            assert np.array_equal(again.read(ALL, ALL, ALL), numbers((4, 5, 6)))
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(VolumeError) as caught:
        pickle.loads(pickled)
    assert caught.value.code is ErrorCode.VOLUME_CHANGED


def test_real_subtomogram_average(shared_data: Path) -> None:
    """EMD-3197 reads with its voxel size, start and the statistics that its header holds."""
    with open_volume(shared_data / "EMD-3197.map") as volume:
        assert volume.voxel_size_A == (11.4, 11.4, 11.4)
        assert volume.meta.nstart == (-2, 0, 0)
        stats = stream_statistics(volume)
    assert stats.mean == pytest.approx(0.78361201, rel=1e-6)
    assert stats.std == pytest.approx(2.39995289, rel=1e-6)
