"""Engines that learn from strokes, and learn again when more are added while they run."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic, Self, TypeVar

from cryomamba.engines.api import Engine, EngineParameters, Labels, VolumeContext
from cryomamba.masks.strokes import Strokes

P = TypeVar("P", bound=EngineParameters)
STROKES = "strokes"
"""Name of the parameter that holds them."""


class StrokesEngine(Engine[P], Generic[P]):
    """An engine with a parameter `strokes`, of type :class:`~cryomamba.masks.strokes.Strokes` or None.

    The runner shows the section under the view first. When strokes are added, it prepares the engine that
    :meth:`with_strokes` returns, and begins again: the mask is that of the last strokes.
    """

    @abstractmethod
    def with_strokes(self, strokes: Strokes) -> Self:
        """Return an engine for other strokes on the same volume; it may share what this one has computed."""

    @abstractmethod
    def section(self, context: VolumeContext, z: int) -> Labels:
        """Return the labels (1, y, x) of a section quickly, the same as those of the tiles; after `prepare`."""


def takes_strokes(schema: dict[str, Any]) -> bool:
    """Return whether an engine takes strokes, by the JSON schema of its parameters."""
    return STROKES in schema.get("properties", {})
