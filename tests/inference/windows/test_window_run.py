"""The runner with windows: the weighted mean of all windows, whatever the order, the processes and the focus."""

from __future__ import annotations

import itertools
import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import numpy.typing as npt
import pytest
from tests.inference.windows import windowed
from tests.inference.windows.windowed import ResampledEngine, SigmoidEngine, SmoothEngine

from cryomamba.engines.windows import WindowEngine
from cryomamba.errors import ErrorCode, JobFailedError
from cryomamba.masks.region import Region
from cryomamba.models.jobs import PreviewOptions
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.executor import InlineExecutor, ProcessExecutor, TileExecutor
from cryomamba_inference.runner import Control, Task, run_task
from cryomamba_inference.windows.grid import NetworkGrid

EAGER = PreviewOptions(interval_s=0.05, max_voxels=4096)
SHAPE = (30, 40, 37)


def mask_of(
    path: Path,
    engine: WindowEngine[Any],
    folder: Path,
    watcher: Any,
    *,
    executor: TileExecutor | None = None,
    control: Control | None = None,
    **task: Any,
) -> npt.NDArray[Any]:
    """Run an engine and return its mask."""
    folder.mkdir(exist_ok=True)
    with ExitStack() as files:
        volume = files.enter_context(open_volume(path))
        outcome = run_task(
            Task(engine, volume, **task), folder, executor or InlineExecutor(), control or Control(), watcher
        )
    assert [each.name for each in folder.iterdir() if each.name not in {"mask.mrc", "scores.mrc"}] == []
    with mrcfile.open(outcome.mask) as mask:
        return np.array(mask.data)


def expected_mask(path: Path, engine: WindowEngine[Any]) -> npt.NDArray[Any]:
    """Compute the mask with arrays of the whole volume: scores and weights added up in 64 bits, then divided."""
    with open_volume(path) as volume:
        data = volume.read(slice(None), slice(None), slice(None))
        size = volume.header.voxel_size_A
    grid = NetworkGrid.of(data.shape, size, engine.network_voxel_size_A, 0.05)
    whole = tuple((0, count) for count in grid.nodes)
    nodes = grid.resample(data.__getitem__, (whole[0], whole[1], whole[2]))
    scores, weights = np.zeros((engine.channels, *nodes.shape)), np.zeros(nodes.shape)
    axes = [positions(n, w, o) for n, w, o in zip(nodes.shape, engine.window, engine.overlap, strict=True)]
    bells = [np.maximum(np.exp(-0.5 * ((np.arange(w) - (w - 1) / 2) / (w / 8)) ** 2), 1e-6) for w in engine.window]
    bell = bells[0][:, None, None] * bells[1][:, None] * bells[2]
    for start in itertools.product(*axes):
        at = tuple(slice(max(s, 0), min(s + w, n)) for s, w, n in zip(start, engine.window, nodes.shape, strict=True))
        part = tuple(slice(a.start - s, a.stop - s) for a, s in zip(at, start, strict=True))
        window = np.zeros(engine.window, np.float32)
        window[part] = engine.normalize(nodes[at])
        scores[(slice(None), *at)] += engine.window_scores(window)[(slice(None), *part)] * bell[part]
        weights[at] += bell[part]
    voxels = tuple((0, count) for count in data.shape)
    mean = (scores / weights).astype(np.float32)
    return engine.decode(grid.interpolate(mean, (0, 0, 0), (voxels[0], voxels[1], voxels[2])))


