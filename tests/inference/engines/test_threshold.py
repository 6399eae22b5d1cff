"""The threshold engine: tiles equal the whole volume, physical units, and no surprises on odd volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage import filters

from cryomamba.engines.api import Slices, Tile, VolumeContext
from cryomamba.engines.registry import Registry
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Spacing
from cryomamba_inference.engines.histogram import Method, find_threshold
from cryomamba_inference.engines.threshold import ThresholdEngine, ThresholdParameters
from cryomamba_inference.runner.binned_copy import array_statistics
from cryomamba_inference.tiling import plan_tiles

Density = npt.NDArray[np.float32]


def prepared(data: Density, voxel_size_A: Spacing = (10.0, 10.0, 10.0), **parameters: Any) -> ThresholdEngine:
    engine = ThresholdEngine(ThresholdParameters(**parameters))

    def read(where: Slices) -> Density:
        return np.ascontiguousarray(data[where])

    engine.prepare(VolumeContext(data.shape, voxel_size_A, None, read))
    return engine


def whole(engine: ThresholdEngine, data: Density) -> npt.NDArray[Any]:
    z, y, x = (slice(0, n) for n in data.shape)
    return engine.predict(Tile(data, (z, y, x), (0, 0, 0), data.shape))


def blobs(shape: tuple[int, int, int] = (40, 48, 44), *, contrast: float = -8, seed: int = 1) -> Density:
    rng = np.random.default_rng(seed)
    data = rng.normal(size=shape)
    truth = ndimage.gaussian_filter(rng.normal(size=shape), 4)
    data[truth > np.percentile(truth, 88)] += contrast
    return data.astype(np.float32)


@pytest.mark.parametrize("parameters", [{}, {"hysteresis": 0.4}, {"sigma_A": 0}, {"sigma_A": 25, "method": "li"}])
def test_tiles_equal_the_whole(parameters: dict[str, Any]) -> None:
    """Tiles with the engine's halo give, bit for bit, what the whole volume gives."""
    data, size = blobs(), (12.0, 10.0, 8.0)
    engine = prepared(data, size, **parameters)
    expected = whole(engine, data)
    plan = plan_tiles(data.shape, halo=engine.halo(size), tile_bytes=60_000)
    assert len(plan) > 4
    for piece in plan:
        tile = Tile(np.ascontiguousarray(data[piece.read]), piece.core, piece.start, piece.shape)
        assert np.array_equal(engine.predict(tile), expected[piece.target])


@pytest.mark.parametrize("contrast", ["dark", "bright"])
def test_auto_contrast_takes_the_rarer_side(contrast: str) -> None:
    """Features that fill an eighth are found whether they are darker or brighter, with automatic contrast."""
    data = blobs(contrast=-8 if contrast == "dark" else 8)
    mask = whole(prepared(data), data)
    assert np.array_equal(mask, whole(prepared(data, contrast=contrast), data))
    assert 0.08 < mask.mean() < 0.16


def test_density_upside_down_gives_the_same_mask() -> None:
    """Dark features are found exactly as bright ones are in the negative of the volume."""
    data = blobs()
    dark, bright = prepared(data, contrast="dark"), prepared(-data, contrast="bright")
    assert np.array_equal(whole(dark, data), whole(bright, -data))


def test_a_value_is_in_the_units_of_the_file() -> None:
    """A manual value is compared with the smoothed density itself, on the side that was asked for."""
    data = blobs()
    smooth = ndimage.gaussian_filter(data, 1.0, truncate=3)
    parameters: dict[str, Any] = {"method": "value", "value": -3.0}
    assert np.array_equal(whole(prepared(data, contrast="dark", **parameters), data), smooth <= -3)
    assert np.array_equal(whole(prepared(data, contrast="bright", **parameters), data), smooth >= -3)


def test_smoothing_is_in_angstrom() -> None:
    """The same number of ångström is twice the voxels at half the voxel size, along each axis by itself."""
    engine = ThresholdEngine(ThresholdParameters(sigma_A=30))
    assert engine.halo((10.0, 15.0, 30.0)) == (10, 7, 4)
    assert ThresholdEngine(ThresholdParameters(sigma_A=0)).halo((10.0, 10.0, 10.0)) == (0, 0, 0)


def test_hysteresis_yields_scores() -> None:
    """With hysteresis, the strong voxels are those of the plain threshold and the weak ones surround them."""
    data = blobs()
    plain, engine = prepared(data), prepared(data, hysteresis=0.5, min_volume_nm3=20)
    scores, cut = whole(engine, data), engine.thresholds()
    assert engine.output == "scores"
    assert np.array_equal(scores >= cut.high, whole(plain, data) == 1)
    assert (scores >= cut.low).sum() > (scores >= cut.high).sum()
    assert cut.min_voxels == 20
    assert prepared(data, min_volume_nm3=1).thresholds().low == cut.high


@pytest.mark.parametrize("contrast", ["dark", "bright", "auto"])
@pytest.mark.parametrize("method", ["otsu", "yen", "li"])
def test_a_constant_volume_has_no_features(contrast: str, method: str) -> None:
    """Where all voxels are the same, nothing is a feature."""
    data = np.full((9, 8, 7), -3.5, np.float32)
    assert not whole(prepared(data, contrast=contrast, method=method), data).any()


