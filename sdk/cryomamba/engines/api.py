"""The engine API: how a segmentation method plugs into CryoMamba.

A method is a class with a name, parameters in physical units and :meth:`Engine.predict`. Files, tile order, jobs and
sockets are the runner's business, not the engine's. Most methods derive from :class:`~cryomamba.engines.ArrayEngine`,
:class:`~cryomamba.engines.WindowEngine` or :class:`~cryomamba.engines.ProgramEngine`, which ask for less. A package of
its own offers an engine through the entry point group ``cryomamba.engines``::

    [project.entry-points."cryomamba.engines"]
    mine = "my_package:MyEngine"
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from cryomamba.engines.passes import Pass as Pass
from cryomamba.engines.passes import Work as Work
from cryomamba.engines.scratch import ScratchGrid
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.picks.picks import Kind, Picks

if TYPE_CHECKING:
    from cryomamba.masks.slabs import ParallelMap
    from cryomamba.volumes.metadata import VolumeWarning
    from cryomamba.volumes.statistics import Statistics

Slices = tuple[slice, slice, slice]
Voxels = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Points = npt.NDArray[np.float64]
Inside = npt.NDArray[np.bool_]
Estimate = float | str
CONTRAST: Final = "contrast"
"""Name of the estimate of the contrast, ``dark`` or ``bright``."""
CONTRAST_MARGIN: Final = "contrast_margin"
"""Name of the estimate of how certain the contrast is, from 0 (undecided) to 1; the runner warns of a low one."""

_HALF: Final = 128
"""Of the scores from 0 to 255: the least above one half."""
_PREPARE_S: Final = 0.03
_TILES_S: Final = 0.2
"""Seconds per million voxels assumed for an engine that does not estimate its duration."""


class EngineParameters(BaseModel):
    """Base class of an engine's parameters; forms are generated from its JSON schema.

    Give each field a ``title``, a ``description``, bounds, and its unit as ``json_schema_extra={"unit": "Å"}``. Where
    None does not mean that the value is determined automatically, add in a word what it means: ``"unset": "none"``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


