from __future__ import annotations

import io
import itertools
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mrcfile
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryomamba import __version__
from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba.volumes import MaskWriter, blank_header, open_volume

Make = Callable[..., Path]
ALL = slice(None)
PLACE = (
    "nx", "ny", "nz", "nxstart", "nystart", "nzstart", "mx", "my", "mz",
    "cella", "cellb", "mapc", "mapr", "maps", "ispg", "origin",
)  # fmt: skip
AXES = list(itertools.permutations((1, 2, 3)))


def labels(shape: tuple[int, ...], largest: int = 3) -> Any:
    return np.random.default_rng(2).integers(0, largest + 1, shape).astype(np.uint8 if largest < 128 else np.uint16)


def assert_valid(path: Path) -> None:
    said = io.StringIO()
    assert mrcfile.validate(path, print_file=said), said.getvalue()


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("order", "<>")
def test_a_mask_overlays_its_tomogram_exactly(make_file: Make, axes: tuple[int, int, int], order: str) -> None:
    """Grid, cell, start, origin and axes equal the tomogram's; there is no extended header."""
    fields = {
        "mapc": axes[0], "mapr": axes[1], "maps": axes[2], "nxstart": -3, "nystart": 8, "nzstart": 5,
        "mx": 12, "my": 6, "mz": 9, "cella": (120.5, 66.25, 81), "cellb": (90, 90, 90), "origin": (1, -2, 3.5),
    }  # fmt: skip
    path = make_file(np.zeros((4, 5, 6), np.float32), order, extended=b"e" * 80, exttyp=b"FEI1", **fields)
    target = path.with_name("mask.mrc")
    with open_volume(path) as volume:
        block = labels(volume.shape)
        with MaskWriter(target, volume, labels=3, engine="threshold") as mask:
            mask.write(0, 0, 0, block)
        meta = volume.meta
    assert_valid(target)
    with mrcfile.open(target) as written, mrcfile.open(path) as tomogram:
        for name in PLACE:
            assert written.header[name].tolist() == tomogram.header[name].tolist(), name
        assert written.header.nsymbt == 0
        assert written.header.mode == 0
        assert written.header.dmax == block.max()
        assert written.header.dmean == pytest.approx(block.mean(), rel=1e-6)
        assert written.header.rms == pytest.approx(block.std(), rel=1e-6)
        assert written.get_labels()[-1] == f"CryoMamba {__version__}: threshold mask"
    with open_volume(target) as mask_volume:
        assert mask_volume.array is not None
        assert np.array_equal(mask_volume.array, block)
        assert mask_volume.meta.voxel_size_A == meta.voxel_size_A
        assert mask_volume.meta.placement_A == meta.placement_A


@pytest.mark.parametrize(("largest", "mode"), [(1, 0), (127, 0), (128, 6), (65535, 6)])
def test_the_largest_label_decides_the_mode(tmp_path: Path, largest: int, mode: int) -> None:
    """int8 up to label 127, uint16 above; a header without a file suffices."""
    block = labels((3, 4, 5), largest)
    block[0, 0, 0] = largest
    with MaskWriter(tmp_path / "m.mrc", blank_header((3, 4, 5), 13.48), labels=largest, engine="demo") as mask:
        assert mask.dtype == block.dtype
        mask.write(0, 0, 0, block)
    assert_valid(tmp_path / "m.mrc")
    with mrcfile.open(tmp_path / "m.mrc") as written:
        assert written.header.mode == mode
        assert np.array_equal(written.data, block)
        assert written.voxel_size.x == pytest.approx(13.48)
    assert mask.moments is not None
    assert mask.moments.maximum == largest


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
    tile=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    axes=st.sampled_from(AXES),
    largest=st.sampled_from([3, 300]),
    bridged=st.sampled_from([0, 8192]),
    order=st.randoms(use_true_random=False),
)
def test_tiles_in_any_order_make_the_mask(
    make_file: Make,
    shape: tuple[int, int, int],
    tile: tuple[int, int, int],
    axes: tuple[int, int, int],
    largest: int,
    bridged: int,
    order: Any,
) -> None:
    """Whatever the tiles, their order and the layout of the file, every voxel lands where it belongs."""
    path = make_file(np.zeros(shape, np.int16), mapc=axes[0], mapr=axes[1], maps=axes[2])
    with pytest.MonkeyPatch.context() as patch, open_volume(path) as volume:
        patch.setattr("cryomamba.volumes.voxel_file._BRIDGED_NBYTES", bridged)
        block = labels(volume.shape, largest)
        corners = list(itertools.product(*(range(0, n, t) for n, t in zip(volume.shape, tile, strict=True))))
        order.shuffle(corners)
        with MaskWriter(path.with_name("mask.mrc"), volume, labels=largest, engine="x") as mask:
            for corner in corners:
                z, y, x = (slice(c, c + t) for c, t in zip(corner, tile, strict=True))
                mask.write(z.start, y.start, x.start, block[z, y, x])
                assert np.array_equal(mask.read(z, y, x), block[z, y, x])
            assert np.array_equal(mask.read(ALL, ALL, ALL), block)


def test_neighbouring_tiles_may_be_written_by_several_threads(tmp_path: Path) -> None:
    """Tiles that share rows of the file can be written by several threads."""
    block = labels((8, 32, 32))
    corners = list(itertools.product(range(0, 8, 4), range(0, 32, 8), range(0, 32, 8)))
    gate = threading.Barrier(4)
    with (
        MaskWriter(tmp_path / "m.mrc", blank_header(block.shape), labels=3, engine="x") as mask,
        ThreadPoolExecutor(4) as pool,
    ):

        def worker(part: int) -> None:
            gate.wait()
            for z, y, x in corners[part::4]:
                mask.write(z, y, x, block[z : z + 4, y : y + 8, x : x + 8])

        list(pool.map(worker, range(4)))
        assert np.array_equal(mask.read(ALL, ALL, ALL), block)


