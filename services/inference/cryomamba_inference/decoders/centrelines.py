"""Constants of the filament decoder, whose two steps are in `ridges` and `tracing`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CentrelineConstants:
    """Constants of the filament decoder, chosen on phantoms of `benchmarks.picking` with seeds of their own.

    Attributes
    ----------
    smoothing : float
        Standard deviation of the Gaussian by which the probability is smoothed, in filament radii.
    floor : float
        Minimum smoothed probability of a centreline.
    roundness : float
        Minimum ratio of the second derivatives across the line, which is 1 for a round filament and 0 for a sheet.
    outside : float
        Distance from the centreline, in radii, at which a filament must have ended.
    max_outside : float
        Maximum probability there, relative to the centreline; a thicker filament has more.
    step : float
        Step along the line, in diameters.
    near : float
        Distance, in diameters, within which points belong to a line.
    min_advance : float
        Minimum progress along the line in a step, in steps.
    min_agreement : float
        Minimum cosine of the angle between a line and its points.
    gap : int
        Steps without points that are bridged.
    smoothings : int
        Passes of the kernel (1, 2, 1) / 4 along the line.
    high, low : int
        Scores that a filament must reach at one point and at all points, in 255ths.
    min_length : float
        Minimum length of a filament, in diameters.
    max_diameter_nodes : float
        Diameter on the working grid; thicker filaments have a coarser one, so that their outside is within the halo.
    """

    smoothing: float = 0.5
    floor: float = 0.15
    roundness: float = 0.15
    outside: float = 2.0
    max_outside: float = 0.6
    step: float = 0.5
    near: float = 0.6
    min_advance: float = 0.2
    min_agreement: float = 0.75
    gap: int = 3
    smoothings: int = 2
    high: int = 140
    low: int = 64
    min_length: float = 3.0
    max_diameter_nodes: float = 20.0


CONSTANTS = CentrelineConstants()
