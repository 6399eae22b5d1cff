"""The membrane engine: finds membranes of either contrast, nothing in noise, independently of the tiling."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from cryomamba.engines.api import Slices, Tile, VolumeContext
from cryomamba.errors import ErrorCode, JobFailedError, VolumeError
from cryomamba.masks.hysteresis import apply_thresholds
from cryomamba.synth import Phantom, PhantomSpec, score_mask, synthesize
from cryomamba.synth.wedge import apply_wedge
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.engines.membrane import MembraneEngine, MembraneParameters
from cryomamba_inference.executor import open_executor
from cryomamba_inference.filters.membrane import plate_responses
from cryomamba_inference.runner import Control, Task, run_task

Density = npt.NDArray[np.float32]
SHAPE = (72, 128, 128)


def prepared(
    data: Density,
    voxel_size_A: float | tuple[float, float, float] = 10.0,
    *,
    threads: int = 1,
    step: Callable[[float], None] = lambda _: None,
    **parameters: Any,
) -> MembraneEngine:
    engine = MembraneEngine(MembraneParameters(**parameters))
    size = voxel_size_A if isinstance(voxel_size_A, tuple) else (voxel_size_A,) * 3

    def read(where: Slices) -> Density:
        return np.ascontiguousarray(data[where])

    engine.prepare(VolumeContext(data.shape, size, None, read, threads=threads, report_progress=step))
    return engine


def scores_of(engine: MembraneEngine, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    nothing = np.empty((0, 0, 0), np.float32)
    scores = engine.predict(Tile(nothing, (slice(0, 0),) * 3, (0, 0, 0), shape))
    assert scores.dtype == np.uint8
    return scores.astype(np.uint8)


def mask_of(engine: MembraneEngine, shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    return apply_thresholds(scores_of(engine, shape), engine.thresholds())


@pytest.mark.parametrize("contrast", ["dark", "bright"])
def test_membranes_are_found_in_either_contrast(contrast: str) -> None:
    """A phantom with gold, crowding, noise and a missing wedge scores well, with the contrast left to the engine."""
    spec = PhantomSpec(shape=SHAPE, voxel_size_A=10.0, seed=4, noise=1.0, contrast=contrast)
    phantom = synthesize(spec)
    score = score_mask(mask_of(prepared(phantom.density), SHAPE), phantom.ground_truth)
    assert score.f1 > 0.9, score


def _sloped(density: Density) -> Density:
    slope = np.linspace(0, 5 * density.std(), density.shape[0])
    return np.asarray(density + slope[:, None, None], np.float32)


def _bent(density: Density) -> Density:
    y, x = (np.linspace(-1, 1, size) for size in density.shape[1:])
    return np.asarray(density + 2 * density.std() * (y[:, None] ** 2 + x**2), np.float32)


def _faded(density: Density) -> Density:
    return np.asarray((density - density.mean()) * np.linspace(0.5, 1.5, density.shape[2]), np.float32)


@pytest.fixture(scope="module")
def even() -> tuple[Phantom, float]:
    """A phantom and how well its membranes are found."""
    phantom = synthesize(PhantomSpec(shape=(80, 160, 160), voxel_size_A=10.0, seed=333, noise=2.0))
    return phantom, score_mask(mask_of(prepared(phantom.density), (80, 160, 160)), phantom.ground_truth).f1


@pytest.mark.slow
@pytest.mark.parametrize("change", [_sloped, _bent, _faded])
def test_slow_variations_hardly_change_the_mask(
    even: tuple[Phantom, float], change: Callable[[Density], Density]
) -> None:
    """A linear or quadratic gradient, or a threefold variation of contrast, hardly changes the mask."""
    phantom, f1 = even
    mask = mask_of(prepared(change(phantom.density)), phantom.ground_truth.shape)
    assert score_mask(mask, phantom.ground_truth).f1 > f1 - 0.06


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [(1, 1, 1), (2, 2, 2), (2, 0, 0)])
def test_a_smoothed_volume_is_as_good(even: tuple[Phantom, float], sigma: tuple[int, int, int]) -> None:
    """Low-passed, in all directions or along z, as denoisers do, a volume has nearly the same mask."""
    phantom, f1 = even
    smooth = np.asarray(ndimage.gaussian_filter(phantom.density, sigma), np.float32)
    assert score_mask(mask_of(prepared(smooth), phantom.ground_truth.shape), phantom.ground_truth).f1 > f1 - 0.08


INSIDE = (slice(8, -8), slice(20, -20), slice(20, -20))


@pytest.fixture(scope="module")
def framed() -> tuple[Phantom, float]:
    """A phantom, and the F1 score of its part within a frame."""
    phantom = synthesize(PhantomSpec(shape=(88, 176, 176), voxel_size_A=10.0, seed=334, noise=1.0))
    cropped = np.ascontiguousarray(phantom.density[INSIDE])
    return phantom, score_mask(mask_of(prepared(cropped), cropped.shape), phantom.ground_truth[INSIDE]).f1


@pytest.mark.slow
@pytest.mark.parametrize("deviations", [0.0, 20.0, -1000.0])
def test_padding_is_no_membrane_and_no_noise(framed: tuple[Phantom, float], deviations: float) -> None:
    """A constant frame, with the mean density or far from it, has no membranes, and hardly changes the mask inside."""
    phantom, f1 = framed
    padded = np.full_like(phantom.density, phantom.density.mean() + deviations * phantom.density.std())
    padded[INSIDE] = phantom.density[INSIDE]
    whole = mask_of(prepared(padded), phantom.ground_truth.shape)
    assert score_mask(np.ascontiguousarray(whole[INSIDE]), phantom.ground_truth[INSIDE]).f1 > f1 - 0.06
    outside = np.ones(phantom.ground_truth.shape, np.bool_)
    outside[4:-4, 14:-14, 14:-14] = False
    assert whole[outside].mean() < 1e-3


def test_noise_gives_almost_nothing() -> None:
    """In pure noise fewer than one voxel in a thousand is segmented."""
    noise = np.random.default_rng(5).normal(size=SHAPE).astype(np.float32)
    assert mask_of(prepared(noise), SHAPE).mean() < 1e-3


@pytest.mark.parametrize("value", [0.0, -3.5])
def test_a_constant_volume_has_no_membranes(value: float) -> None:
    """A constant volume gives an empty mask and no division by zero."""
    data = np.full((24, 40, 40), value, np.float32)
    assert not mask_of(prepared(data), (24, 40, 40)).any()


@pytest.mark.slow
def test_tiles_equal_the_whole() -> None:
    """Scores of tiles are those of the whole volume, within one step of rounding."""
    phantom = synthesize(PhantomSpec(shape=SHAPE, voxel_size_A=10.0, seed=6, noise=1.0))
    engine = prepared(phantom.density)
    whole = scores_of(engine, SHAPE).astype(int)
    nothing = np.empty((0, 0, 0), np.float32)
    different = 0
    for start in itertools.product(*(range(0, size, 64) for size in SHAPE)):
        z, y, x = (slice(at, min(at + 64, size)) for at, size in zip(start, SHAPE, strict=True))
        shape = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
        tile = engine.predict(Tile(nothing, (slice(0, 0),) * 3, (z.start, y.start, x.start), shape))
        different += int((np.abs(tile.astype(int) - whole[z, y, x]) > 1).sum())
    assert different < 1e-3 * whole.size


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (8, 8, 8), (1, 64, 64), (64, 1, 64), (1, 1, 300)])
@pytest.mark.parametrize("size_A", [0.01, 1.0, 40.0])
def test_the_smallest_volumes_are_no_error(shape: tuple[int, int, int], size_A: float) -> None:
    """A volume of a few nodes, as of a header without a voxel size, has a mask like any other."""
    noise = np.random.default_rng(6).normal(size=shape).astype(np.float32)
    assert mask_of(prepared(noise, size_A), shape).shape == shape


@pytest.mark.slow
def test_the_same_phantom_at_another_voxel_size_gives_the_same_volume() -> None:
    """What is found is physical: at 7 and 14 Å the volumes of membrane differ by little."""
    volumes = []
    for size, shape in ((7.0, (96, 160, 160)), (14.0, (48, 80, 80))):
        phantom = synthesize(PhantomSpec(shape=shape, voxel_size_A=size, seed=7, noise=0.5))
        volumes.append(mask_of(prepared(phantom.density, size), shape).sum() * size**3)
    assert volumes[0] == pytest.approx(volumes[1], rel=0.2)


@pytest.mark.slow
def test_a_prepared_engine_goes_to_another_process() -> None:
    """Pickled and read back, it gives the same scores."""
    phantom = synthesize(PhantomSpec(shape=(40, 64, 64), voxel_size_A=10.0, seed=8))
    engine = prepared(phantom.density)
    again = pickle.loads(pickle.dumps(engine))
    np.testing.assert_array_equal(scores_of(again, (40, 64, 64)), scores_of(engine, (40, 64, 64)))


def test_a_turn_in_the_plane_changes_little() -> None:
    """Without a missing wedge, a volume turned by a right angle about z gives the turned mask."""
    # 55 nodes of 27 Å span these voxels exactly, so the turned volume has the same nodes.
    shape = (48, 136, 136)
    phantom = synthesize(PhantomSpec(shape=shape, voxel_size_A=10.0, seed=9, noise=0.5, max_tilt_deg=None))
    here = mask_of(prepared(phantom.density), shape)
    turned = mask_of(prepared(np.rot90(phantom.density, axes=(1, 2)).copy()), shape)
    score = score_mask(np.rot90(turned, -1, axes=(1, 2)), here, label=1)
    assert score.f1 > 0.93, score


def test_voxels_may_be_longer_along_z() -> None:
    """Where planes are 16 Å apart and pixels 9 Å wide, membranes are found all the same."""
    shape = (48, 140, 140)
    phantom = synthesize(PhantomSpec(shape=shape, voxel_size_A=(16.0, 9.0, 9.0), seed=10, noise=0.5))
    score = score_mask(mask_of(prepared(phantom.density, (16.0, 9.0, 9.0)), shape), phantom.ground_truth)
    assert score.f1 > 0.85, score


def test_gold_is_not_segmented() -> None:
    """A gold bead in noise, with its missing-wedge streaks, is not segmented."""
    size = (10.0, 10.0, 10.0)
    data = np.random.default_rng(11).normal(size=(96, 128, 128)).astype(np.float32)
    z, y, x = np.ogrid[-48:48, -64:64, -64:64]
    data[z * z + y * y + x * x <= 25] -= 12
    apply_wedge(data, size, 60.0)
    assert mask_of(prepared(data), data.shape).mean() < 1e-3


def test_more_threads_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The filter works box by box; the number of threads does not change the scores."""
    monkeypatch.setattr(plate_responses, "BOX_NODES", 20)
    phantom = synthesize(PhantomSpec(shape=(40, 96, 96), voxel_size_A=10.0, seed=12))
    one, three = (scores_of(prepared(phantom.density, threads=threads), (40, 96, 96)) for threads in (1, 3))
    np.testing.assert_array_equal(one, three)


