"""Engines: what a segmentation method is.

A method is a class with a name, parameters in physical units and :meth:`Engine.predict`. It knows nothing of files,
tile order, jobs or sockets; the runner owns those. A package of its own offers one through the entry point group
``cryomamba.engines``::

    [project.entry-points."cryomamba.engines"]
    mine = "my_package:MyEngine"
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from cryomamba.engines.scratch import ScratchNodes
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.picks.picks import Kind, Picks

if TYPE_CHECKING:
    from cryomamba.volumes.statistics import Statistics

Slices = tuple[slice, slice, slice]
Voxels = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Points = npt.NDArray[np.float64]


class EngineParameters(BaseModel):
    """The base of an engine's parameters; its JSON schema is what forms are made from.

    Give each field a ``title``, a ``description``, bounds, and its unit as ``json_schema_extra={"unit": "Å"}``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


P = TypeVar("P", bound=EngineParameters)


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an engine can run on this machine, and if not, why and what to install."""

    ok: bool = True
    reason: str = ""
    hint: str = ""


def _no_step(_fraction: float) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class VolumeContext:
    """What an engine may know of the volume before the first tile.

    Attributes
    ----------
    shape : tuple of int
        ZYX.
    voxel_size_A : tuple of float
        Ångström along z, y, x.
    statistics : Statistics or None
        Of the whole volume; None for an engine that needs no volume.
    read : callable
        ``read((z, y, x) slices) -> float32 ZYX`` for samples. What is read must depend on the shape alone, so that
        the same volume always gives the same answer.
    scratch : Path or None
        A folder with room for files that :meth:`Engine.prepare` makes, best without a name; None where the system's
        own has to do.
    threads : int
        How many threads :meth:`Engine.prepare` may use; its answer must not depend on it.
    core : context manager
        What each of these threads enters while it computes, and several at a time: while the runner needs a core for
        something else, one of them waits in there.
    step : callable
        Called now and then with the fraction of the preparation that is done, in the thread that called `prepare`;
        raises to stop.
    """

    shape: Shape
    voxel_size_A: Spacing
    statistics: Statistics | None
    read: Callable[[Slices], Voxels]
    scratch: Path | None = None
    threads: int = 1
    core: AbstractContextManager[object] = field(default_factory=nullcontext)
    step: Callable[[float], None] = _no_step


@dataclass(frozen=True, slots=True)
class Tile:
    """A piece of the volume with its halo.

    Attributes
    ----------
    data : ndarray of float32, ZYX
        The core and as much halo as the volume has: at the volume's border there is none. Empty (0, 0, 0) for an
        engine that needs no volume or reads no tiles. Not to be kept or written to.
    core : tuple of slice
        Where the core lies in `data`.
    start : tuple of int
        The core's first voxel (z, y, x), on the grid of the pass.
    shape : tuple of int
        ZYX shape of the core.
    factor : int
        Binning of the pass: 1 is full resolution.
    step : int
        Number of the pass, from 0.
    """

    data: Voxels
    core: Slices
    start: Shape
    shape: Shape
    factor: int = 1
    step: int = 0


@dataclass(frozen=True, slots=True)
class Pass:
    """One walk over the whole volume; the last one of an engine is the result, the ones before are looks ahead.

    A look ahead (any factor but 1) runs on a small binned copy before the volume has been read once, so that people
    see something within a second. It has an engine of its own, made with the same parameters and prepared on the copy
    as if that were the volume, with the copy's larger voxels; the whole copy is one tile.

    Attributes
    ----------
    stage : str
        What people read while it runs.
    factor : int
        The volume is binned by this along every axis; 1 is full resolution, which the last pass must have. 0 lets the
        runner take the preview's factor, which is also the least that a look ahead gets.
    voxels : int or None
        Of a look ahead: most voxels of the copy; the volume is binned by more if it has to be.
    seconds : float
        The least time the pass takes; the runner waits, and a cancel ends the wait.
    beside : bool
        Of a look ahead: it is so small that, where there is a core to spare, it is made in a thread while the volume
        is read and the engine itself prepared. So two engines of the class are at work at a time.
    """

    stage: str = "segmenting"
    factor: int = 1
    voxels: int | None = None
    seconds: float = 0.0
    beside: bool = False


@dataclass(frozen=True, slots=True)
class TileResult:
    """What an engine returns for a tile if it finds places too.

    Attributes
    ----------
    labels : ndarray
        Labels or scores of the core, as of any engine.
    points : ndarray of float64, shape (n, k)
        A row of numbers for each place in the core; what they mean is the engine's own affair. A place must be found
        by the one tile whose core holds it, whatever the cut of the volume.
    """

    labels: Labels
    points: Points


class Engine(ABC, Generic[P]):
    """A segmentation method.

    The constructor must be cheap; :meth:`prepare` does what takes time. An engine is prepared in one process and may
    then be pickled into others, so it holds plain data only. :meth:`predict` may be called in any order and in several
    processes, and must give the same answer each time.

    Attributes
    ----------
    name : str
        As given to ``--engine``: lower case, no spaces.
    summary : str
        One line for people.
    Parameters : type
        Model of the parameters.
    labels : mapping of int to str
        What each label means, without 0, the background.
    needs_volume : bool
        False for an engine that works from the shape alone.
    reads_tiles : bool
        False for an engine that learns all it needs of the volume in `prepare`: its tiles come with empty data.
    priority : sequence of int or None
        All labels, the one that a preview shows over the others last; None lets the higher label win.
    tile_bytes : int
        Most bytes of a tile's data, halo included, unless one cell of :meth:`align` with its halo has more. What the
        engine allocates besides is its own affair, but counts.
    keeps_scores : bool
        Whether the scores are graded, so that the threshold can be moved afterwards: they are kept as ``scores.mrc``
        (uint16, mode 6, holding 0 to 255), and with them the :meth:`candidates` as ``candidates.csv``.
    scratch_per_voxel : int
        Bytes per voxel of the volume that the engine writes into :attr:`VolumeContext.scratch`, rounded up.
    scratch_nodes : ScratchNodes or None
        What it writes there on a grid of its own, whose nodes a coarse volume has more of for each voxel.
    picks : {'particles', 'filaments'} or None
        What places mean for an engine whose `predict` returns a :class:`TileResult`; they become the job's
        ``picks.csv``, ``picks.star`` and ``picks.tbl``.
    output : {'labels', 'scores'}
        What `predict` returns: labels, or uint8 scores that :meth:`cut` turns into label 1. The constructor may set
        it by the parameters.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Parameters: ClassVar[type[EngineParameters]]
    labels: ClassVar[Mapping[int, str]]
    needs_volume: ClassVar[bool] = True
    reads_tiles: ClassVar[bool] = True
    priority: ClassVar[Sequence[int] | None] = None
    tile_bytes: ClassVar[int] = 16 * 1024 * 1024
    keeps_scores: ClassVar[bool] = False
    scratch_per_voxel: ClassVar[int] = 0
    scratch_nodes: ClassVar[ScratchNodes | None] = None
    picks: ClassVar[Kind | None] = None
    output: Literal["labels", "scores"] = "labels"

    def __init__(self, parameters: P) -> None:
        self.parameters = parameters

    @classmethod
    def availability(cls) -> Availability:
        """Say whether it can run here; the default says yes."""
        return Availability()

    def passes(self) -> Sequence[Pass]:
        """Return the walks over the volume, the result last."""
        return (Pass(),)

    def halo(self, voxel_size_A: Spacing) -> Shape:  # noqa: ARG002 (part of the interface)
        """Return how many voxels (z, y, x) around a core can change its answer, on the grid of that voxel size."""
        return (0, 0, 0)

    def align(self, voxel_size_A: Spacing) -> Shape:  # noqa: ARG002 (part of the interface)
        """Return the grid (z, y, x, in voxels) on which cores and halos must start, for engines that bin."""
        return (1, 1, 1)

    def prepare(self, scene: VolumeContext) -> None:
        """Learn what is needed from statistics and samples; called once, before the first tile."""

    def cut(self) -> HysteresisThreshold:
        """Return how scores become labels; only asked of engines whose output is scores.

        Asked after :meth:`prepare`, for the preview, and again after :meth:`settle`, for the mask.
        """
        raise NotImplementedError

    def settle(self, points: Points) -> Picks:
        """Turn the places of all tiles into picks; called once, after the last tile, in the process that prepared.

        Parameters
        ----------
        points : ndarray of float64, shape (n, k)
            The rows of all tiles in the order of the tiles' numbers, so that they do not depend on who was first.
        """
        raise NotImplementedError

    def candidates(self, points: Points) -> Picks:
        """Return all places that another threshold may choose from, by their scores; called after :meth:`settle`.

        They are kept with the scores. The default is the picks themselves, of which a higher threshold leaves fewer.
        """
        return self.settle(points)

    @abstractmethod
    def predict(self, tile: Tile) -> Labels | TileResult:
        """Segment a tile: labels or scores of its core, shape ``tile.shape``, a fresh array; with `picks`, places."""
