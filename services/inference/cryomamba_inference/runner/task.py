"""What the runner takes and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryomamba.engines.api import Engine, Estimate, Labels, Pass
from cryomamba.engines.windows import WindowEngine
from cryomamba.errors import InternalError, InvalidRequestError
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.region import Region
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.models.jobs import PreviewOptions
from cryomamba.picks import Picks
from cryomamba.volumes import HeaderFields, Statistics, Volume, VolumeWarning, blank_header
from cryomamba_inference.runner.control import Position
from cryomamba_inference.runner.progress import ProgressMeter
from cryomamba_inference.runner.tile_selection import TileSelection
from cryomamba_inference.tiling import TilePlan, plan_tiles
from cryomamba_inference.windows.grid import NetworkGrid
from cryomamba_inference.windows.plan import WindowPlan, require_bounded


@dataclass(frozen=True, slots=True)
class Task:
    """A segmentation to run.

    Attributes
    ----------
    engine : Engine
        With its parameters, not prepared.
    volume : Volume or None
        Open; None for an engine that needs only a shape.
    shape, voxel_size_A : tuple, optional
        ZYX shape and ångström (z, y, x) if there is no volume.
    focus : tuple of float, optional
        Voxel (z, y, x) around which tiles come first.
    job_id, attempt : str, int
        Written into previews.
    candidates : Picks or None
        The candidate picks that belong to a volume of scores; those above the engine's thresholds become the picks.
    within : Region or None
        Where to segment and measure; everything else is background.
    """

    engine: Engine[Any]
    volume: Volume | None = None
    shape: Shape | None = None
    voxel_size_A: Spacing = (1.0, 1.0, 1.0)
    preview: PreviewOptions = field(default_factory=PreviewOptions)
    focus: Position | None = None
    job_id: str = "local"
    attempt: int = 1
    keep_scores: bool = False
    candidates: Picks | None = None
    within: Region | None = None

    @property
    def header(self) -> HeaderFields:
        """Header of the tomogram, or one made up from `shape` and `voxel_size_A`.

        Raises
        ------
        InvalidRequestError
            The engine needs a volume and there is none.
        """
        if self.volume is not None:
            return self.volume.header
        if self.engine.needs_volume or self.shape is None:
            raise InvalidRequestError(
                f"The engine '{self.engine.name}' needs a tomogram.", hint="Give the path of an MRC file."
            )
        return blank_header(self.shape, self.voxel_size_A)

    @property
    def plan(self) -> TilePlan:
        """The tiles."""
        header, engine = self.header, self.engine
        size = header.voxel_size_A
        most = engine.max_tile_bytes(size)
        return plan_tiles(header.shape, halo=engine.halo(size), align=engine.align(size), tile_bytes=most)

    @property
    def windows(self) -> WindowPlan | None:
        """The windows of an engine that predicts windows.

        Raises
        ------
        InvalidRequestError
            They are too many, or their voxels much too small, for the tomogram.
        """
        header, engine = self.header, self.engine
        if not isinstance(engine, WindowEngine):
            return None
        grid = NetworkGrid.of(
            header.shape,
            header.voxel_size_A,
            engine.network_voxel_size_A,
            engine.voxel_size_tolerance,
            engine.resampling,
        )
        require_bounded(grid, engine.window, engine.overlap)
        return WindowPlan(grid, engine.window, engine.overlap, engine.weights_offset)

    @property
    def passes(self) -> tuple[list[Pass], Pass]:
        """The coarse previews and the pass at full resolution."""
        *coarse, result = self.engine.passes()
        if result.factor != 1 or any(each.factor == 1 for each in coarse):
            raise InternalError("The last pass of an engine, and no other, must be at full resolution.")
        return coarse, result


@dataclass
class KnownVolume:
    """What is known of a volume when work on it begins again with another engine.

    Attributes
    ----------
    statistics : Statistics or None
    tiles : TileSelection or None
    preview : Labels or None
        The last preview, over which the new one is shown.
    """

    statistics: Statistics | None = None
    tiles: TileSelection | None = None
    preview: Labels | None = None


@dataclass(frozen=True, slots=True)
class RegionSize:
    """The file name of the mask that limits a segmentation, and how many voxels are inside."""

    name: str
    voxels: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished mask on disk and what is known of its volume.

    Attributes
    ----------
    header : HeaderFields
        Of the tomogram, or made up for a volume that is only a shape.
    statistics : Statistics or None
        Of the tomogram's density.
    meter : ProgressMeter
        For the stages that follow.
    scores : Path or None
        The score map that the mask was thresholded from, if it is kept.
    thresholds : HysteresisThreshold or None
        The thresholds applied to the scores.
    uncertainty : Path or None
        The uncertainty of each voxel, if it was requested.
    candidates : Picks or None
        The picks that another threshold on the kept scores may choose from.
    region : RegionSize or None
        The region to which the segmentation was limited.
    warnings : tuple of VolumeWarning
        About the volume: those of its header, of its voxel size, and the engine's.
    estimates : dict of str to float or str
        What the engine has determined by itself.
    """

    mask: Path
    header: HeaderFields
    statistics: Statistics | None
    meter: ProgressMeter
    scores: Path | None = None
    thresholds: HysteresisThreshold | None = None
    uncertainty: Path | None = None
    picks: Picks | None = None
    candidates: Picks | None = None
    region: RegionSize | None = None
    warnings: tuple[VolumeWarning, ...] = ()
    estimates: dict[str, Estimate] = field(default_factory=dict)
