"""Engines that learn from strokes, and learn again when more are added while they run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, Self, TypeVar

from cryomamba.engines.api import Engine, EngineParameters, Labels, VolumeContext
from cryomamba.masks.strokes import Strokes

P = TypeVar("P", bound=EngineParameters)
STROKES = "strokes"
"""Name of the parameter that holds them."""


class StrokesEngine(Engine[P], Generic[P]):
    """An engine with a parameter `strokes`, of type :class:`~cryomamba.masks.strokes.Strokes` or None.

    The runner shows the section under the view first, and again after each of the :meth:`refinements`. When strokes are
    added, it prepares the engine that :meth:`with_strokes` returns, and begins again: the mask is that of the last
    strokes.
    """

    @abstractmethod
    def with_strokes(self, strokes: Strokes) -> Self:
        """Return an engine for other strokes on the same volume; it may share what this one has computed."""

    @abstractmethod
    def section(self, context: VolumeContext, z: int) -> Labels | None:
        """Return the labels (1, y, x) of a section quickly, None if that is not possible yet; after `prepare`.

        After the refinements they are those of the tiles.
        """

    def refinements(self) -> Sequence[Callable[[VolumeContext], None]]:
        """Return what else must be done between `prepare` and the tiles, and takes too long to be waited for."""
        return ()

    def stop(self) -> None:
        """End what goes on in the background; called once, when no more strokes are taken."""


def takes_strokes(schema: dict[str, Any]) -> bool:
    """Return whether an engine takes strokes, by the JSON schema of its parameters."""
    return STROKES in schema.get("properties", {})