def positions(nodes: int, window: int, overlap: float) -> list[int]:
    """Return where windows begin along an axis."""
    if nodes <= window:
        return [-((window - nodes) // 2)]
    steps = math.ceil((nodes - window) / (window * (1 - overlap)))
    return [round((nodes - window) / steps * step) for step in range(steps + 1)]


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """Write a volume of smooth noise with voxels of 10 Å."""
    values = np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)
    write_volume(tmp_path / "t.mrc", values * 3 + 100, 10.0)
    return tmp_path / "t.mrc"


@pytest.mark.parametrize("make", [SmoothEngine, SigmoidEngine, ResampledEngine])
def test_scores_are_the_weighted_mean_of_all_windows(make: Any, volume: Path, tmp_path: Path, recorder: Any) -> None:
    """The mask is what arrays of the whole volume give, up to voxels on which two labels tie."""
    engine = make()
    mask = mask_of(volume, engine, tmp_path / "run", recorder)
    expected = expected_mask(volume, engine)
    assert len(np.unique(expected)) == 3
    assert np.mean(mask != expected) < 1e-4


def test_one_label_keeps_its_scores(volume: Path, tmp_path: Path, recorder: Any) -> None:
    """With one label the probability is kept from 0 to 255, and the mask is where it is above one half."""
    engine = SmoothEngine(labels=1)
    mask = mask_of(volume, engine, tmp_path / "run", recorder, keep_scores=True)
    expected = expected_mask(volume, engine)
    with mrcfile.open(tmp_path / "run" / "scores.mrc") as file:
        scores = np.array(file.data)
    assert np.abs(scores.astype(int) - expected).max() <= 1
    assert np.array_equal(mask, (scores >= 128).astype(np.uint8))


@pytest.mark.parametrize("shape", [(5, 40, 9), (1, 16, 12), (16, 16, 12)])
def test_a_volume_may_be_smaller_than_a_window(shape: Any, tmp_path: Path, recorder: Any) -> None:
    """The volume is in the middle of its window, which is filled up with zeros after normalization."""
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    write_volume(tmp_path / "small.mrc", values, 10.0)
    engine = SmoothEngine()
    mask = mask_of(tmp_path / "small.mrc", engine, tmp_path / "run", recorder)
    assert np.array_equal(mask, expected_mask(tmp_path / "small.mrc", engine))


def test_mirrorings_and_members_are_averaged(volume: Path, tmp_path: Path, recorder: Any) -> None:
    """Two members and two axes are eight predictions of each window."""
    engine = SmoothEngine()
    engine.mirror, engine.members = ("z", "x"), 2
    mask = mask_of(volume, engine, tmp_path / "run", recorder)
    with open_volume(volume) as opened:
        count = len(Task(engine, opened).windows or ())
    assert engine.windows == 8 * count
    assert np.mean(mask != expected_mask(volume, engine)) < 1e-4


@pytest.mark.parametrize("make", [SmoothEngine, ResampledEngine])
def test_order_focus_and_processes_do_not_change_a_byte(
    make: Any, volume: Path, tmp_path: Path, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums of integers do not depend on the order in which windows are finished."""
    monkeypatch.syspath_prepend(str(Path(windowed.__file__).parent))
    mask_of(volume, make(), tmp_path / "a", recorder)
    mask_of(volume, make(), tmp_path / "b", recorder, focus=(2.0, 39.0, 1.0))
    pool = ProcessExecutor(2)
    try:
        mask_of(volume, make(), tmp_path / "c", recorder, executor=pool, focus=(29.0, 0.0, 36.0))
    finally:
        pool.close()
    contents = [(tmp_path / name / "mask.mrc").read_bytes() for name in "abc"]
    assert contents[0] == contents[1] == contents[2]


def test_windows_outside_of_the_region_are_not_computed(volume: Path, tmp_path: Path, recorder: Any) -> None:
    """Inside the region the mask is that of the whole volume; elsewhere it is 0, and most windows are not computed."""
    engine = SmoothEngine()
    inside = np.zeros(SHAPE, np.uint8)
    inside[:6, :7, 3:9] = 1

    class SameMean(SmoothEngine):
        def prepare(self, context: Any) -> None:  # noqa: ARG002 (the interface)
            self.mean = 100.0

    engine, limited = SameMean(), SameMean()
    whole = mask_of(volume, engine, tmp_path / "whole", recorder)
    mask = mask_of(volume, limited, tmp_path / "limited", recorder, within=Region.of_array(inside))
    assert np.array_equal(mask, np.where(inside, whole, 0))
    assert 0 < limited.windows <= engine.windows / 4
    assert recorder.reports[-1].total_tiles == limited.windows


def test_empty_windows_are_not_computed(tmp_path: Path, recorder: Any) -> None:
    """Padding is background and costs nothing."""
    values = np.full(SHAPE, 7, np.float32)
    values[:, :12] = np.random.default_rng(1).normal(size=(30, 12, 37)) + 7
    write_volume(tmp_path / "padded.mrc", values, 10.0)
    engine = SmoothEngine()
    mask = mask_of(tmp_path / "padded.mrc", engine, tmp_path / "run", recorder)
    with open_volume(tmp_path / "padded.mrc") as opened:
        count = len(Task(engine, opened).windows or ())
    assert engine.windows <= count / 2
    assert mask[:, :8].any()
    assert not mask[:, 30:].any()


def test_something_is_seen_after_the_first_windows(volume: Path, tmp_path: Path, recorder: Any) -> None:
    """Windows around the focus are shown before the pass begins; the last preview is the mask."""
    engine = SmoothEngine()
    shown: list[int] = []
    engine.on_window = lambda: shown.append(sum(bool(frame.mask.any()) for frame in recorder.frames))
    mask = mask_of(
        volume, engine, tmp_path / "run", recorder, preview=PreviewOptions(interval_s=0.05, max_voxels=10**5)
    )
    final = recorder.frames[-1]
    assert final.final
    assert np.array_equal(final.mask, mask)
    assert shown[0] > 0
    assert recorder.frames[0].mask[15].any()


def test_a_window_is_shown_before_its_blocks_are_final(volume: Path, tmp_path: Path, recorder: Any) -> None:
    """What a window alone says is seen until its neighbours are computed, where the volume is inside the region."""
    engine, inside = SmoothEngine(), np.ones(SHAPE, np.uint8)
    inside[:, :, 20:] = 0
    engine.on_window = lambda: shown.append(recorder.frames[-1].mask.copy() if recorder.frames else None)
    shown: list[Any] = []
    options = PreviewOptions(interval_s=0.05, max_voxels=10**5)
    mask_of(volume, engine, tmp_path / "run", recorder, preview=options, within=Region.of_array(inside))
    assert any(each is not None and each.any() for each in shown[:3])
    assert not any(frame.mask[:, :, 20:].any() for frame in recorder.frames)


def test_no_label_disappears_from_a_window_that_is_shown(volume: Path, tmp_path: Path, recorder: Any) -> None:
    """A voxel of the downsampled preview has a label if any voxel that it stands for has it, also of a window alone."""

    class Sparse(SmoothEngine):
        def predict_window(self, data: Any, member: int) -> Any:
            scores = super().predict_window(data, member)
            scores[:] = 0
            scores[0] = 1
            scores[1, 1::4, 1::4, 1::4] = 2
            return scores

    mask_of(volume, Sparse(), tmp_path / "run", recorder, preview=PreviewOptions(interval_s=0.05, max_voxels=1000))
    first = recorder.frames[0]
    assert min(first.scale) >= 4
    places = np.argwhere(first.mask)
    assert len(places) == np.prod(np.ptp(places, axis=0) + 1) > 1


def test_what_fails_in_the_quick_preview_is_no_failure(volume: Path, tmp_path: Path, recorder: Any) -> None:
    """An engine that cannot be prepared on a sample still does its job."""

    class Careful(SmoothEngine):
        def prepare(self, context: Any) -> None:
            if context.coarse:
                raise JobFailedError("not on a sample")
            super().prepare(context)

    mask = mask_of(volume, Careful(), tmp_path / "run", recorder)
    assert np.array_equal(mask, mask_of(volume, SmoothEngine(), tmp_path / "again", recorder))


def test_a_cancel_stops_between_windows(volume: Path, tmp_path: Path, recorder: Any) -> None:
    """No window begins after it, and nothing is left in the folder."""
    engine, control = SmoothEngine(), Control()
    engine.on_window = control.cancel
    with pytest.raises(JobFailedError) as caught:
        mask_of(volume, engine, tmp_path / "run", recorder, control=control)
    assert caught.value.code is ErrorCode.CANCELLED
    assert engine.windows <= 2
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("kind", ["nan", "shape"])
def test_what_a_model_must_not_return_ends_the_job(kind: str, volume: Path, tmp_path: Path, recorder: Any) -> None:
    """NaN and a wrong shape are said in a sentence."""

    class Broken(SmoothEngine):
        def predict_window(self, data: Any, member: int) -> Any:
            scores = super().predict_window(data, member)
            return scores * np.nan if kind == "nan" else scores[:, 1:]

    with pytest.raises(JobFailedError, match="NaN or infinite" if kind == "nan" else r"scores of shape \(3, 15"):
        mask_of(volume, Broken(), tmp_path / "run", recorder)
