"""What a pass over a volume works with, and where its results go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryomamba.engines.api import Labels, Points
from cryomamba.volumes import Volume
from cryomamba_inference.runner.control import Position
from cryomamba_inference.tiling import Box

Store = Callable[[Box, Labels], None]
"""Takes a final box and what was found there."""


@dataclass(frozen=True, slots=True)
class Sink:
    """The source and the receivers of a pass.

    Attributes
    ----------
    volume : Volume or None
        Where tiles are read from; None for tiles without data.
    focus : tuple of float or None
        Voxel (z, y, x) to begin at.
    pass_index : int
        Index of the pass, from 0.
    store : callable
        Called with each final box and its labels or scores, 0 outside of the region.
    points : callable
        Called with the index of a tile and its points.
    uncertainty : callable or None
        Called with each final box and the uncertainty in percent, likewise; None if it is not wanted.
    step : callable
        Called after each tile or window.
    meanwhile : callable
        Called each time the executor has been polled.
    """

    volume: Volume | None
    focus: Position | None
    pass_index: int
    store: Store
    points: Callable[[int, Points], None]
    uncertainty: Store | None
    step: Callable[[], None]
    meanwhile: Callable[[], None]
