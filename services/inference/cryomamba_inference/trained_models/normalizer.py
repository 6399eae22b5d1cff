"""Normalizes windows as a model's description states, with statistics of the volume that are computed once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import VolumeContext, Voxels
from cryomamba.trained_models.normalization import Clip, Fixed, Linear, ScaleRange, Step, ZeroMeanUnitVariance
from cryomamba.volumes import Statistics

Sample = npt.NDArray[np.float64]
_SAMPLE: Final = 1_000_000
"""Voxels of a sample for percentiles: they deviate by about a thousandth of their rank."""
_PLANES: Final = 32


@dataclass(frozen=True, slots=True)
class Scale:
    """Subtract `shift`, then divide by `divisor`."""

    shift: float
    divisor: float

    def __call__(self, data: Voxels) -> Voxels:
        """Return the values scaled."""
        return np.asarray((data - np.float32(self.shift)) / np.float32(self.divisor), np.float32)


@dataclass(frozen=True, slots=True)
class Limit:
    """Limit values to a range."""

    low: float
    high: float

    def __call__(self, data: Voxels) -> Voxels:
        """Return the values within the range."""
        return np.clip(data, np.float32(self.low), np.float32(self.high))


@dataclass(frozen=True, slots=True)
class OfWindow:
    """A step whose numbers are those of each window."""

    step: ZeroMeanUnitVariance | ScaleRange | Clip

    def __call__(self, data: Voxels) -> Voxels:
        """Return the values of a window after the step."""
        values = data.astype(np.float64).reshape(-1)
        return _done(self.step, _Known(values, float(values.mean()), float(values.std())))(data)


@dataclass(slots=True)
class _Known:
    """What is known of the values at a step: a sample, and their mean and deviation, exact as long as they can be."""

    sample: Sample
    mean: float
    std: float
    extremes: tuple[float, float] | None = None

    def percentile(self, percent: float) -> float:
        if self.extremes is not None and percent in (0, 100):
            return self.extremes[percent == 100]
        return float(np.percentile(self.sample, percent))

    def after(self, done: Scale | Limit) -> _Known:
        sample = np.asarray(done(self.sample.astype(np.float32)), np.float64)
        if isinstance(done, Limit):
            return _Known(sample, float(sample.mean()), float(sample.std()))
        low_high = (
            None if self.extremes is None else sorted((each - done.shift) / done.divisor for each in self.extremes)
        )
        return _Known(
            sample,
            (self.mean - done.shift) / done.divisor,
            self.std / abs(done.divisor),
            None if low_high is None else (low_high[0], low_high[1]),
        )


@dataclass(frozen=True)
class Normalizer:
    """The steps with their numbers; picklable.

    Attributes
    ----------
    done : tuple of callables
    """

    done: tuple[Scale | Limit | OfWindow, ...] = field(default=())

    @classmethod
    def of(cls, steps: Sequence[Step], context: VolumeContext, *, invert: bool) -> Self:
        """Return the steps for a volume.

        Parameters
        ----------
        invert : bool
            First mirror the densities at their mean, so that dark becomes bright.
        """
        statistics = context.statistics
        if statistics is None:
            raise ValueError("statistics of the volume are needed")
        sampled = sample_of(context) if any(_needs_sample(step) for step in steps) else np.array([statistics.mean])
        return cls.of_values(steps, sampled, statistics, invert=invert)

    @classmethod
    def of_values(
        cls, steps: Sequence[Step], sample: Sample, statistics: Statistics | None = None, *, invert: bool = False
    ) -> Self:
        """Return the steps for values, with their exact statistics if there are any."""
        if statistics is None:
            known = _Known(sample, float(sample.mean()), float(sample.std()))
        else:
            known = _Known(sample, statistics.mean, statistics.std, (statistics.minimum, statistics.maximum))
        done: list[Scale | Limit | OfWindow] = []
        if invert:
            mirrored = Scale(2 * known.mean, -1.0)
            done.append(mirrored)
            known = known.after(mirrored)
        for step in steps:
            if not isinstance(step, Fixed | Linear) and step.over == "window":
                done.append(OfWindow(step))
                continue
            found = _done(step, known)
            done.append(found)
            known = known.after(found)
        return cls(tuple(done))

    def __call__(self, data: Voxels) -> Voxels:
        """Return the densities of a window normalized."""
        for done in self.done:
            data = done(data)
        return data


def _done(step: Step, known: _Known) -> Scale | Limit:
    match step:
        case ZeroMeanUnitVariance():
            # A constant volume stays constant.
            return Scale(known.mean, (known.std + step.eps) or 1.0)
        case ScaleRange():
            low, high = known.percentile(step.min_percentile), known.percentile(step.max_percentile)
            return Scale(low, (high - low + step.eps) or 1.0)
        case Fixed():
            return Scale(step.mean, step.std)
        case Linear():
            return Scale(-step.offset / step.gain, 1 / step.gain) if step.gain else Limit(step.offset, step.offset)
        case Clip():
            return Limit(
                _limit(step.min, step.min_percentile, known, -math.inf),
                _limit(step.max, step.max_percentile, known, math.inf),
            )


def _limit(value: float | None, percent: float | None, known: _Known, none: float) -> float:
    if percent is not None:
        return known.percentile(percent)
    return none if value is None else value


def _needs_sample(step: Step) -> bool:
    """Return whether numbers of a step may need more than mean, deviation and extremes."""
    return isinstance(step, ScaleRange | Clip) and step.over == "volume"


def sample_of(context: VolumeContext) -> Sample:
    """Return a regular sample of a volume, of the region if there is one."""
    depth, height, width = context.shape
    planes = np.unique(np.linspace(0, depth - 1, min(depth, _PLANES)).round().astype(int))
    stride = max(1, math.ceil(math.sqrt(len(planes) * height * width / _SAMPLE)))
    found = []
    for n, z in enumerate(planes):
        where = (slice(int(z), int(z) + 1), slice(0, height), slice(0, width))
        plane = context.read(where)[0, ::stride, ::stride]
        if context.within is not None:
            plane = plane[context.within(where)[0, ::stride, ::stride]]
        found.append(np.asarray(plane, np.float64).reshape(-1))
        context.report_progress((n + 1) / len(planes))
    sample = np.concatenate(found)
    mean = 0.0 if context.statistics is None else context.statistics.mean
    return sample if sample.size else np.array([mean])
