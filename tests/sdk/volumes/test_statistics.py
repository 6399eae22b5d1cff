from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cryomamba.errors import CryoMambaError, ErrorCode, VolumeError
from cryomamba.volumes import Statistics, Subset, check_finite_sample, open_volume, statistics, stream_statistics
from cryomamba.volumes.moments import Moments

Make = Callable[..., Path]


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float32", "float16"])
def test_statistics_equal_numpys_in_double_precision(make_file: Make, dtype: str) -> None:
    """Extremes are exact, mean and standard deviation as accurate as in 64 bits, over several chunks."""
    array = np.random.default_rng(5).normal(60, 12, (30, 100, 200)).astype(dtype)
    with open_volume(make_file(array, mapc=3, mapr=1, maps=2)) as volume:
        found = stream_statistics(volume)
    wide = array.astype(np.float64)
    assert (found.count, found.non_finite) == (array.size, 0)
    assert (found.minimum, found.maximum) == (wide.min(), wide.max())
    assert found.mean == pytest.approx(wide.mean(), rel=1e-7)
    assert found.std == pytest.approx(wide.std(), rel=1e-6)


def test_a_small_spread_on_a_large_mean_is_not_lost(make_file: Make) -> None:
    """The standard deviation is right for a mean 10,000 times as large, where sums of squares fail."""
    array = np.random.default_rng(5).normal(10000, 1, (40, 128, 128)).astype(np.float32)
    with open_volume(make_file(array)) as volume:
        found = stream_statistics(volume)
    assert found.std == pytest.approx(array.astype(np.float64).std(), rel=1e-5)


