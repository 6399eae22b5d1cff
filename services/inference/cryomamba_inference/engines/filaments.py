"""Filaments of a given diameter by oriented line filters; no trained model needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from cryomamba.engines.api import (
    Engine,
    EngineParameters,
    Estimate,
    Pass,
    Points,
    Tile,
    TileResult,
    VolumeContext,
    Work,
)
from cryomamba.engines.scratch import ScratchGrid
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.picks import Kind, Picks, empty_picks
from cryomamba_inference.filters.filaments.centreline_meanshift import shift_to_centreline
from cryomamba_inference.filters.filaments.model import (
    LENGTH_DIAMETERS,
    NODES_PER_DIAMETER,
    FilamentModel,
    LineMap,
    choose_sign,
    find_thresholds,
    learn_model,
    point_tasks,
    points_near,
    response_tasks,
    traced_scores,
)
from cryomamba_inference.filters.filaments.tracing import trace
from cryomamba_inference.rasterize import rasterize
from cryomamba_inference.threads import Tally, ThreadTeam, one_thread
from cryomamba_inference.volume_preparation.background import correct_background
from cryomamba_inference.volume_preparation.grid import TRIANGLE, WorkingGrid
from cryomamba_inference.volume_preparation.node_map import NodeMap
from cryomamba_inference.volume_preparation.padding import clear_padding
from cryomamba_inference.volume_preparation.scale import raw_scale

_VOXELS_PER_DIAMETER = 2.0  # minimum
_SIGNS = {"dark": (-1,), "bright": (1,), "auto": (-1, 1)}
_SPACING_DIAMETERS = 0.5  # default distance between points along a filament
_HALF_LENGTH_NODES = 0.4  # of the tube segment around each centreline point
_VOLUME_RATIO = 0.7  # minimum volume of a filament relative to a cylinder of the minimum length
# Mean shift: radius and standard deviation along the line in diameters, and iterations.
_SHIFT_RADIUS, _SHIFT_SIGMA, _SHIFT_ITERATIONS = 0.6, 0.25, 2
# Seconds per million voxels, and per million nodes of the grid, by `benchmarks/job_updates.py 128 256 512 filaments`;
# only their ratios matter, also to those of `runner/progress.py`.
_RESAMPLING_S, _TILES_S = 0.06, 0.07
_FILTERING_S = 40.0
_NO_POINTS = np.empty((0, 7))


class FilamentsParameters(EngineParameters):
    """Parameters of the filament segmentation."""

    diameter_A: float = Field(
        250.0,
        ge=20,
        le=2000,
        title="Diameter",
        description="Outer diameter of the filaments, hollow or solid: 250 Å for microtubules, 70 Å for actin.",
        json_schema_extra={"unit": "Å"},
    )
    contrast: Literal["dark", "bright", "auto"] = Field(
        "auto",
        title="Contrast",
        description="Whether filaments are darker (raw tomograms) or brighter than their surroundings; 'auto' chooses "
        "the contrast with the longer and stronger lines.",
    )
    high: int | None = Field(
        None,
        ge=1,
        le=255,
        title="Threshold",
        description="Upper hysteresis threshold (seed): a filament is kept if it reaches this score somewhere. "
        "Determined from the volume if not set.",
    )
    low: int | None = Field(
        None,
        ge=1,
        le=255,
        title="Lower threshold",
        description="Lower hysteresis threshold: minimum score along the whole filament. Determined from the volume if "
        "not set.",
    )
    min_length_A: float | None = Field(
        None,
        ge=0,
        title="Minimum length",
        description="Shorter filaments are removed; 2.5 diameters if not set.",
        json_schema_extra={"unit": "Å"},
    )
    spacing_A: float | None = Field(
        None,
        gt=0,
        le=10000,
        title="Point spacing",
        description="Distance between points along a filament (82 Å for the tubulin dimer); half a diameter if not "
        "set.",
        json_schema_extra={"unit": "Å"},
    )


class FilamentsEngine(Engine[FilamentsParameters]):
    """Long densities of one diameter, and their centrelines.

    The volume is averaged onto a grid of a fifth of the diameter. The response of a bank of oriented line filters,
    which fit hollow and solid filaments alike, is normalized by the noise of each direction, which depends on the
    missing wedge. Centreline points are maxima across the line whose surrounding wall is even, unlike in a membrane;
    they vote for points that continue them, and are moved onto the centreline by mean shift.
    In the mask and the score map a filament is a tube of the diameter around these points.
    """

    name: ClassVar[str] = "filaments"
    summary: ClassVar[str] = (
        "Segments filaments of a given diameter and traces their centrelines; no trained model needed."
    )
    Parameters: ClassVar[type[EngineParameters]] = FilamentsParameters
    labels: Mapping[int, str] = {1: "filament"}
    keeps_scores: bool = True
    scratch_grid: ClassVar[ScratchGrid | None] = ScratchGrid(
        bytes_per_node=15, step=1 / NODES_PER_DIAMETER, parameter="diameter_A"
    )
    needs_tile_data: ClassVar[bool] = False
    picks: ClassVar[Kind | None] = "filaments"
    tile_bytes: ClassVar[int] = 64 * 1024 * 1024
    output: Literal["labels", "scores"] = "scores"

    def __init__(self, parameters: FilamentsParameters) -> None:
        super().__init__(parameters)
        self._grid: WorkingGrid | None = None
        self._found: tuple[FilamentModel, NodeMap] | None = None
        self._thresholds = (255, 255)

    def passes(self) -> Sequence[Pass]:
        """Return a coarse preview and the result."""
        return (Pass("quick preview", factor=0), Pass("segmenting"))

    def work(self, shape: Shape, voxel_size_A: Spacing) -> Work:
        """Return how long preparing and drawing are expected to take."""
        step_A = max(*voxel_size_A, self.parameters.diameter_A / NODES_PER_DIAMETER)
        millions = math.prod(shape) / 1e6
        nodes = millions * math.prod(voxel_size_A) / step_A**3
        return Work(_RESAMPLING_S * millions + _FILTERING_S * nodes, _TILES_S * millions)

    def prepare(self, context: VolumeContext) -> None:
        """Resample and filter the volume; estimate contrast, noise and thresholds."""
        diameter = self.parameters.diameter_A
        coarsest = max(context.voxel_size_A)
        if coarsest * _VOXELS_PER_DIAMETER > diameter:
            raise InvalidRequestError(
                f"A voxel size of {coarsest:g} Å is too coarse for filaments of {diameter:g} Å.",
                code=ErrorCode.INVALID_PARAMETERS,
                hint=f"The diameter must be at least {coarsest * _VOXELS_PER_DIAMETER:g} Å. Check the voxel size.",
            )
        grid = WorkingGrid(context.shape, context.voxel_size_A, max(coarsest, diameter / NODES_PER_DIAMETER), TRIANGLE)
        densities = NodeMap(grid.node_shape, context.scratch)
        padding = NodeMap(grid.node_shape, context.scratch, np.bool_)
        nodes = densities.array
        lines = {sign: LineMap.empty(densities, sign, context.scratch) for sign in _SIGNS[self.parameters.contrast]}
        team = ThreadTeam(context.threads, context.compute_slot)
        with one_thread():
            # Whatever the offset and range of the file, the filters see numbers of moderate size.
            raw = raw_scale(context.read, context.shape)
            planes = Tally()
            resampling = grid.resample_tasks(context.read, raw.apply, nodes, planes.add)
            team.run(resampling, lambda _: context.report_progress(0.1 * planes.total / len(nodes), "resampling"))
            context.report_progress(0.1, "correcting the background")
            correct_background(nodes, padding.array, team)
            context.report_progress(0.15, "measuring the noise")
            model = learn_model(nodes, grid, diameter_A=diameter)
            tasks = response_tasks(model, nodes, lines)
            team.run(tasks, lambda n: context.report_progress(0.2 + 0.6 * n / len(tasks), "filtering for lines"))
            for line_map in lines.values():
                clear_padding(line_map.response.array, padding.array)
            context.report_progress(0.8, "judging the contrast")
            found = lines[choose_sign(model, lines)]
            context.report_progress(0.85, "finding centrelines")
            by_box: dict[int, Points] = {}
            tasks = point_tasks(model, found, by_box)
            team.run(tasks, lambda n: context.report_progress(0.85 + 0.05 * n / len(tasks), "finding centrelines"))
        context.report_progress(0.9, "linking centrelines")
        points = np.concatenate([by_box[number] for number in range(len(tasks))])
        points = shift_to_centreline(
            points,
            reach=_SHIFT_RADIUS * model.diameter,
            spread=_SHIFT_SIGMA * model.diameter,
            iterations=_SHIFT_ITERATIONS,
        )
        self._thresholds = find_thresholds(traced_scores([points], model.diameter) or [points[:, 6]])
        points[:, :3] *= grid.step_A
        stored = NodeMap((max(len(points), 1), 7), context.scratch)
        stored.array[: len(points)] = points
        self._grid, self._found = grid, (model, stored)

    def thresholds(self) -> HysteresisThreshold:
        """Return the thresholds set by the user, else those determined by :meth:`prepare`."""
        grid, _, _ = self._prepared
        low, high = self._thresholds
        high = self.parameters.high or max(high, self.parameters.low or 0)
        low = min(self.parameters.low or low, high)
        # The ends of a tube are round and its mask is slightly ragged.
        smallest_A3 = _VOLUME_RATIO * self._min_length_A * math.pi / 4 * self.parameters.diameter_A**2
        return HysteresisThreshold(high, low, math.ceil(smallest_A3 / math.prod(grid.voxel_size_A)))

    def estimates(self) -> Mapping[str, Estimate]:
        """Return the thresholds, unless the user has set them."""
        thresholds = self.thresholds()
        found = {"threshold": thresholds.high, "lower_threshold": thresholds.low}
        given = {"threshold": self.parameters.high, "lower_threshold": self.parameters.low}
        return {name: value for name, value in found.items() if given[name] is None}

    def predict(self, tile: Tile) -> TileResult:
        """Return the filaments of a tile as tubes with the score of their points."""
        grid, model, points = self._prepared
        points = points_near(points, model, grid, tile.start, tile.shape)
        half = _HALF_LENGTH_NODES * grid.step_A * points[:, 3:6]
        scores = rasterize(
            points[:, :3] - half,
            points[:, :3] + half,
            points[:, 6].astype(np.uint8),
            self.parameters.diameter_A / 2,
            start=tile.start,
            shape=tile.shape,
            size_A=grid.voxel_size_A,
        )
        return TileResult(scores, _NO_POINTS)

    def finalize_picks(self, points: Points) -> Picks:
        """Trace the centrelines and return equidistant points along each, the longest filament first."""
        grid, _, points = self._prepared
        thresholds = self.thresholds()
        filaments = trace(
            points[points[:, 6] >= thresholds.low],
            diameter_A=self.parameters.diameter_A,
            high=thresholds.high,
            min_length_A=self._min_length_A,
            spacing_A=self.parameters.spacing_A or _SPACING_DIAMETERS * self.parameters.diameter_A,
        )
        if not filaments:
            return empty_picks("filaments")
        positions = np.concatenate([one.points for one in filaments]) / grid.voxel_size_A
        return Picks(
            np.clip(positions, 0, np.array(grid.shape) - 1),
            np.concatenate([one.scores for one in filaments]),
            np.repeat(np.arange(1, len(filaments) + 1), [len(one.points) for one in filaments]),
            "filaments",
        )

    @property
    def _min_length_A(self) -> float:
        given = self.parameters.min_length_A
        return LENGTH_DIAMETERS * self.parameters.diameter_A if given is None else given

    @property
    def _prepared(self) -> tuple[WorkingGrid, FilamentModel, Points]:
        if self._grid is None or self._found is None:
            raise RuntimeError("call prepare() first")
        model, stored = self._found
        # An empty file cannot be mapped; without points there is one row of zeros.
        return self._grid, model, stored.array[stored.array[:, 6] > 0].astype(np.float64)
