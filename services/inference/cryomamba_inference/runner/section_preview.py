"""Shows the section under the view at once, if the engine can compute it alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cryomamba.engines.api import Engine, VolumeContext
from cryomamba.engines.strokes import StrokesEngine
from cryomamba.masks.region import Region
from cryomamba_inference.runner.control import Position
from cryomamba_inference.runner.preview_publisher import PreviewPublisher
from cryomamba_inference.runner.reported import run_reported


class SectionPreview:
    """Shows sections of an engine that learns from strokes, each once; those of other engines come with their tiles.

    Parameters
    ----------
    engine : Engine
        Prepared before :meth:`show` is called.
    region : Region or None
        Where the volume is segmented; None for everywhere.
    """

    def __init__(self, engine: Engine[Any], publisher: PreviewPublisher, region: Region | None) -> None:
        self._engine, self._publisher, self._region = engine, publisher, region
        self._shown: set[int] = set()

    def forget(self) -> None:
        """Show all sections again: the engine has learned more."""
        self._shown.clear()

    def show(
        self, focus: Position | None, context: VolumeContext, check: Callable[[], None], *, fraction: float
    ) -> None:
        """Publish the section of the focus, or the middle one, unless it was shown before.

        Parameters
        ----------
        check : callable
            Called often; raises to stop.
        fraction : float
            Of the job that is done.
        """
        engine, (depth, height, width) = self._engine, context.shape
        if not isinstance(engine, StrokesEngine):
            return
        z = depth // 2 if focus is None else min(max(round(focus[0]), 0), depth - 1)
        if z in self._shown:
            return
        self._shown.add(z)
        labels = run_reported(lambda _: engine.section(context, z), lambda *_: check())
        if labels is None:
            self._shown.discard(z)
            return
        if self._region is not None:
            inside = self._region.read((slice(z, z + 1), slice(0, height), slice(0, width)))
            labels = np.where(inside, labels, labels.dtype.type(0))
        self._publisher.put((z, 0, 0), labels)
        self._publisher.publish(fraction, final=False)
