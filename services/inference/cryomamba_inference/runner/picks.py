"""From the points of all tiles to the picks of a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryomamba.engines.api import Engine, Points
from cryomamba.picks import Picks
from cryomamba_inference.runner.tile_selection import TileSelection


@dataclass(frozen=True, slots=True)
class FoundPicks:
    """The picks of a job, and those that another threshold on its scores may choose from; None if there are none."""

    picks: Picks | None = None
    candidates: Picks | None = None


def picks_of_points(
    engine: Engine[Any], points: Mapping[int, Points], tiles: TileSelection, *, keeps_scores: bool
) -> FoundPicks:
    """Return what an engine makes of the points of all tiles, given by tile; candidates only if scores are kept."""
    ordered = np.concatenate([points[index] for index in sorted(points)])
    picks = tiles.picks(engine.finalize_picks(ordered))
    return FoundPicks(picks, tiles.picks(engine.candidates(ordered)) if keeps_scores else None)


def picks_of_candidates(engine: Engine[Any], candidates: Picks, tiles: TileSelection) -> FoundPicks:
    """Return the candidates of another job that are above an engine's thresholds."""
    thresholds = engine.thresholds()
    return FoundPicks(tiles.picks(candidates).above(thresholds.high, thresholds.low))
