"""A look at the whole volume before it has been read, on a small copy that is quickly made."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Engine, Labels, Pass, Slices, Tile, VolumeContext, Voxels
from cryomamba.errors import CryoMambaError, InternalError
from cryomamba.geometry import Shape
from cryomamba.masks.hysteresis import cut_scores
from cryomamba.volumes import HeaderFields, Histogram, Statistics, Volume
from cryomamba.volumes.statistics import PERCENTILES
from cryomamba_inference.downsample import magnify
from cryomamba_inference.executor.base import predicted
from cryomamba_inference.threads import one_thread

log = logging.getLogger(__name__)

_BINS = 256


@dataclass(frozen=True, slots=True)
class CoarsePreview:
    """One look of an engine ahead.

    Attributes
    ----------
    engine : Engine
        Another one with its parameters does the work.
    volume : Volume or None
        None for an engine that needs none.
    facts : HeaderFacts
        Shape and voxel size.
    scale : tuple of int
        Tomogram voxels per preview voxel, z, y, x.
    look : Pass
    pass_index : int
        Index of the pass.
    """

    engine: Engine[Any]
    volume: Volume | None
    facts: HeaderFields
    scale: Shape
    look: Pass
    pass_index: int

    def __call__(self, check: Callable[[], None]) -> Labels | None:
        """Return the preview; None where a look cannot be had.

        Parameters
        ----------
        check : callable
            Called often; raises to stop.
        """
        factor = max(self.look.factor, *self.scale)
        if self.look.voxels is not None:
            factor = max(factor, math.ceil((math.prod(self.facts.shape) / self.look.voxels) ** (1 / 3)))
        if factor == 1 and self.volume is not None:
            return None
        try:
            copy = None if self.volume is None else binned_copy(self.volume, factor, check)
            if copy is not None and not np.isfinite(copy).all():
                return None
            labels = self._labels(copy, factor, check)
        except CryoMambaError as error:
            # What does not work on the coarse copy may well work on the volume, but a cancel holds for both.
            check()
            log.info("No first look: %s", error)
            return None
        return magnify(labels, self.facts.shape, factor, self.scale)

    def _labels(self, copy: Voxels | None, factor: int, check: Callable[[], None]) -> Labels:
        shape = binned_shape(self.facts.shape, factor)
        engine = type(self.engine)(self.engine.parameters)
        engine.prepare(self._context(shape, factor, copy, check))
        core = (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
        data = np.empty((0, 0, 0), np.float32) if copy is None else copy
        with one_thread():
            labels, _ = predicted(engine, Tile(data, core, (0, 0, 0), shape, factor, self.pass_index))
        if engine.output == "scores":
            cut = engine.thresholds()
            labels = cut_scores(labels.astype(np.uint8), replace(cut, min_voxels=cut.min_voxels // factor**3))
        return labels

    def _context(self, shape: Shape, factor: int, copy: Voxels | None, check: Callable[[], None]) -> VolumeContext:
        z, y, x = self.facts.voxel_size_A
        statistics = None if copy is None else array_statistics(copy)
        read = no_reading if copy is None else copy.__getitem__
        return VolumeContext(
            shape, (z * factor, y * factor, x * factor), statistics, read, report_progress=lambda _: check()
        )


def no_reading(_where: Slices) -> Voxels:
    """Refuse to read what is not there."""
    raise InternalError("An engine that needs no volume has read one.")


def binned_copy(volume: Volume, factor: int, check: Callable[[], None]) -> Voxels:
    """Return a copy binned by `factor` along every axis, made from few planes.

    Of each `factor` planes the middle one is read and averaged in y and x. So a look at 512³ voxels reads a quarter of
    the file and is there before the first full pass would be. `check` is called before each plane; it raises to stop.

    Returns
    -------
    ndarray of float32, ZYX
        Shape ``ceil(shape / factor)``.
    """
    depth, height, width = volume.shape
    rows, columns = slice(0, height), slice(0, width)
    planes = []
    for first in range(0, depth, factor):
        check()
        middle = (first + min(first + factor, depth) - 1) // 2
        plane = volume.read(slice(middle, middle + 1), rows, columns)[0]
        planes.append(_mean_pairs(_mean_pairs(plane, factor).T, factor).T)
    return np.stack(planes)


def _mean_pairs(plane: npt.NDArray[np.float32], factor: int) -> npt.NDArray[np.float32]:
    """Average each `factor` rows; the last group may have fewer."""
    whole = plane.shape[0] // factor
    folded = np.zeros((-(-plane.shape[0] // factor), plane.shape[1]), np.float32)
    for place in range(factor):
        rows = plane[place::factor]
        folded[: len(rows)] += rows
    folded[:whole] *= np.float32(1 / factor)
    folded[whole:] *= np.float32(1 / max(plane.shape[0] - whole * factor, 1))
    return folded


def array_statistics(data: Voxels) -> Statistics:
    """Return the statistics of a small array of finite values."""
    values = np.percentile(data, PERCENTILES)
    low, high = float(values[0]), float(values[-1])
    high = high if high > low else low + 1.0
    counts, _ = np.histogram(np.clip(data, low, high), _BINS, (low, high))
    return Statistics(
        count=data.size,
        non_finite=0,
        minimum=float(data.min()),
        maximum=float(data.max()),
        mean=float(data.mean(dtype=np.float64)),
        std=float(data.std(dtype=np.float64)),
        percentiles={key: float(value) for key, value in zip(PERCENTILES, values, strict=True)},
        histogram=Histogram(low=low, high=high, counts=tuple(int(count) for count in counts)),
    )


def binned_shape(shape: Shape, factor: int) -> Shape:
    """Return the ZYX shape of a binned copy."""
    z, y, x = (-(-size // factor) for size in shape)
    return z, y, x
