"""Membranes by a bank of oriented plates, votes between them, and distance from the crest; no weights needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from cryomamba.engines.api import Engine, EngineParameters, Labels, Pass, Tile, VolumeContext
from cryomamba.engines.membrane_options import MembraneOptions
from cryomamba.engines.scratch import ScratchGrid
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba_inference.filters.common.background import even_out
from cryomamba_inference.filters.common.grid import CoarseGrid, gather_tasks
from cryomamba_inference.filters.common.node_map import NodeMap
from cryomamba_inference.filters.common.padding import leave_out
from cryomamba_inference.filters.membrane.calibration import (
    Calibration,
    learn_cut,
    learn_model,
    longest_margin_A,
    make_fine_grid,
    make_grid,
    make_step,
)
from cryomamba_inference.filters.membrane.model import STEP_A, score_box
from cryomamba_inference.filters.membrane.plate_map import PlateMap, plate_tasks
from cryomamba_inference.threads import ThreadTeam, one_thread

_LOOK_VOXELS = 200_000


class _Search(EngineParameters):
    """How membranes are found."""

    contrast: Literal["dark", "bright", "auto"] = Field(
        "auto",
        title="Contrast",
        description="Whether membranes are darker (raw tomograms) or brighter than their surroundings; "
        "'auto' takes the side with the stronger plates.",
    )
    tilt_deg: float | None = Field(
        None,
        gt=0,
        le=90,
        title="Tilt range",
        description="The stage was tilted to this far on either side about the y axis; 90 for no missing wedge. "
        "Estimated if left out.",
        json_schema_extra={"unit": "°"},
    )
    thickness_A: float = Field(
        45.0,
        ge=10,
        le=400,
        title="Thickness",
        description="Thickness of a membrane, and of the mask across it.",
        json_schema_extra={"unit": "Å"},
    )
    high: int | None = Field(
        None,
        ge=1,
        le=255,
        title="Threshold",
        description="A piece is believed if one voxel has this score (1 to 255). Found from the volume if left out.",
    )
    low: int | None = Field(
        None,
        ge=1,
        le=255,
        title="Lower threshold",
        description="Voxels from this score on belong to a piece that is believed. Found from the volume if left out.",
    )
    min_volume_nm3: float = Field(
        2500.0,
        ge=0,
        le=1e12,
        title="Smallest piece",
        description="Connected pieces smaller than this are removed; 2500 nm³ are a patch of 23 nm by 23 nm.",
        json_schema_extra={"unit": "nm³"},
    )


class MembraneParameters(MembraneOptions, _Search):
    """How membranes are found, and what is made of them."""


class MembraneEngine(Engine[MembraneParameters]):
    """Plate-like densities of a membrane's thickness that continue in their plane.

    The volume is averaged onto nodes 27 Å apart, gold and its streaks are taken out, and a bank of oriented plates
    (second derivative of a Gaussian across, Gaussian in the plane) finds crests. Crests that lie in each other's
    planes vote for one another, each as much as the section across it looks like a membrane. A voxel within half a
    membrane of a crest has the crest's votes as its score. Where to cut is found from how far the volume's crests stand
    out of its noise.
    """

    name: ClassVar[str] = "membrane"
    summary: ClassVar[str] = "Finds membranes of any shape with a bank of oriented plates; needs no weights."
    Parameters: ClassVar[type[EngineParameters]] = MembraneParameters
    labels: ClassVar[Mapping[int, str]] = {1: "membrane"}
    keeps_scores: ClassVar[bool] = True
    scratch_grid: ClassVar[ScratchGrid | None] = ScratchGrid(bytes_per_node=44, step=STEP_A)
    needs_tile_data: ClassVar[bool] = False
    # Crests around a tile are found again for its neighbours: larger tiles waste less.
    tile_bytes: ClassVar[int] = 128 * 1024 * 1024
    output: Literal["labels", "scores"] = "scores"

    def __init__(self, parameters: MembraneParameters) -> None:
        super().__init__(parameters)
        self._grid: CoarseGrid | None = None
        self._plates: PlateMap | None = None
        self._found: Calibration | None = None
        self._min_voxels = 0

    def passes(self) -> Sequence[Pass]:
        """Return a first look and the result."""
        return (Pass("first look", factor=0, voxels=_LOOK_VOXELS, concurrent=True), Pass("segmenting"))

    def halo(self, voxel_size_A: Spacing) -> Shape:
        """Return the voxels around a tile whose crests can change it."""
        z, y, x = (math.ceil(longest_margin_A(make_step(voxel_size_A)) / size) for size in voxel_size_A)
        return z, y, x

    def prepare(self, context: VolumeContext) -> None:
        """Average the volume onto nodes, lay the plates on them, and learn gold, noise and thresholds."""
        grid = make_grid(context.shape, context.voxel_size_A)
        nodes = NodeMap(grid.node_shape, context.scratch)
        padding = NodeMap(grid.node_shape, context.scratch, np.bool_)
        fine = make_fine_grid(context.shape, context.voxel_size_A)
        plates = PlateMap.empty(grid, fine, context.scratch)
        crew = ThreadTeam(context.threads, context.compute_slot)
        with one_thread():
            gathering = gather_tasks(context.read, (grid, nodes.array), (fine, plates.density.array))
            crew.run(gathering, lambda _: context.report_progress(0.1))
            even_out(nodes.array, padding.array, crew)
            model = learn_model(
                nodes.array,
                padding.array,
                grid.step_A,
                contrast=self.parameters.contrast,
                tilt_deg=self.parameters.tilt_deg,
                thickness_A=self.parameters.thickness_A,
                crew=crew,
            )
            tasks = plate_tasks(model, nodes.array, plates)
            crew.run(tasks, lambda count: context.report_progress(0.2 + 0.7 * count / len(tasks)))
            leave_out(plates.response.array, padding.array)
            self._found = learn_cut(model, plates, padding.array, crew=crew)
        self._grid, self._plates = grid, plates
        self._min_voxels = math.ceil(self.parameters.min_volume_nm3 * 1000 / math.prod(context.voxel_size_A))

    def thresholds(self) -> HysteresisThreshold:
        """Return the person's thresholds, or those that :meth:`prepare` found."""
        found = self._prepared[2]
        high = self.parameters.high or max(found.high, self.parameters.low or 0)
        return HysteresisThreshold(high, min(self.parameters.low or found.low, high), self._min_voxels)

    def predict(self, tile: Tile) -> Labels:
        """Return the scores of a tile; its densities were averaged onto nodes before."""
        grid, plates, found = self._prepared
        return score_box(found.model, grid, plates, tile.start, tile.shape)

    @property
    def _prepared(self) -> tuple[CoarseGrid, PlateMap, Calibration]:
        if self._grid is None or self._plates is None or self._found is None:
            msg = "prepare() comes first"
            raise RuntimeError(msg)
        return self._grid, self._plates, self._found
