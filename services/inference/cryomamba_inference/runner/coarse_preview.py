"""A preview of the whole volume from a small binned copy, before the volume has been read."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cryomamba.engines.api import Engine, Inside, Labels, Pass, ReportProgress, Slices, Tile, VolumeContext, Voxels
from cryomamba.errors import CryoMambaError, InternalError
from cryomamba.geometry import Shape
from cryomamba.masks.hysteresis import apply_thresholds
from cryomamba.masks.region import Region
from cryomamba.volumes import HeaderFields, Volume
from cryomamba_inference.downsample import magnify
from cryomamba_inference.executor.base import predict_checked
from cryomamba_inference.runner.binned_copy import array_statistics, binned_copy, binned_region, binned_shape
from cryomamba_inference.runner.progress import Stage
from cryomamba_inference.threads import one_thread

_LEAST_S = 1.0
"""That a preview is expected to take; only the ratio to the other stages matters."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CoarsePreview:
    """Computes one coarse preview.

    Attributes
    ----------
    engine : Engine
        A second engine of this class and with these parameters does the work.
    volume : Volume or None
        None for an engine that needs none.
    scale : tuple of int
        Tomogram voxels per preview voxel, z, y, x.
    region : Region or None
        Where the volume is segmented; None for everywhere.
    """

    engine: Engine[Any]
    volume: Volume | None
    header: HeaderFields
    scale: Shape
    coarse_pass: Pass
    index: int
    region: Region | None = None

    @property
    def stage(self) -> Stage:
        """The stage of a job in which the preview is computed, while nothing else is."""
        factor = self._factor
        if self._is_needless(factor):
            return Stage(self.coarse_pass.stage, self.coarse_pass.seconds)
        z, y, x = self.header.voxel_size_A
        work = self.engine.work(binned_shape(self.header.shape, factor), (z * factor, y * factor, x * factor))
        return Stage(self.coarse_pass.stage, max(self.coarse_pass.seconds, _LEAST_S, work.prepare_s + work.tiles_s))

    @property
    def _factor(self) -> int:
        """By how many voxels the copy is binned along each axis."""
        factor = max(self.coarse_pass.factor, *self.scale)
        if self.coarse_pass.voxels is not None:
            factor = max(factor, math.ceil((math.prod(self.header.shape) / self.coarse_pass.voxels) ** (1 / 3)))
        return factor

    def _is_needless(self, factor: int) -> bool:
        """Whether the copy would be the volume itself."""
        return factor == 1 and self.volume is not None

    def __call__(self, report: ReportProgress) -> Labels | None:
        """Return the preview; None if there can be none. `report` is called often, and raises to stop."""

        def check() -> None:
            report(0.0)

        factor = self._factor
        if self._is_needless(factor):
            return None
        try:
            copy = None if self.volume is None else binned_copy(self.volume, factor, check)
            inside = None if self.region is None else binned_region(self.region, factor, check)
            if (copy is not None and not np.isfinite(copy).all()) or (inside is not None and not inside.any()):
                return None
            labels = self._labels(copy, inside, factor, report)
        except CryoMambaError as error:
            # What fails on the coarse copy may well succeed on the volume, but a cancel applies to both.
            check()
            log.info("No quick preview: %s", error)
            return None
        return magnify(labels, self.header.shape, factor, self.scale)

    def _labels(self, copy: Voxels | None, inside: Inside | None, factor: int, report: ReportProgress) -> Labels:
        shape = binned_shape(self.header.shape, factor)
        engine = type(self.engine)(self.engine.parameters)
        engine.prepare(self._context(shape, factor, copy, inside, report))
        core = (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
        data = np.empty((0, 0, 0), np.float32) if copy is None else copy
        with one_thread():
            found = predict_checked(engine, Tile(data, core, (0, 0, 0), shape, factor, self.index))
        labels = found.labels
        if inside is not None:
            labels = np.where(inside, labels, labels.dtype.type(0))
        if engine.output == "scores":
            thresholds = engine.thresholds()
            smallest = thresholds.min_voxels // factor**3
            labels = apply_thresholds(labels.astype(np.uint8), replace(thresholds, min_voxels=smallest))
        return labels

    def _context(
        self, shape: Shape, factor: int, copy: Voxels | None, inside: Inside | None, report: ReportProgress
    ) -> VolumeContext:
        z, y, x = self.header.voxel_size_A
        statistics = None if copy is None else array_statistics(copy if inside is None else copy[inside])
        read = refuse_reading if copy is None else copy.__getitem__
        voxel_size_A = (z * factor, y * factor, x * factor)
        within = None if inside is None else inside.__getitem__
        return VolumeContext(shape, voxel_size_A, statistics, read, report_progress=report, within=within, coarse=True)


def refuse_reading(_where: Slices) -> Voxels:
    """Raise: there is no volume to read."""
    raise InternalError("An engine with needs_volume = False has read from the volume.")
