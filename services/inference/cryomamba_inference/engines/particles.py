"""Particles of a given diameter; no weights needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from cryomamba.engines.api import Engine, EngineParameters, Pass, Points, Tile, TileResult, VolumeContext
from cryomamba.engines.scratch import ScratchGrid
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.picks import Kind, Picks
from cryomamba_inference.filters.common.background import even_out
from cryomamba_inference.filters.common.grid import CoarseGrid, gather_tasks
from cryomamba_inference.filters.common.node_map import NodeMap
from cryomamba_inference.filters.common.padding import leave_out
from cryomamba_inference.filters.common.rasterize import paint
from cryomamba_inference.filters.particles.blobs import NODES_PER_DIAMETER, answer_tasks
from cryomamba_inference.filters.particles.model import (
    Fields,
    ParticleModel,
    calibrate,
    find_cut,
    find_particles,
    make_filter,
)
from cryomamba_inference.threads import ThreadTeam, one_thread

_VOXELS_PER_DIAMETER = 2.5


class ParticlesParameters(EngineParameters):
    """Which particles are found."""

    diameter_A: float = Field(
        250.0,
        ge=20,
        le=5000,
        title="Diameter",
        description="Diameter of the particles; 250 Å is a ribosome. What is half or twice as large is hardly found.",
        json_schema_extra={"unit": "Å"},
    )
    contrast: Literal["dark", "bright", "auto"] = Field(
        "auto",
        title="Contrast",
        description="Whether particles are darker (raw tomograms) or brighter than their surroundings; 'auto' takes "
        "the side with the stronger ones.",
    )
    threshold: int | None = Field(
        None,
        ge=1,
        le=255,
        title="Threshold",
        description="Score from which on a particle counts (1 to 255). Found from the volume if left out.",
    )
    min_distance_A: float | None = Field(
        None,
        gt=0,
        le=20000,
        title="Least distance",
        description="Of two particles whose centres are nearer than this, only the better one counts; 0.7 diameters "
        "if left out.",
        json_schema_extra={"unit": "Å"},
    )


class ParticlesEngine(Engine[ParticlesParameters]):
    """Round densities of one size, each with a score and a place.

    The volume is averaged onto nodes a seventh of the diameter apart. Places where the mean inside a ball of the
    diameter stands out of the mean of the shell around it are graded by their height above the noise. Particles of one
    size have about one height: where that bump begins, and peaks of the other contrast, which tell how many are false,
    give the threshold. In the mask and the scores a particle is a ball of the diameter.
    """

    name: ClassVar[str] = "particles"
    summary: ClassVar[str] = "Picks round particles of a given diameter: coordinates and a mask; needs no weights."
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
        self._grid: CoarseGrid | None = None
        self._maps: tuple[NodeMap, NodeMap] | None = None
        self._model: ParticleModel | None = None
        self._cut = 255

    def passes(self) -> Sequence[Pass]:
        """Return a first look and the result."""
        return (Pass("first look", factor=0), Pass("picking"))

    def prepare(self, context: VolumeContext) -> None:
        """Average the volume onto nodes, and learn contrast, noise and a first threshold from samples."""
        diameter = self.parameters.diameter_A
        coarsest = max(context.voxel_size_A)
        if coarsest * _VOXELS_PER_DIAMETER > diameter:
            raise InvalidRequestError(
                f"Particles of {diameter:g} Å cannot be found at a voxel size of {coarsest:g} Å.",
                code=ErrorCode.INVALID_PARAMETERS,
                hint=f"It takes {coarsest * _VOXELS_PER_DIAMETER:g} Å at least; is the voxel size right?",
            )
        apart = self.parameters.min_distance_A or 0.7 * diameter
        grid = CoarseGrid(context.shape, context.voxel_size_A, max(coarsest, diameter / NODES_PER_DIAMETER))
        maps = NodeMap(grid.node_shape, context.scratch), NodeMap(grid.node_shape, context.scratch)
        padding = NodeMap(grid.node_shape, context.scratch, np.bool_)
        fields = Fields(maps[0].array, maps[1].array)
        crew = ThreadTeam(context.threads, context.compute_slot)
        with one_thread():
            tasks = gather_tasks(context.read, (grid, fields.nodes))
            crew.run(tasks, lambda _: context.report_progress(0.2))
            even_out(fields.nodes, padding.array, crew)
            blobs = make_filter(fields.nodes, grid, diameter_A=diameter, apart_A=apart)
            answers = answer_tasks(blobs, fields.nodes, fields.answer)
            crew.run(answers, lambda count: context.report_progress(0.4 + 0.5 * count / len(answers)))
            leave_out(fields.answer, padding.array)
            self._model, self._cut = calibrate(
                fields, grid, blobs, diameter_A=diameter, contrast=self.parameters.contrast
            )
        self._grid, self._maps = grid, maps

    def thresholds(self) -> HysteresisThreshold:
        """Return the person's threshold, or the one that was found."""
        cut = self.parameters.threshold or self._cut
        return HysteresisThreshold(cut, cut)

    def predict(self, tile: Tile) -> TileResult:
        """Return the particles of a tile as balls that hold their score, and their places and those of decoys."""
        grid, fields, model = self._prepared
        found = find_particles(model, grid, fields, tile.start, tile.shape)
        balls = found[found[:, 4] > 0]
        places = balls[:, :3] * grid.voxel_size_A
        values = balls[:, 3].astype(np.uint8)
        scores = paint(
            places, places, values, model.diameter_A / 2, start=tile.start, shape=tile.shape, size_A=grid.voxel_size_A
        )
        nearest = np.floor(found[:, :3] + 0.5)
        stop = np.array(tile.start) + tile.shape
        return TileResult(scores, found[((nearest >= tile.start) & (nearest < stop)).all(axis=1)])

    def finalize_picks(self, points: Points) -> Picks:
        """Find the threshold from all peaks and decoys, and return the particles above it, the best first."""
        grid, _, model = self._prepared
        self._cut = find_cut(points, model, grid.voxel_size_A)
        cut = self.thresholds()
        return self.candidates(points).cut(cut.high, cut.low)

    def candidates(self, points: Points) -> Picks:
        """Return the particles of any score, the best first."""
        balls = points[points[:, 4] > 0]
        balls = balls[np.lexsort((balls[:, 2], balls[:, 1], balls[:, 0], -balls[:, 3]))]
        # A table has two decimals, and must not round a score up to the threshold.
        scores = np.floor(100 * balls[:, 3]) / 100
        return Picks(balls[:, :3], scores, np.ones(len(balls), np.int64), "particles")

    @property
    def _prepared(self) -> tuple[CoarseGrid, Fields, ParticleModel]:
        if self._grid is None or self._maps is None or self._model is None:
            msg = "prepare() comes first"
            raise RuntimeError(msg)
        return self._grid, Fields(self._maps[0].array, self._maps[1].array), self._model