def test_a_subset_is_measured_alone(make_file: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its statistics are numpy's of these voxels, in whatever blocks the file is read, whatever its axis order."""
    stored = np.random.default_rng(5).normal(60, 12, (12, 30, 40)).astype(np.float32)
    # Columns, rows and sections of the file are z, x and y.
    array = stored.transpose(2, 0, 1)
    inside = np.random.default_rng(6).random(array.shape) < 0.3
    values = array[inside].astype(np.float64)
    seen: list[float] = []
    for block in (7 * 40, 1 << 22):
        monkeypatch.setattr(statistics, "_BLOCK_VOXELS", block)
        with open_volume(make_file(stored, mapc=3, mapr=1, maps=2)) as volume:
            within = Subset(inside.__getitem__, int(inside.sum()))
            found = stream_statistics(volume, within=within, progress=seen.append)
        assert (found.count, found.minimum, found.maximum) == (values.size, values.min(), values.max())
        assert found.mean == pytest.approx(values.mean(), rel=1e-6)
        assert found.std == pytest.approx(values.std(), rel=1e-6)
        assert list(found.percentiles.values()) == pytest.approx(np.percentile(values, list(found.percentiles)))
        assert seen[-1] == 1


def test_percentiles_and_histogram_describe_the_sample(make_file: Make) -> None:
    """For a volume smaller than the sample they equal numpy's, and every voxel is in the histogram."""
    array = np.random.default_rng(5).normal(size=(16, 32, 32)).astype(np.float32)
    with open_volume(make_file(array)) as volume:
        found = stream_statistics(volume)
    expected = np.percentile(array.astype(np.float64), list(found.percentiles))
    assert list(found.percentiles.values()) == pytest.approx(expected)
    assert sum(found.histogram.counts) == array.size
    assert (found.histogram.low, found.histogram.high) == (found.percentiles[0.1], found.percentiles[99.9])
    assert Statistics.model_validate_json(found.model_dump_json()) == found


def test_the_sample_is_not_aligned_with_rows(make_file: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """If each column has its own value, the sample has as many voxels of each column."""
    monkeypatch.setattr(statistics, "_SAMPLE", 1 << 12)
    array = np.broadcast_to(np.arange(64, dtype=np.float32), (64, 64, 64))
    with open_volume(make_file(array)) as volume:
        found = stream_statistics(volume)
    assert found.percentiles[25.0] == pytest.approx(15.75, abs=1)
    assert found.percentiles[75.0] == pytest.approx(47.25, abs=1)


def test_the_sample_is_regular_over_the_whole_file(make_file: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stride of the sample continues across chunks."""
    monkeypatch.setattr(statistics, "_SAMPLE", 1000)
    array = np.random.default_rng(5).normal(size=(10, 301, 307)).astype(np.float32)
    stride = statistics.sample_stride(array.size, (10, 301, 307))
    with open_volume(make_file(array)) as volume:
        found = stream_statistics(volume)
    expected = np.percentile(array.ravel()[::stride].astype(np.float64), list(found.percentiles))
    assert list(found.percentiles.values()) == pytest.approx(expected)


def test_a_constant_volume_has_no_spread(make_file: Make) -> None:
    """A volume of one value gives that value and a histogram with all of it."""
    with open_volume(make_file(np.full((4, 5, 6), 3.5, np.float32))) as volume:
        found = stream_statistics(volume)
    assert (found.minimum, found.maximum, found.mean, found.std) == (3.5, 3.5, 3.5, 0.0)
    assert sum(found.histogram.counts) == 120


def test_non_finite_voxels_are_counted_and_ignored(make_file: Make) -> None:
    """NaN and infinities are counted and otherwise ignored."""
    array = np.arange(120, dtype=np.float32).reshape(4, 5, 6)
    array[0, 0, 0], array[1, 1, 1], array[3, 4, 5] = np.nan, np.inf, -np.inf
    with open_volume(make_file(array)) as volume:
        found = stream_statistics(volume)
        with pytest.raises(VolumeError, match="3 voxels are not finite") as caught:
            check_finite_sample(volume)
    finite = array[np.isfinite(array)]
    assert found.non_finite == 3
    assert (found.minimum, found.maximum) == (1, 118)
    assert found.mean == pytest.approx(finite.mean())
    assert caught.value.code == ErrorCode.VOLUME_NOT_FINITE
    assert caught.value.details == {"non_finite": 3, "sampled": False}


def test_a_volume_without_a_number_has_no_statistics(make_file: Make) -> None:
    """All NaN is an error of the volume."""
    with open_volume(make_file(np.full((2, 3, 4), np.nan, np.float32))) as volume, pytest.raises(VolumeError):
        stream_statistics(volume)


def test_a_large_volume_is_checked_by_a_sample(make_file: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit only a sample is read, and the error says so."""
    monkeypatch.setattr(statistics, "_SMALL_NBYTES", 1 << 20)
    monkeypatch.setattr(statistics, "_SAMPLED_CHUNKS", 2)
    array = np.zeros((4, 512, 512), np.float32)
    path = make_file(array)
    with open_volume(path) as volume:
        check_finite_sample(volume)
    array[2] = np.nan
    with open_volume(make_file(array)) as volume, pytest.raises(VolumeError, match="in the sample") as caught:
        check_finite_sample(volume)
    assert caught.value.details == {"non_finite": 512 * 512, "sampled": True}


def test_integer_volumes_are_not_read(make_file: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An integer volume is not read at all."""
    with open_volume(make_file(np.zeros((2, 3, 4), np.int16))) as volume:
        monkeypatch.setattr(volume, "chunks", None)
        check_finite_sample(volume)


def test_progress_rises_to_one_and_cancelling_ends_the_pass(make_file: Make) -> None:
    """Progress is reported, and the caller can stop between two chunks."""
    reported: list[float] = []
    with open_volume(make_file(np.zeros((5, 512, 512), np.float32))) as volume:
        stream_statistics(volume, progress=reported.append)
        with pytest.raises(CryoMambaError) as caught:
            stream_statistics(volume, cancelled=lambda: True)
    assert reported == sorted(reported)
    assert reported[-1] == 1.0
    assert len(reported) == 5
    assert caught.value.code == ErrorCode.CANCELLED


@given(
    st.lists(
        hnp.arrays(np.float32, hnp.array_shapes(max_dims=1, max_side=50), elements=st.floats(width=32)), max_size=5
    )
)
def test_moments_of_any_floats_are_those_of_the_finite_ones(pieces: list[np.ndarray]) -> None:
    """NaN, infinities, the largest and the smallest floats: count, extremes and mean are right and nothing warns."""
    moments = Moments()
    for piece in pieces:
        moments.add(piece)
    everything = np.concatenate([*pieces, np.empty(0, np.float32)]).astype(np.float64)
    finite = everything[np.isfinite(everything)]
    assert moments.count == finite.size
    assert moments.non_finite == everything.size - finite.size
    if finite.size:
        assert (moments.minimum, moments.maximum) == (finite.min(), finite.max())
        scale = np.abs(finite).max()
        assert moments.mean == pytest.approx(finite.mean(), rel=1e-5, abs=scale * 1e-5)
        assert moments.std == pytest.approx(finite.std(), rel=1e-4, abs=scale * 1e-5)


def _steps_apart(value: float) -> np.typing.NDArray[np.float32]:
    return np.array([value, np.nextafter(np.float32(value), np.float32(np.inf))], np.float32)


RNG = np.random.default_rng(7)
HARD = {
    "constant 1e6": np.full(4096, 1e6, np.float32),
    "mean 32768, deviation 0.1": RNG.normal(32768, 0.1, 4096).astype(np.float32),
    "mean 1000, deviation 1e-3": RNG.normal(1000, 1e-3, 4096).astype(np.float32),
    "one rounding step apart": np.resize(_steps_apart(1e6), 4096),
    "one rounding step apart, below zero": np.resize(-_steps_apart(3e4), 4096),
    "one voxel that differs by a step": np.append(np.full(4095, _steps_apart(1e6)[0]), _steps_apart(1e6)[1]),
    "near the largest number": (RNG.uniform(-1, 1, 4096) * 3.4e38).astype(np.float32),
    "constant near the largest number": np.full(4096, 3.4e38, np.float32),
    "one step apart near the largest number": np.resize(_steps_apart(3.4e38), 4096),
    "scale 1e30": (RNG.normal(size=4096) * 1e30).astype(np.float32),
    "scale 1e-30": (RNG.normal(size=4096) * 1e-30).astype(np.float32),
    "scale 1e-43, subnormal": (RNG.normal(size=4096) * 1e-43).astype(np.float32),
    "one outlier": np.append(RNG.normal(size=4095), 1e6).astype(np.float32),
    "zeros": np.zeros(4096, np.float32),
    "empty sections": np.repeat(np.where(np.arange(16) % 3 == 0, 0, RNG.normal(50, 2, 16)), 256).astype(np.float32),
}


@pytest.mark.parametrize("values", list(HARD.values()), ids=list(HARD))
def test_statistics_never_fail(make_file: Make, values: np.typing.NDArray[np.float32]) -> None:
    """Of any finite numbers they are those of 64 bits, the histogram holds every voxel, and they are valid JSON."""
    with open_volume(make_file(values.reshape(16, 16, 16))) as volume:
        found = stream_statistics(volume)
    wide = values.astype(np.float64)
    assert (found.minimum, found.maximum) == (wide.min(), wide.max())
    assert found.mean == pytest.approx(wide.mean(), rel=1e-7, abs=1e-6 * wide.std())
    assert found.std == pytest.approx(wide.std(), rel=1e-5, abs=0)
    assert list(found.percentiles.values()) == pytest.approx(np.percentile(wide, list(found.percentiles)).tolist())
    assert found.histogram.low < found.histogram.high < np.inf
    assert sum(found.histogram.counts) == values.size
    assert Statistics.model_validate_json(found.model_dump_json()) == found


@given(hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_any_finite_numbers_have_a_distribution(values: np.typing.NDArray[np.float32]) -> None:
    """Percentiles and a histogram with edges that differ exist for whatever finite numbers there are."""
    percentiles, histogram = statistics.distribution(values)
    assert values.min() <= percentiles[0.1] <= percentiles[99.9] <= values.max()
    assert histogram.low < histogram.high
    assert sum(histogram.counts) == values.size
