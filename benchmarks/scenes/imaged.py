"""Volumes for `accuracy`: every family of phantoms, imaged in different ways.

The imaging goes round with family and seed, so that no geometry is tied to one kind of imaging over several seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth import PhantomSpec
from cryomamba.synth.families import FAMILIES
from cryomamba.synth.imaging import ImagingSpec, image, measured_region
from cryomamba.synth.phantom import Phantom

_CONTRAST: Final = 0.58
"""A membrane's mean contrast in a voxel of 12 Å, in units of a leaflet's density: 0.52 to 0.64 by family."""
NOISES: Final = {"low": 0.5 * _CONTRAST, "middle": _CONTRAST, "high": 2 * _CONTRAST, "extreme": 4 * _CONTRAST}
"""Standard deviation of the noise in a voxel of 12 Å, in units of a leaflet's density."""
_PER_10_A: Final = 1.2**1.5
"""From a voxel of 12 Å to one of 10 Å, on which `ImagingSpec.noise` counts."""

SHAPES: Final = {
    5.0: (112, 192, 192),
    8.0: (88, 176, 176),
    12.0: (72, 144, 144),
    16.0: (64, 128, 128),
    20.0: (56, 112, 112),
    25.0: (48, 104, 104),
}
SMALL: Final = (48, 112, 112)
CROWDINGS: Final = (0.05, 0.25)
"""Volume fractions of background particles in volumes without membranes, besides that of the family."""

IMAGINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "plain": {},
    "4 µm": {"defocus_um": 4.0, "noise_spectrum": "blue"},
    "8 µm, ±50°": {"defocus_um": 8.0, "b_factor_A2": 300.0, "max_tilt_deg": 50.0},
    "back-projection": {"reconstruction": "wbp", "defocus_um": 3.0},
    "tilted about x, ±45°, float16": {
        "tilt_axis": "x",
        "max_tilt_deg": 45.0,
        "noise_spectrum": "red",
        "rounded": "float16",
    },
    "Wiener filter": {"defocus_um": 5.0, "denoised": "wiener"},
    "phases not flipped": {"defocus_um": 3.0, "phase_flipped": False, "b_factor_A2": 200.0},
    "padding, slope, int8": {
        "defocus_um": 2.0,
        "padding": (0.15, 0.1, 0.1),
        "corners_deg": 12.0,
        "slope": (2.0, 0.0, 3.0),
        "rounded": "int8",
    },
    "two axes": {"dual_axis": True, "reconstruction": "wbp", "defocus_um": 2.5},
    "median filter, ±70°": {"max_tilt_deg": 70.0, "denoised": "median"},
    "SIRT": {"reconstruction": "sirt", "defocus_um": 4.0, "sirt_iterations": 10},
}
INVERTED: Final = {"contrast": "bright", "defocus_um": 4.0}


@dataclass(frozen=True)
class Case:
    """A volume to be measured: a family at a voxel size, imaged with a noise level."""

    family: str
    voxel_A: float
    noise: str
    imaging: str
    seed: int
    shape: tuple[int, int, int]
    crowding: float | None = None

    @property
    def imaging_spec(self) -> ImagingSpec:
        settings = INVERTED if self.imaging == "inverted" else IMAGINGS[self.imaging]
        return ImagingSpec.model_validate({**settings, "noise": NOISES[self.noise] * _PER_10_A})

    @property
    def phantom_spec(self) -> PhantomSpec:
        """What is imaged; which of its membranes are hidden depends on the tilt range."""
        imaging = self.imaging_spec
        crowding = {} if self.crowding is None else {"crowding": self.crowding}
        return PhantomSpec.model_validate(
            {
                "family": self.family,
                "shape": self.shape,
                "voxel_size_A": self.voxel_A,
                "seed": self.seed,
                "max_tilt_deg": imaging.max_tilt_deg,
                "tilt_axis": imaging.tilt_axis,
                "dual_axis": imaging.dual_axis,
                **crowding,
            }
        )


@dataclass(frozen=True)
class Volume:
    """A tomogram, the membranes of its truth, and those of them that the tilt range hides."""

    density: NDArray[np.float32]
    truth: NDArray[np.uint8]
    hidden: NDArray[np.bool_]


def cases(families: Sequence[str], seeds: Sequence[int], *, quick: bool) -> Iterator[Case]:
    """Yield the volumes.

    Every family is imaged at all noise levels at 12 Å, and at middle noise at the other voxel sizes and inverted; one
    with proteins and no membranes also at other crowdings. Quick: smaller volumes, at 12 Å alone.
    """
    for family in families:
        for turn, seed in enumerate(seeds):
            first = list(FAMILIES).index(family) + 5 * turn
            if quick:
                for step, noise in enumerate(NOISES):
                    yield Case(family, 12.0, noise, _imaging(first + 3 * step), seed, SMALL)
            else:
                yield from _all_of(family, seed, first)


def _imaging(number: int, *, large: bool = False) -> str:
    """Return one of the imagings in turn; SIRT of large volumes takes minutes and is left out."""
    names = [name for name in IMAGINGS if not (large and name == "SIRT")]
    return names[number % len(names)]


def _all_of(family: str, seed: int, first: int) -> Iterator[Case]:
    crowded = not has_membranes(family) and FAMILIES[family].settings.get("crowding", 0) > CROWDINGS[0]
    for number, crowding in enumerate([None, *CROWDINGS] if crowded else [None]):
        for step, noise in enumerate(NOISES):
            choice = _imaging(first + 3 * step + number)
            yield Case(family, 12.0, noise, choice, seed, SHAPES[12.0], crowding)
    yield Case(family, 12.0, "middle", "inverted", seed, SHAPES[12.0])
    for step, voxel_A in enumerate(size for size in SHAPES if size != 12.0):
        yield Case(family, voxel_A, "middle", _imaging(first + 2 * step + 1, large=True), seed, SHAPES[voxel_A])


def has_membranes(family: str) -> bool:
    return FAMILIES[family].settings.get("geometry") != "none"


def imaged(case: Case, phantom: Phantom) -> Volume:
    """Image a phantom; there is no truth where nothing was measured."""
    spec = case.imaging_spec
    density = image(phantom.density, phantom.voxel_size_A, spec, case.seed)
    inside = measured_region(case.shape, spec)
    return Volume(density, phantom.ground_truth * inside.astype(np.uint8), phantom.membrane_in_wedge & inside)
