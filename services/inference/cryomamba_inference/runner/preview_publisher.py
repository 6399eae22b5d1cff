"""When a preview is shown: the first at once, then at most one an interval, and the last always."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from cryomamba.engines.api import Labels
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.hysteresis import cut_scores
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.models.frames import PreviewFrame
from cryomamba_inference.downsample import PreviewCanvas


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """What every frame of a job has in common."""

    job_id: str
    attempt: int
    engine: str
    labels: Mapping[int, str]
    volume_shape: Shape
    voxel_size_A: Spacing


class PreviewPublisher:
    """Keeps the canvas and decides when it is shown.

    Parameters
    ----------
    title : FrameTitle
    canvas : PreviewCanvas
    interval_s : float
        Least time between two frames; the last one may come sooner.
    show : callable
        Called with each :class:`~cryomamba.models.frames.PreviewFrame`.
    """

    def __init__(
        self, title: FrameInfo, canvas: PreviewCanvas, *, interval_s: float, show: Callable[[PreviewFrame], None]
    ) -> None:
        self._title = title
        self._canvas = canvas
        self._interval_s = interval_s
        self._show = show
        self._due = 0.0
        self._changed = False
        self._coarse = False
        self._cut: HysteresisThreshold | None = None

    def look(self, labels: Labels, progress: float) -> None:
        """Show a first look, a whole preview made from a binned copy."""
        self._canvas.new_layer(labels)
        self._coarse = True
        self._changed = True
        self.tick(progress)

    def begin(self, cut: HysteresisThreshold | None) -> None:
        """Begin a walk at full resolution over what is shown now; `cut` if it yields scores."""
        self._canvas.new_layer(self._picture())
        self._cut = cut

    def put(self, start: Shape, labels: Labels) -> None:
        """Take in a finished block of labels or scores."""
        self._canvas.put(start, labels)
        self._coarse = False
        self._changed = True

    def tick(self, progress: float) -> None:
        """Show what has changed, if it is time."""
        if self._changed and time.monotonic() >= self._due:
            self._send(progress, final=False)

    def finish(self, progress: float) -> None:
        """Show the finished mask."""
        self._send(progress, final=True)

    def _send(self, progress: float, *, final: bool) -> None:
        frame = PreviewFrame(
            job_id=self._title.job_id,
            mask=self._picture(),
            scale=self._canvas.scale,
            volume_shape=self._title.volume_shape,
            voxel_size_A=self._title.voxel_size_A,
            progress=progress,
            engine=self._title.engine,
            labels=self._title.labels,
            attempt=self._title.attempt,
            final=final,
            coarse=self._coarse,
            ts=time.time(),
        )
        self._changed = False
        self._due = time.monotonic() + self._interval_s
        self._show(frame)

    def _picture(self) -> Labels:
        layer = self._canvas.layer()
        if self._cut is not None:
            # Pieces are joined on the small grid here, and small ones stay: nobody should miss them while they grow.
            layer = cut_scores(layer.astype(np.uint8), HysteresisThreshold(self._cut.high, self._cut.low))
        return self._canvas.over(layer)
