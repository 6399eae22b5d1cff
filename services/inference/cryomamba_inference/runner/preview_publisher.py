"""When a preview is published: the first one at once, then at most one per interval, and always the last one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Self

import numpy as np

from cryomamba.engines.api import Labels
from cryomamba.geometry import Shape
from cryomamba.masks.hysteresis import apply_thresholds
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.models.frames import PreviewFrame
from cryomamba.wire.buffers import bits_for
from cryomamba_inference.downsample import PreviewCanvas, preview_factor
from cryomamba_inference.runner.task import Task
from cryomamba_inference.tiling import Box


class PreviewPublisher:
    """Keeps the preview up to date and decides when to publish it.

    Parameters
    ----------
    publish : callable
        Called with each :class:`~cryomamba.models.frames.PreviewFrame`, at most once per interval of the task's preview
        options; only the final frame may come sooner.
    """

    def __init__(self, task: Task, canvas: PreviewCanvas, publish: Callable[[PreviewFrame], None]) -> None:
        self._task = task
        self._voxel_size_A = task.header.voxel_size_A
        self._canvas, self._publish = canvas, publish
        self._due = 0.0
        self._changed = False
        self._coarse = False
        self._thresholds: HysteresisThreshold | None = None

    @classmethod
    def for_task(cls, task: Task, publish: Callable[[PreviewFrame], None], below: Labels | None = None) -> Self:
        """Return a publisher with a canvas of the size that the task's preview options allow.

        It is empty, or has the preview `below` of an engine before; labels that there are no more are left out.
        """
        engine, shape, highest = task.engine, task.header.shape, max(task.engine.labels)
        scale = preview_factor(shape, max_voxels=task.preview.max_voxels, bits=bits_for(highest))
        dtype = np.uint8 if highest < 256 else np.uint16
        priority = None if engine.output == "scores" else engine.priority
        canvas = PreviewCanvas(shape, scale, dtype=dtype, priority=priority)
        if below is not None and below.shape == canvas.layer().shape:
            canvas.new_layer(np.where(below <= highest, below, 0))
        return cls(task, canvas, publish)

    @property
    def scale(self) -> Shape:
        """Tomogram voxels per preview voxel, z, y, x."""
        return self._canvas.scale

    def put_coarse(self, labels: Labels, progress: float) -> None:
        """Replace the whole preview by one made from a binned copy."""
        self._canvas.new_layer(labels)
        self._coarse = self._changed = True
        self.publish_if_due(progress)

    def begin_pass(self, thresholds: HysteresisThreshold | None) -> None:
        """Begin a pass at full resolution over what is shown now; give `thresholds` if it yields scores."""
        self._canvas.new_layer(self.mask())
        self._thresholds = thresholds

    def put(self, start: Shape, labels: Labels) -> None:
        """Add a finished block of labels or scores."""
        self._canvas.put(start, labels)
        self._coarse = False
        self._changed = True

    def put_provisional(self, first: Shape, labels: Labels) -> None:
        """Show labels, from that voxel of the preview on, until finished blocks cover them."""
        self._canvas.put_below(first, labels)
        self._changed = True

    def put_background(self, specs: Iterable[Box]) -> None:
        """Add tiles that are not computed."""
        for spec in specs:
            self._canvas.cover(spec.start, spec.shape)
            self._changed = True

    def publish_if_due(self, progress: float) -> None:
        """Publish what has changed, unless the last frame is too recent."""
        if self._changed and time.monotonic() >= self._due:
            self.publish(progress, final=False)

    def publish(self, progress: float, *, final: bool) -> None:
        """Publish the preview, or the finished mask."""
        frame = PreviewFrame(
            job_id=self._task.job_id,
            mask=self.mask(),
            scale=self._canvas.scale,
            volume_shape=self._canvas.shape,
            voxel_size_A=self._voxel_size_A,
            progress=progress,
            engine=self._task.engine.name,
            labels=self._task.engine.labels,
            attempt=self._task.attempt,
            final=final,
            coarse=self._coarse,
            ts=time.time(),
        )
        self._changed = False
        self._due = time.monotonic() + self._task.preview.interval_s
        self._publish(frame)

    def mask(self) -> Labels:
        """Return the preview as it stands."""
        layer = self._canvas.layer()
        if self._thresholds is not None:
            # Components are merged on the preview's grid, and small ones stay: growing components must not be missed.
            layer = apply_thresholds(
                layer.astype(np.uint8), HysteresisThreshold(self._thresholds.high, self._thresholds.low)
            )
        return self._canvas.over(layer)
