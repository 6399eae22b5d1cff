"""What a package needs to offer an engine: base classes for the three ways, and what they take and give.

:class:`ArrayEngine` is for a function on an array, :class:`WindowEngine` for a network, :class:`ProgramEngine` for a
program that is run on a file, and :class:`Engine`, from which they derive, for everything else. These names are covered
by the promise about versions; the modules below are not. Errors are in :mod:`cryomamba.errors`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryomamba.engines.api import (
        Availability,
        Engine,
        EngineParameters,
        Labels,
        Pass,
        Points,
        Slices,
        Tile,
        TileResult,
        VolumeContext,
        Voxels,
        Work,
    )
    from cryomamba.engines.arrays import ArrayEngine
    from cryomamba.engines.densities import Found
    from cryomamba.engines.membrane_options import MembraneOptions
    from cryomamba.engines.programs import ProgramEngine, ProgramFiles
    from cryomamba.engines.scratch import ScratchGrid
    from cryomamba.engines.uncertainty import UncertaintyOptions, entropy_percent
    from cryomamba.engines.windows import Scores, WindowEngine
    from cryomamba.geometry import Shape, Spacing
    from cryomamba.masks.thresholds import HysteresisThreshold
    from cryomamba.picks.picks import Picks
    from cryomamba.volumes.metadata import VolumeWarning

__all__ = [
    "ArrayEngine",
    "Availability",
    "Engine",
    "EngineParameters",
    "Found",
    "HysteresisThreshold",
    "Labels",
    "MembraneOptions",
    "Pass",
    "Picks",
    "Points",
    "ProgramEngine",
    "ProgramFiles",
    "Scores",
    "ScratchGrid",
    "Shape",
    "Slices",
    "Spacing",
    "Tile",
    "TileResult",
    "UncertaintyOptions",
    "VolumeContext",
    "VolumeWarning",
    "Voxels",
    "WindowEngine",
    "Work",
    "entropy_percent",
]

_EXPORTS = {
    "cryomamba.engines.api": (
        "Availability",
        "Engine",
        "EngineParameters",
        "Labels",
        "Pass",
        "Points",
        "Slices",
        "Tile",
        "TileResult",
        "VolumeContext",
        "Voxels",
        "Work",
    ),
    "cryomamba.engines.arrays": ("ArrayEngine",),
    "cryomamba.engines.densities": ("Found",),
    "cryomamba.engines.membrane_options": ("MembraneOptions",),
    "cryomamba.engines.programs": ("ProgramEngine", "ProgramFiles"),
    "cryomamba.engines.scratch": ("ScratchGrid",),
    "cryomamba.engines.uncertainty": ("UncertaintyOptions", "entropy_percent"),
    "cryomamba.engines.windows": ("Scores", "WindowEngine"),
    "cryomamba.geometry": ("Shape", "Spacing"),
    "cryomamba.masks.thresholds": ("HysteresisThreshold",),
    "cryomamba.picks.picks": ("Picks",),
    "cryomamba.volumes.metadata": ("VolumeWarning",),
}
_MODULES = {name: module for module, names in _EXPORTS.items() for name in names}


def __getattr__(name: str) -> object:
    # On first use: the command line and clients import parts of this package, and need no numerics.
    if name not in _MODULES:
        raise AttributeError(f"module 'cryomamba.engines' has no attribute '{name}'")
    return getattr(import_module(_MODULES[name]), name)