def test_the_mask_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    """Before `close` there is no file of that name, and an existing one does not change."""
    path = tmp_path / "m.mrc"
    path.write_text("old")
    with MaskWriter(path, blank_header((2, 3, 4)), labels=1, engine="x") as mask:
        mask.write(0, 0, 0, np.ones((2, 3, 4), np.uint8))
        assert path.read_text() == "old"
    assert_valid(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.mrc"]


def test_an_exception_leaves_nothing_behind(tmp_path: Path) -> None:
    """An exception leaves no file."""
    with (
        pytest.raises(KeyboardInterrupt),
        MaskWriter(tmp_path / "m.mrc", blank_header((2, 3, 4)), labels=1, engine="x"),
    ):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_closing_twice_and_discarding_after_closing_do_nothing(tmp_path: Path) -> None:
    """Only the first close counts."""
    mask = MaskWriter(tmp_path / "m.mrc", blank_header((2, 3, 4)), labels=1, engine="x")
    mask.close()
    mask.close()
    mask.discard()
    assert_valid(tmp_path / "m.mrc")


def test_invalid_blocks_and_labels_are_refused(tmp_path: Path) -> None:
    """A block beyond the volume, a label above the maximum and an invalid maximum are errors."""
    with MaskWriter(tmp_path / "m.mrc", blank_header((2, 3, 4)), labels=2, engine="x") as mask:
        for z, y, x in [(1, 0, 0), (0, 0, -1), (0, 1, 0)]:
            with pytest.raises(ValueError, match="extends beyond"):
                mask.write(z, y, x, np.zeros((2, 3, 4), np.uint8))
        with pytest.raises(ValueError, match="label 3 is above"):
            mask.write(0, 0, 0, np.full((2, 3, 4), 3, np.uint8))
    for count in (0, 65536):
        with pytest.raises(ValueError, match="between 1 and 65535"):
            MaskWriter(tmp_path / "n.mrc", blank_header((2, 3, 4)), labels=count, engine="x")


def test_a_full_disk_is_reported_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little disk space is an error at the start, not at the last tile."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(UnavailableError) as caught:
        MaskWriter(tmp_path / "m.mrc", blank_header((2, 3, 4)), labels=1, engine="x")
    assert caught.value.code == ErrorCode.INSUFFICIENT_STORAGE
    assert list(tmp_path.iterdir()) == []


def test_a_voxel_size_given_by_the_user_is_in_the_masks_cell(make_file: Make) -> None:
    """A corrected voxel size is in the mask's header, also for a stack header."""
    path = make_file(np.zeros((4, 5, 6), np.float32), mz=1, ispg=0, cella=(0, 0, 0))
    target = path.with_name("mask.mrc")
    with open_volume(path, voxel_size_A=7.5) as volume:
        MaskWriter(target, volume, labels=1, engine="x").close()
    assert_valid(target)
    with mrcfile.open(target) as written:
        assert written.voxel_size.tolist() == (7.5, 7.5, 7.5)


@pytest.mark.parametrize("flags", [0, 4])
def test_imods_origin_means_the_same_in_the_mask(make_file: Make, flags: int) -> None:
    """The mask has the standard sign of the origin, so its position equals the tomogram's."""
    path = make_file(np.zeros((4, 5, 6), np.float32), imod_flags=flags, nversion=0, origin=(8, 16, 32))
    target = path.with_name("mask.mrc")
    with open_volume(path) as volume:
        MaskWriter(target, volume, labels=1, engine="x").close()
        place = volume.meta.placement_A
    with open_volume(target) as mask:
        assert mask.meta.placement_A == place


def test_ten_labels_leave_room_for_ours(make_file: Make) -> None:
    """The tomogram's first nine text labels are kept; CryoMamba's is the last."""
    texts = [f"step {n} made \u00e5".encode("latin-1") for n in range(10)]
    path = make_file(np.zeros((2, 3, 4), np.float32), nlabl=10, label=texts)
    target = path.with_name("mask.mrc")
    with open_volume(path) as volume:
        MaskWriter(target, volume, labels=1, engine="n\u00e4me").close()
    with mrcfile.open(target) as written:
        found = written.get_labels()
    assert found[:9] == [f"step {n} made" for n in range(9)]
    assert found[9] == f"CryoMamba {__version__}: n?me mask"


@pytest.mark.parametrize("name", ["EMD-3197.map", "EMD-3001.map"])
def test_masks_of_real_maps_open_without_a_warning(shared_data: Path, tmp_path: Path, name: str) -> None:
    """Masks of two maps from the EMDB are valid, in place and read back."""
    with open_volume(shared_data / name) as volume:
        block = labels(volume.shape)
        with MaskWriter(tmp_path / "m.mrc", volume, labels=3, engine="threshold") as mask:
            mask.write(0, 0, 0, block)
        assert_valid(tmp_path / "m.mrc")
        with open_volume(tmp_path / "m.mrc") as written:
            assert np.array_equal(written.read(ALL, ALL, ALL), block)
            assert written.meta.placement_A == volume.meta.placement_A
            assert written.meta.cell_A == volume.meta.cell_A
            assert written.meta.nstart == volume.meta.nstart
            assert written.meta.axes == volume.meta.axes
