"""Round particles of a given diameter by a blob filter; no trained model needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from cryomamba.engines.api import Engine, EngineParameters, Estimate, Pass, Points, Tile, TileResult, VolumeContext
from cryomamba.engines.scratch import ScratchGrid
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.picks import Kind, Picks
from cryomamba_inference.filters.common.rasterize import rasterize
from cryomamba_inference.filters.particles.blobs import NODES_PER_DIAMETER, response_tasks
from cryomamba_inference.filters.particles.model import (
    Fields,
    ParticleModel,
    calibrate,
    find_particles,
    find_threshold,
    make_filter,
)
from cryomamba_inference.network.density import raw_scale
from cryomamba_inference.threads import ThreadTeam, one_thread
from cryomamba_inference.volume_preparation.background import correct_background
from cryomamba_inference.volume_preparation.grid import TRIANGLE, WorkingGrid
from cryomamba_inference.volume_preparation.node_map import NodeMap
from cryomamba_inference.volume_preparation.padding import clear_padding

_VOXELS_PER_DIAMETER = 2.5  # minimum


class ParticlesParameters(EngineParameters):
    """Parameters of particle picking."""

    diameter_A: float = Field(
        250.0,
        ge=20,
        le=5000,
        title="Diameter",
        description="Diameter of the particles, 250 Å for ribosomes. Objects of half or twice the diameter are mostly "
        "rejected.",
        json_schema_extra={"unit": "Å"},
    )
    contrast: Literal["dark", "bright", "auto"] = Field(
        "auto",
        title="Contrast",
        description="Whether particles are darker (raw tomograms) or brighter than their surroundings; 'auto' chooses "
        "the contrast with the stronger peaks.",
    )
    threshold: int | None = Field(
        None,
        ge=1,
        le=255,
        title="Threshold",
        description="Minimum score of a particle. Determined from the volume if not set.",
    )
    min_distance_A: float | None = Field(
        None,
        gt=0,
        le=20000,
        title="Minimum distance",
        description="Minimum distance between particle centres; of closer ones only the one with the higher score is "
        "kept. 0.7 diameters if not set.",
        json_schema_extra={"unit": "Å"},
    )


class ParticlesEngine(Engine[ParticlesParameters]):
    """Round densities of one size, each with coordinates and a score.

    The volume is averaged onto a grid of a seventh of the diameter. The filter response is the mean inside a ball of
    the diameter minus the mean of the shell around it; peaks are scored by their height above the noise. Particles of
    one size have similar heights: the threshold follows from where their mode begins, and from peaks of the opposite
    contrast, which estimate the number of false picks (decoys). In the mask and the score map a particle is a ball of
    the diameter.
    """

    name: ClassVar[str] = "particles"
    summary: ClassVar[str] = (
        "Picks round particles of a given diameter: coordinates and a mask; no trained model needed."
    )
    Parameters: ClassVar[type[EngineParameters]] = ParticlesParameters
    labels: ClassVar[Mapping[int, str]] = {1: "particle"}
    keeps_scores: ClassVar[bool] = True
    scratch_grid: ClassVar[ScratchGrid | None] = ScratchGrid(
        bytes_per_node=9, step=1 / NODES_PER_DIAMETER, parameter="diameter_A"
    )
    needs_tile_data: ClassVar[bool] = False
    picks: ClassVar[Kind | None] = "particles"
    tile_bytes: ClassVar[int] = 32 * 1024 * 1024
    output: Literal["labels", "scores"] = "scores"

    def __init__(self, parameters: ParticlesParameters) -> None:
        super().__init__(parameters)
        self._grid: WorkingGrid | None = None
        self._maps: tuple[NodeMap, NodeMap] | None = None
        self._model: ParticleModel | None = None
        self._threshold = 255

    def passes(self) -> Sequence[Pass]:
        """Return a coarse preview and the result."""
        return (Pass("quick preview", factor=0), Pass("picking"))

    def prepare(self, context: VolumeContext) -> None:
        """Resample and filter the volume; estimate contrast, noise and a first threshold."""
        diameter = self.parameters.diameter_A
        coarsest = max(context.voxel_size_A)
        if coarsest * _VOXELS_PER_DIAMETER > diameter:
            raise InvalidRequestError(
                f"A voxel size of {coarsest:g} Å is too coarse for particles of {diameter:g} Å.",
                code=ErrorCode.INVALID_PARAMETERS,
                hint=f"The diameter must be at least {coarsest * _VOXELS_PER_DIAMETER:g} Å. Check the voxel size.",
            )
        min_distance_A = self.parameters.min_distance_A or 0.7 * diameter
        grid = WorkingGrid(context.shape, context.voxel_size_A, max(coarsest, diameter / NODES_PER_DIAMETER), TRIANGLE)
        maps = NodeMap(grid.node_shape, context.scratch), NodeMap(grid.node_shape, context.scratch)
        padding = NodeMap(grid.node_shape, context.scratch, np.bool_)
        fields = Fields(maps[0].array, maps[1].array)
        team = ThreadTeam(context.threads, context.compute_slot)
        with one_thread():
            # Whatever the offset and range of the file, the filters see numbers of moderate size.
            raw = raw_scale(context.read, context.shape)
            resampling = grid.resample_tasks(context.read, raw.apply, fields.nodes)
            team.run(resampling, lambda _: context.report_progress(0.2))
            correct_background(fields.nodes, padding.array, team)
            blobs = make_filter(fields.nodes, grid, diameter_A=diameter, min_distance_A=min_distance_A)
            tasks = response_tasks(blobs, fields.nodes, fields.response)
            team.run(tasks, lambda count: context.report_progress(0.4 + 0.5 * count / len(tasks)))
            clear_padding(fields.response, padding.array)
            self._model, self._threshold = calibrate(
                fields, grid, blobs, diameter_A=diameter, contrast=self.parameters.contrast
            )
        self._grid, self._maps = grid, maps

    def thresholds(self) -> HysteresisThreshold:
        """Return the threshold set by the user, else the one determined from the volume."""
        threshold = self.parameters.threshold or self._threshold
        return HysteresisThreshold(threshold, threshold)

    def estimates(self) -> Mapping[str, Estimate]:
        """Return the threshold, unless the user has set it."""
        return {} if self.parameters.threshold else {"threshold": self._threshold}

    def predict(self, tile: Tile) -> TileResult:
        """Return the particles of a tile as balls with their score, and the points of particles and decoys."""
        grid, fields, model = self._prepared
        found = find_particles(model, grid, fields, tile.start, tile.shape)
        balls = found[found[:, 4] > 0]
        centres_A = balls[:, :3] * grid.voxel_size_A
        values = balls[:, 3].astype(np.uint8)
        scores = rasterize(
            centres_A,
            centres_A,
            values,
            model.diameter_A / 2,
            start=tile.start,
            shape=tile.shape,
            size_A=grid.voxel_size_A,
        )
        nearest = np.floor(found[:, :3] + 0.5)
        stop = np.array(tile.start) + tile.shape
        return TileResult(scores, found[((nearest >= tile.start) & (nearest < stop)).all(axis=1)])

    def finalize_picks(self, points: Points) -> Picks:
        """Determine the threshold from all peaks and decoys, and return the particles above it, the best first."""
        grid, _, model = self._prepared
        self._threshold = find_threshold(points, model, grid.voxel_size_A)
        thresholds = self.thresholds()
        return self.candidates(points).above(thresholds.high, thresholds.low)

    def candidates(self, points: Points) -> Picks:
        """Return the particles of all scores, the best first."""
        balls = points[points[:, 4] > 0]
        balls = balls[np.lexsort((balls[:, 2], balls[:, 1], balls[:, 0], -balls[:, 3]))]
        # Tables have two decimals; a score must not be rounded up to the threshold.
        scores = np.floor(100 * balls[:, 3]) / 100
        return Picks(balls[:, :3], scores, np.ones(len(balls), np.int64), "particles")

    @property
    def _prepared(self) -> tuple[WorkingGrid, Fields, ParticleModel]:
        if self._grid is None or self._maps is None or self._model is None:
            raise RuntimeError("call prepare() first")
        return self._grid, Fields(self._maps[0].array, self._maps[1].array), self._model