P = TypeVar("P", bound=EngineParameters)


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an engine can run on this machine; if not, the reason and what to install."""

    ok: bool = True
    reason: str = ""
    hint: str = ""


class ReportProgress(Protocol):
    """Takes the fraction that is done, and in a word or two what is done now."""

    def __call__(self, fraction: float, doing: str = "", /) -> None:
        """Report."""


def _ignore_progress(_fraction: float, _doing: str = "", /) -> None:
    """Discard the reported progress."""


@dataclass(frozen=True, slots=True)
class VolumeContext:
    """What an engine may know about the volume before the first tile.

    Attributes
    ----------
    shape : tuple of int
        ZYX.
    voxel_size_A : tuple of float
        Ångström along z, y, x.
    statistics : Statistics or None
        Statistics of the whole volume, or of the region `within`; None if the engine needs no volume.
    read : callable
        ``read((z, y, x) slices) -> float32 ZYX``, for samples. Choose what to read by the shape and by `within` alone,
        so that the same volume always gives the same result.
    header_labels : tuple of str
        Text labels of the file's header; of a result of CryoMamba, one says what it is.
    imod_signed : bool
        Whether IMOD wrote bytes of 0 to 255 less 128; `read` and the tiles have them as stored.
    scratch : Path or None
        Directory for temporary files of :meth:`Engine.prepare`, unnamed ones if possible; None for the system's
        temporary directory.
    threads : int
        How many threads :meth:`Engine.prepare` may use; the result must not depend on it.
    compute_slot : context manager
        Each of these threads enters it while it computes; several can be inside at once. While the runner needs a
        core for other work, one of them waits at the entrance.
    report_progress : callable
        Takes the fraction of the preparation that is done and, if there are several steps, what is done now, which
        people read. Call it several times a second, in the thread that called `prepare`; it raises if the job was
        cancelled.
    parallel_map : callable or None
        A ``map`` whose function is called by processes on other machines, if there are any; function, items and results
        are pickled, and the files in `scratch` are seen there. Call it in the thread that called `prepare`.
    coarse : bool
        Whether this is the binned copy of a coarse preview.
    within : callable or None
        ``within((z, y, x) slices) -> bool ZYX``, True where the user wants the volume segmented; None for everywhere.
        Calibrate on these voxels only: what surrounds a lamella or a cell says nothing about it. The rest is the
        runner's business: it does not compute tiles that are wholly outside, and clears what the others find outside.
    """

    shape: Shape
    voxel_size_A: Spacing
    statistics: Statistics | None
    read: Callable[[Slices], Voxels]
    header_labels: tuple[str, ...] = ()
    imod_signed: bool = False
    scratch: Path | None = None
    threads: int = 1
    compute_slot: AbstractContextManager[object] = field(default_factory=nullcontext)
    report_progress: ReportProgress = _ignore_progress
    parallel_map: ParallelMap | None = None
    coarse: bool = False
    within: Callable[[Slices], Inside] | None = None


@dataclass(frozen=True, slots=True)
class Tile:
    """A box of the volume (the core) with its halo.

    Attributes
    ----------
    data : ndarray of float32, ZYX
        The core and its halo, which is cropped at the volume's border. Empty, of shape (0, 0, 0), if the engine needs
        no volume or no tile data. Do not modify it or keep a reference.
    core : tuple of slice
        Position of the core in `data`.
    start : tuple of int
        First voxel of the core (z, y, x), on the grid of the pass.
    shape : tuple of int
        ZYX shape of the core.
    factor : int
        Binning of the pass; 1 is full resolution.
    pass_index : int
        Index of the pass, from 0.
    """

    data: Voxels
    core: Slices
    start: Shape
    shape: Shape
    factor: int = 1
    pass_index: int = 0


@dataclass(frozen=True, slots=True)
class TileResult:
    """What an engine with `picks`, or one that was asked for the uncertainty, returns for a tile.

    Attributes
    ----------
    labels : ndarray
        Labels or scores of the core.
    points : ndarray of float64, shape (n, k), or None
        One row of numbers for each candidate pick in the core. The first three are its position (z, y, x in voxels of
        the volume), by which the runner leaves out those outside of the region :attr:`VolumeContext.within`; the
        engine alone interprets the others. Each candidate must be found by exactly one tile, the one whose core holds
        it, however the volume is tiled. None without `picks`.
    uncertainty : ndarray of uint8, or None
        Of each voxel of the core, 0 to 100, if the engine's
        :class:`~cryomamba.engines.uncertainty.UncertaintyOptions` request it.
    """

    labels: Labels
    points: Points | None = None
    uncertainty: npt.NDArray[np.uint8] | None = None


class Engine(ABC, Generic[P]):
    """A segmentation method.

    The constructor must be cheap; the expensive work belongs in :meth:`prepare`. An engine is prepared in one process
    and may then be pickled into others, so it holds plain data only. :meth:`predict` may be called in any order and
    in several processes, and must be deterministic.

    Attributes
    ----------
    name : str
        As given to ``--engine``: lower case, no spaces.
    summary : str
        One line for people.
    Parameters : type
        Model of the parameters; the default has none.
    labels : mapping of int to str
        What each label means, without 0, the background. The constructor may set it depending on the parameters, as of
        a model; `keeps_scores` likewise.
    needs_volume : bool
        False for an engine that needs only the shape.
    needs_tile_data : bool
        False for an engine that reads the volume in `prepare` only: the data of its tiles is empty.
    priority : sequence of int or None
        All labels in drawing order for the preview, the topmost last; None draws higher labels over lower ones.
    tile_bytes : int
        Maximum size of a tile's data, halo included, unless a single cell of :meth:`align` with its halo is larger.
        What the engine allocates comes on top of it. An engine whose tiles depend on the voxel size overrides
        :meth:`max_tile_bytes`.
    keeps_scores : bool
        Whether the scores are graded, so that they can be re-thresholded later: they are kept as ``scores.mrc``
        (uint16, mode 6, values 0 to 255), together with the :meth:`candidates` as ``candidates.csv``.
    scratch_per_voxel : int
        Bytes per voxel of the volume that the engine writes into :attr:`VolumeContext.scratch`, rounded up.
    scratch_grid : ScratchGrid or None
        What it writes there on a grid of its own, which may have more nodes than a coarse volume has voxels.
    in_threads : bool
        Whether tiles are computed by threads of one process instead of several processes. For what takes much memory
        in each process and computes outside of Python's interpreter lock, as the large libraries of networks do;
        :meth:`predict` is then called by several threads at a time.
    picks : {'particles', 'filaments'} or None
        Kind of the picks of an engine whose `predict` returns a :class:`TileResult`; they become the job's
        ``picks.csv``, ``picks.star`` and ``picks.tbl``.
    output : {'labels', 'scores'}
        What `predict` returns: labels, or uint8 scores that the runner turns into label 1 by :meth:`thresholds`. The
        constructor may set it depending on the parameters.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Parameters: ClassVar[type[EngineParameters]] = EngineParameters
    labels: Mapping[int, str]
    needs_volume: ClassVar[bool] = True
    needs_tile_data: ClassVar[bool] = True
    priority: ClassVar[Sequence[int] | None] = None
    tile_bytes: ClassVar[int] = 16 * 1024 * 1024
    keeps_scores: bool = False
    scratch_per_voxel: ClassVar[int] = 0
    scratch_grid: ClassVar[ScratchGrid | None] = None
    in_threads: ClassVar[bool] = False
    picks: ClassVar[Kind | None] = None
    output: Literal["labels", "scores"] = "labels"

    def __init__(self, parameters: P) -> None:
        self.parameters = parameters

    @classmethod
    def availability(cls) -> Availability:
        """Return whether the engine can run on this machine; the default is yes."""
        return Availability()

    def passes(self) -> Sequence[Pass]:
        """Return the passes over the volume, the one that gives the result last."""
        return (Pass(),)

    def halo(self, voxel_size_A: Spacing) -> Shape:  # noqa: ARG002 (part of the interface)
        """Return how many voxels (z, y, x) around a core influence its result, at that voxel size."""
        return (0, 0, 0)

    def align(self, voxel_size_A: Spacing) -> Shape:  # noqa: ARG002 (part of the interface)
        """Return the grid (z, y, x, in voxels) on which cores and halos must start, for engines that bin."""
        return (1, 1, 1)

    def max_tile_bytes(self, voxel_size_A: Spacing) -> int:  # noqa: ARG002 (part of the interface)
        """Return the maximum size of a tile's data at that voxel size, see :attr:`tile_bytes`."""
        return self.tile_bytes

    def work(self, shape: Shape, voxel_size_A: Spacing) -> Work:  # noqa: ARG002 (part of the interface)
        """Return how long the engine expects to work on a volume (ZYX, ångström z, y, x)."""
        millions = math.prod(shape) / 1e6
        return Work(_PREPARE_S * millions, _TILES_S * millions)

    def prepare(self, context: VolumeContext) -> None:
        """Calibrate on statistics and samples of the volume; called once, before the first tile."""

    def thresholds(self) -> HysteresisThreshold:
        """Return how scores become labels if `output` is ``"scores"``; the default is one half of the largest score.

        Called after :meth:`prepare`, for the preview, and again after :meth:`finalize_picks`, for the mask.
        """
        return HysteresisThreshold(_HALF, _HALF)

    def finalize_picks(self, points: Points) -> Picks:
        """Turn the points of all tiles into picks; called once, after the last tile, in the process that prepared.

        Parameters
        ----------
        points : ndarray of float64, shape (n, k)
            The rows of all tiles in the order of the tile indices, independent of which tile finished first.
        """
        raise NotImplementedError

    def candidates(self, points: Points) -> Picks:
        """Return all picks that a later re-threshold may choose from; called after :meth:`finalize_picks`.

        They are kept with the scores. The default is the picks themselves: a higher threshold then keeps fewer.
        """
        return self.finalize_picks(points)

    def estimates(self) -> Mapping[str, Estimate]:
        """Return what the engine has determined by itself, for ``stats.json``, the job's record and one line to people.

        Called after :meth:`finalize_picks`, in the process that prepared. Names have words joined by ``_`` and the unit
        last, in the order in which they are shown: `CONTRAST` and `CONTRAST_MARGIN`, then such as ``threshold``,
        ``noise``, ``tilt_range_deg``. Leave out what the user has set.
        """
        return {}

    def warnings(self) -> Sequence[VolumeWarning]:
        """Return what people should check: each with a stable code, a sentence on what was seen, and what to try.

        Called after :meth:`estimates`. For what only the engine can tell, such as a volume that looks inverted,
        denoised or padded. The runner itself warns of an empty or nearly full mask, an unusual voxel size and a low
        `CONTRAST_MARGIN`.
        """
        return ()

    def save_files(self, folder: Path) -> Sequence[str]:  # noqa: ARG002 (part of the interface)
        """Write further files of the result into a folder and return their names, which `ARTIFACTS` lists.

        Called at the end, in the process that prepared.
        """
        return ()

    @abstractmethod
    def predict(self, tile: Tile) -> Labels | TileResult:
        """Segment a tile: labels or scores of its core, shape ``tile.shape``, a new array; see :class:`TileResult`."""