@pytest.mark.slow
def test_filter_boxes_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Filtered in many boxes or in one, the scores are the same within a few steps, where kernels are truncated."""
    phantom = synthesize(PhantomSpec(shape=SHAPE, voxel_size_A=10.0, seed=13, noise=1.0))
    whole = scores_of(prepared(phantom.density), SHAPE).astype(int)
    monkeypatch.setattr(plate_responses, "BOX_NODES", 16)
    boxes = scores_of(prepared(phantom.density), SHAPE).astype(int)
    assert (np.abs(whole - boxes) > 6).mean() < 1e-3


def test_the_preparation_reports_progress_and_can_be_stopped() -> None:
    """Fractions rise to at most one, and an exception of the callback ends the preparation."""
    data = np.random.default_rng(14).normal(size=(40, 64, 64)).astype(np.float32)
    reported: list[float] = []
    prepared(data, step=reported.append)
    assert reported
    assert reported == sorted(reported)
    assert 0 < reported[-1] <= 1

    def stop(_fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(data, step=stop)


class NoEvents:
    """Ignores all events."""

    def on_progress(self, progress: object) -> None:
        pass

    def on_preview(self, frame: object) -> None:
        pass


class CancelsEarly(NoEvents):
    """Cancels when the first tiles of the result are finished."""

    def __init__(self) -> None:
        self.control = Control()

    def on_progress(self, progress: object) -> None:
        if getattr(progress, "stage", None) == "segmenting" and getattr(progress, "done_tiles", 0) > 1:
            self.control.cancel()


@pytest.mark.slow
def test_an_interruption_does_not_show_in_the_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is stopped among its tiles and begun anew in the same folder writes what an undisturbed one writes."""
    monkeypatch.setattr(MembraneEngine, "tile_bytes", 2_000_000)
    phantom = synthesize(PhantomSpec(shape=(48, 80, 80), voxel_size_A=14.0, seed=19, noise=0.5))
    source = tmp_path / "phantom.mrc"
    write_volume(source, phantom.density, phantom.voxel_size_A)

    def run(name: str, control: Control, events: NoEvents) -> list[bytes]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        with open_volume(source, scratch=folder) as volume:
            task = Task(engine=MembraneEngine(MembraneParameters()), volume=volume, keep_scores=True)
            outcome = run_task(task, folder, open_executor(1), control, events)
        assert outcome.scores is not None
        return [path.read_bytes()[1024:] for path in (outcome.mask, outcome.scores)]

    events = CancelsEarly()
    with pytest.raises(JobFailedError) as caught:
        run("again", events.control, events)
    assert caught.value.code is ErrorCode.CANCELLED
    again, once = run("again", Control(), NoEvents()), run("once", Control(), NoEvents())
    assert any(once[0])
    assert again == once


def test_non_finite_voxels_are_refused(tmp_path: Path) -> None:
    """One NaN ends the job with a hint, and no mask is left."""
    data = np.random.default_rng(20).normal(size=(24, 40, 40)).astype(np.float32)
    data[12, 20, 20] = np.nan
    write_volume(tmp_path / "bad.mrc", data, 10.0)
    (tmp_path / "job").mkdir()
    with open_volume(tmp_path / "bad.mrc", scratch=tmp_path) as volume:
        task = Task(engine=MembraneEngine(MembraneParameters()), volume=volume)
        with pytest.raises(VolumeError) as caught:
            run_task(task, tmp_path / "job", open_executor(1), Control(), NoEvents())
    assert caught.value.code is ErrorCode.VOLUME_NOT_FINITE
    assert caught.value.hint
    assert not list((tmp_path / "job").iterdir())