def test_samples_of_a_large_volume_find_the_threshold_of_all_of_it() -> None:
    """A volume too large to be read whole for its threshold gets, from samples, nearly that of all its voxels."""
    data = blobs((130, 120, 100), seed=4)
    engine = prepared(data, sigma_A=10, contrast="dark")
    everything = find_threshold(-ndimage.gaussian_filter(data, 1.0, truncate=3).reshape(-1), "otsu")
    assert engine.high == pytest.approx(everything, rel=0.15)


@given(seed=st.integers(0, 50), share=st.floats(0.05, 0.5), distance=st.floats(4, 12))
def test_methods_agree_with_scikit_image(seed: int, share: float, distance: float) -> None:
    """Otsu, Yen and Li put the threshold where scikit-image does, within the width of a few bins."""
    rng = np.random.default_rng(seed)
    sample = rng.normal(size=20_000)
    sample[: int(share * sample.size)] += distance
    low, high = np.percentile(sample.astype(np.float32), (0.01, 99.99))
    clipped = np.clip(sample, low, high).astype(np.float32)
    width = (high - low) / 512
    theirs = {
        "otsu": filters.threshold_otsu(clipped, nbins=512),  # type: ignore[no-untyped-call]
        "yen": filters.threshold_yen(clipped, nbins=512),  # type: ignore[no-untyped-call]
        "li": filters.threshold_li(clipped),  # type: ignore[no-untyped-call]
    }
    for method, expected in theirs.items():
        found: Method = method  # type: ignore[assignment]
        ours = find_threshold(sample.astype(np.float32), found)
        # Between two separate classes every threshold is as good as another: what counts is how voxels fall.
        moved = np.mean((clipped >= ours) != (clipped > expected))
        assert abs(ours - expected) <= 4 * width or moved <= 0.002


def test_a_method_without_its_value_is_refused() -> None:
    """The method 'value' without a value is a clear error, and so is a parameter that there is not."""
    with pytest.raises(InvalidRequestError) as caught:
        ThresholdEngine(ThresholdParameters(method="value"))
    assert caught.value.code is ErrorCode.INVALID_PARAMETERS
    with pytest.raises(InvalidRequestError, match="sigma"):
        Registry.discover().create("threshold", {"sigma": 3})


def test_one_bright_voxel_does_not_stretch_the_histogram(tmp_path: Path) -> None:
    """A hot pixel a thousand times above everything leaves the threshold where it was."""
    data = blobs()
    hot = data.copy()
    hot[5, 5, 5] = 1e4
    cold, warm = prepared(data, sigma_A=0, contrast="dark"), prepared(hot, sigma_A=0, contrast="dark")
    assert warm.high == pytest.approx(cold.high, rel=0.05)


def scaled(data: Density, **parameters: Any) -> npt.NDArray[Any]:
    """Return the mask of a volume, with the statistics that a run would have measured."""
    engine = ThresholdEngine(ThresholdParameters(**parameters))
    context = VolumeContext(
        data.shape, (10.0, 10.0, 10.0), array_statistics(data), lambda where: np.ascontiguousarray(data[where])
    )
    engine.prepare(context)
    return whole(engine, data)


@pytest.mark.parametrize(
    ("spread", "offset"),
    [(2.0**-3, 2.0**15), (2.0**-10, 1000.0), (2.0**120, 0.0), (2.0**-120, 0.0), (2.0**100, 2.0**106)],
)
@pytest.mark.parametrize("method", ["otsu", "yen", "li"])
def test_the_mask_does_not_depend_on_scale_and_offset(spread: float, offset: float, method: str) -> None:
    """Shifted far from zero, or scaled to huge or tiny numbers, nearly all voxels keep their label."""
    data = blobs()
    moved = (data.astype(np.float64) * spread + offset).astype(np.float32)
    plain, other = scaled(data, method=method), scaled(moved, method=method)
    assert plain.any()
    assert np.mean(plain != other) < 2e-3


@pytest.mark.parametrize("method", ["otsu", "yen", "li"])
@pytest.mark.parametrize("value", [0.0, 1e6, -3e4, 3.4e38, 1e-40])
def test_flat_volumes_are_empty_and_two_neighbouring_numbers_are_told_apart(value: float, method: str) -> None:
    """A constant volume has no features; of two numbers one rounding step apart, the rarer is the feature."""
    data = np.full((12, 12, 12), value, np.float32)
    assert not scaled(data, method=method, contrast="bright", sigma_A=0).any()
    data[4:6, 4:6, 4:6] = np.nextafter(np.float32(value), np.float32(-np.inf))
    found = scaled(data, method=method, sigma_A=0)
    assert np.array_equal(found == 1, data != np.float32(value))


def test_empty_sections_do_not_matter(tmp_path: Path) -> None:
    """With empty sections and an empty block the other voxels are segmented, and nothing fails."""
    data = blobs()
    data[:8], data[:, :, 30:] = 0, 0
    found = scaled(data)
    assert found[8:, :, :30].any()


def test_a_value_means_what_it_says_far_from_zero() -> None:
    """With the method 'value' a voxel that has exactly the value is a feature, also on a large offset."""
    data = np.full((8, 8, 8), 1000.0, np.float32)
    data[2, 2, 2] = np.float32(1000.01)
    data[3, 3, 3] = np.nextafter(np.float32(1000.01), np.float32(0))
    found = scaled(data, method="value", value=float(np.float32(1000.01)), contrast="bright", sigma_A=0)
    assert np.argwhere(found).tolist() == [[2, 2, 2]]
