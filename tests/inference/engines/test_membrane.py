"""The membrane engine: finds membranes of either contrast, nothing in noise, and refuses what it cannot use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError
from scipy import ndimage
from tests.inference.network.prepared import prepared, scores_of

from cryomamba.errors import ErrorCode, JobFailedError, VolumeError
from cryomamba.masks.hysteresis import apply_thresholds
from cryomamba.synth import MaskScore, Phantom, PhantomSpec, score_mask, synthesize
from cryomamba.synth.wedge import apply_wedge
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.engines.membrane import MembraneEngine, MembraneParameters
from cryomamba_inference.executor import open_executor
from cryomamba_inference.network import engine as network_engine
from cryomamba_inference.runner import Control, Task, run_task

Density = npt.NDArray[np.float32]
Size = tuple[float, float, float]
SHAPE = (48, 96, 96)
A12 = (12.5, 12.5, 12.5)


def mask_of(data: npt.NDArray[Any], size_A: Size = A12, **parameters: Any) -> npt.NDArray[Any]:
    """Return what is more probably membrane than not, computed as one tile, without a minimum volume."""
    volume = np.asarray(data, np.float32)
    engine = prepared(volume, size_A, **{"min_volume_nm3": 0.0, "high": 128, **parameters})
    shape = (volume.shape[0], volume.shape[1], volume.shape[2])
    return apply_thresholds(scores_of(engine, shape), engine.thresholds())


def phantom(**spec: Any) -> Phantom:
    quiet = {"shape": SHAPE, "voxel_size_A": 12.5, "seed": 4, "noise": 0.3, "crowding": 0.0, "fiducials": 0}
    return synthesize(PhantomSpec(**{**quiet, **spec}))


@pytest.fixture(scope="module")
def clean() -> tuple[Phantom, MaskScore]:
    """Membranes in little noise, and how well they are found."""
    made = phantom()
    return made, score_mask(mask_of(made.density), made.ground_truth)


def test_membranes_are_found(clean: tuple[Phantom, MaskScore]) -> None:
    """What is found in little noise is membrane, and much of the membranes is found."""
    _, score = clean
    assert score.precision > 0.75, score
    assert score.recall > 0.25, score


def test_an_inverted_volume_has_the_same_mask(clean: tuple[Phantom, MaskScore]) -> None:
    """With dark and bright exchanged, by decision or by parameter, the scores are the same."""
    made, _ = clean
    dark = scores_of(prepared(made.density), SHAPE).astype(int)
    bright = scores_of(prepared(-made.density), SHAPE).astype(int)
    assert (np.abs(dark - bright) > 3).mean() < 1e-3
    np.testing.assert_array_equal(bright, scores_of(prepared(-made.density, contrast="bright"), SHAPE))


def test_the_wrong_contrast_finds_little(clean: tuple[Phantom, MaskScore]) -> None:
    """The parameter overrides the decision, and bright membranes are no dark ones."""
    made, _ = clean
    assert mask_of(made.density, contrast="bright").sum() < 0.3 * mask_of(made.density).sum()


def _sloped(density: Density) -> Density:
    slope = np.linspace(0, 2 * density.std(), density.shape[0])
    return np.asarray(density + slope[:, None, None], np.float32)


def _faded(density: Density) -> Density:
    return np.asarray((density - density.mean()) * np.linspace(0.7, 1.3, density.shape[2]), np.float32)


def _shifted(density: Density) -> Density:
    return np.asarray(1e4 + 3 * density, np.float32)


@pytest.mark.parametrize("change", [_sloped, _faded, _shifted])
def test_offset_scale_and_slow_variations_hardly_change_the_mask(
    clean: tuple[Phantom, MaskScore], change: Callable[[Density], Density]
) -> None:
    """A linear gradient, a twofold variation of contrast, another offset and scale lose little of the mask."""
    made, score = clean
    found = score_mask(mask_of(change(made.density)), made.ground_truth)
    assert found.f1 > score.f1 - 0.15, (found, score)


def test_a_steep_slope_costs_nearly_nothing() -> None:
    """In noise, a slope of six deviations over the volume loses less than .05 of F1."""
    made = phantom(noise=1.0)
    slope = np.linspace(0, 6 * made.density.std(), SHAPE[0])[:, None, None]
    even, sloped = (score_mask(mask_of(data), made.ground_truth) for data in (made.density, made.density + slope))
    assert sloped.f1 > even.f1 - 0.05, (sloped, even)


INSIDE = (slice(8, -8), slice(12, -12), slice(12, -12))


@pytest.mark.parametrize("deviations", [0.0, 20.0, -1000.0])
def test_padding_is_no_membrane_and_no_noise(clean: tuple[Phantom, MaskScore], deviations: float) -> None:
    """A constant frame, with the mean density or far from it, has no membranes, and loses little inside."""
    made, score = clean
    value = made.density.mean() + deviations * made.density.std()
    framed = np.pad(made.density, [(8, 8), (12, 12), (12, 12)], constant_values=value)
    mask = mask_of(framed)
    found = score_mask(np.ascontiguousarray(mask[INSIDE]), made.ground_truth)
    assert found.f1 > score.f1 - 0.15, (found, score)
    mask[5:-5, 9:-9, 9:-9] = 0
    assert mask.mean() < 1e-3


def test_an_empty_part_has_no_membranes(clean: tuple[Phantom, MaskScore]) -> None:
    """Planes of zeros within the volume stay empty."""
    made, _ = clean
    data = made.density.copy()
    data[14:26] = 0
    assert not mask_of(data)[16:24].any()


@pytest.mark.parametrize("sigma", [0.0, 1.0, 3.0])
def test_noise_gives_almost_nothing(sigma: float) -> None:
    """In noise, white or correlated, at most two voxels in a thousand are taken."""
    noise = ndimage.gaussian_filter(np.random.default_rng(5).normal(size=(48, 96, 96)), sigma)
    assert mask_of(noise).mean() < 2e-3


@pytest.mark.parametrize("value", [0.0, -3.5, 1e6])
def test_a_constant_volume_has_no_membranes(value: float) -> None:
    """A constant volume gives an empty mask and no division by zero."""
    assert not mask_of(np.full((24, 40, 40), value)).any()


def test_offsets_far_above_the_noise_cost_nothing() -> None:
    """Noise of deviation 0.1 around 32768, as of unsigned integers, gives what the noise itself gives."""
    noise = 0.1 * np.random.default_rng(6).normal(size=(24, 48, 48))
    assert np.mean(mask_of(32768 + noise) != mask_of(noise)) < 2e-3


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (8, 8, 8), (1, 64, 64), (64, 1, 64), (1, 1, 300)])
@pytest.mark.parametrize("size_A", [0.01, 1.0, 40.0])
def test_the_smallest_volumes_are_no_error(shape: tuple[int, int, int], size_A: float) -> None:
    """A volume of a few nodes, as of a header without a voxel size, has a mask like any other."""
    noise = np.random.default_rng(6).normal(size=shape)
    assert mask_of(noise, (size_A, size_A, size_A)).shape == shape


@pytest.mark.slow
def test_the_same_phantom_at_another_voxel_size_gives_the_same_volume() -> None:
    """What is found is physical: at 8 and 16 Å the volumes of membrane differ by a third at most."""
    volumes = []
    for size, shape in ((8.0, (64, 120, 120)), (16.0, (32, 60, 60))):
        made = phantom(shape=shape, voxel_size_A=size, seed=7)
        volumes.append(mask_of(made.density, (size, size, size)).sum() * size**3)
    assert volumes[0] == pytest.approx(volumes[1], rel=0.33)


def test_a_turn_in_the_plane_changes_little(clean: tuple[Phantom, MaskScore]) -> None:
    """A volume turned by a half turn about z gives the turned mask."""
    made, _ = clean
    here = mask_of(made.density)
    turned = mask_of(made.density[:, ::-1, ::-1].copy())
    score = score_mask(np.ascontiguousarray(turned[:, ::-1, ::-1]), here, label=1)
    assert score.f1 > 0.85, score


def test_voxels_may_be_longer_along_z() -> None:
    """Where planes are 16 Å apart and pixels 9 Å wide, membranes are found all the same."""
    made = phantom(shape=(32, 110, 110), voxel_size_A=(16.0, 9.0, 9.0))
    score = score_mask(mask_of(made.density, (16.0, 9.0, 9.0)), made.ground_truth)
    assert score.precision > 0.7, score
    assert score.recall > 0.2, score


def test_gold_is_not_segmented() -> None:
    """A gold bead in noise, with its missing-wedge streaks, is not segmented."""
    data = np.random.default_rng(11).normal(size=(64, 96, 96)).astype(np.float32)
    z, y, x = np.ogrid[-32:32, -48:48, -48:48]
    data[z * z + y * y + x * x <= 16] -= 12
    apply_wedge(data, A12, 60.0)
    assert mask_of(data).mean() < 2e-3


def test_small_components_are_removed_by_their_volume(clean: tuple[Phantom, MaskScore]) -> None:
    """The minimum volume is in nm³, at any voxel size."""
    made, _ = clean
    engine = prepared(made.density, min_volume_nm3=1000.0)
    assert engine.thresholds().min_voxels == 512
    few = mask_of(made.density, min_volume_nm3=1000.0)
    labelled, count = ndimage.label(few, np.ones((3, 3, 3)))
    assert count == 0 or np.bincount(labelled.ravel())[1:].min() >= 512


def test_the_lower_threshold_is_at_most_the_upper_one() -> None:
    """A given upper threshold below the lower one lowers both; a given lower one above the upper one raises both."""
    noise = np.random.default_rng(6).normal(size=(4, 4, 4))
    below, above = prepared(noise, high=20).thresholds(), prepared(noise, low=200).thresholds()
    assert (below.high, below.low) == (20, 20)
    assert (above.high, above.low) == (200, 200)


def test_a_noisy_volume_has_a_lower_threshold(clean: tuple[Phantom, MaskScore]) -> None:
    """The lower threshold is determined from the volume and told, unless the user has set it."""
    made, _ = clean
    noise = np.random.default_rng(7).normal(0, 2 * made.density.std(), made.density.shape)
    clear, noisy = prepared(made.density), prepared(made.density + noise)
    assert noisy.thresholds().low < clear.thresholds().low
    assert noisy.estimates()["lower_threshold"] == noisy.thresholds().low
    assert "lower_threshold" not in prepared(noise, low=90).estimates()


@pytest.mark.parametrize(
    "wrong",
    [{"contrast": "light"}, {"high": 0}, {"high": 256}, {"low": 0}, {"min_volume_nm3": -1.0}, {"tilt_deg": 60.0}],
)
def test_unknown_and_impossible_parameters_are_refused(wrong: dict[str, Any]) -> None:
    """Names and ranges are checked before anything is computed."""
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        MembraneParameters(**wrong)


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
    monkeypatch.setattr(network_engine, "_TILE_NODES", 72)
    phantom = synthesize(PhantomSpec(shape=(32, 96, 96), voxel_size_A=14.0, seed=19, noise=0.3))
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
