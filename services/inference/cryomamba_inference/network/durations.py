"""How long the network's steps take, by which progress is weighted. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from cryomamba.geometry import Shape
from cryomamba_inference.network.samples import SAMPLE_NODES

RESAMPLING, BACKGROUND, FILTERING, RECOGNIZING = (
    "resampling",
    "correcting the background",
    "filtering for sheets",
    "judging contrast and noise",
)
STEPS: Final = (RESAMPLING, BACKGROUND, FILTERING, RECOGNIZING)


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds per million nodes on two cores, by ``benchmarks/job_updates.py``; only their ratios matter.

    Attributes
    ----------
    recognizing_s : float
        Per million nodes of the samples, for one contrast.
    tiles_s : float
        Of the network in the tiles, whose halos are included.
    """

    resampling_s: float = 0.24
    background_s: float = 0.36
    filtering_s: float = 1.5
    recognizing_s: float = 0.8
    tiles_s: float = 2.45


DURATIONS: Final = Durations()


def preparing_s(node_shape: Shape, contrasts: int) -> dict[str, float]:
    """Return the expected seconds of each step of the preparation, in order."""
    millions = math.prod(node_shape) / 1e6
    sampled = min(millions, SAMPLE_NODES / 1e6)
    seconds = (
        DURATIONS.resampling_s * millions,
        DURATIONS.background_s * millions,
        DURATIONS.filtering_s * millions,
        DURATIONS.recognizing_s * sampled * contrasts,
    )
    return dict(zip(STEPS, seconds, strict=True))


def tiles_s(node_shape: Shape) -> float:
    """Return the expected seconds of all tiles."""
    return DURATIONS.tiles_s * math.prod(node_shape) / 1e6


class StepReport:
    """Turns the progress of a step into that of the whole preparation.

    Parameters
    ----------
    seconds : dict of str to float
        The expected duration of each step, in order.
    """

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds, self._total = seconds, sum(seconds.values())

    def fraction(self, step: str, done: float) -> float:
        """Return the fraction of the preparation that is done, from that of a step."""
        names = list(self._seconds)
        before = sum(self._seconds[name] for name in names[: names.index(step)])
        return (before + done * self._seconds[step]) / self._total
