"""Membranes by oriented ridge filters and tensor-voting-like grouping; no trained model needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from cryomamba.engines.api import CONTRAST, Engine, EngineParameters, Estimate, Labels, Pass, Tile, VolumeContext
from cryomamba.engines.membrane_options import MembraneOptions
from cryomamba.engines.scratch import ScratchGrid
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba_inference.filters.common.background import correct_background
from cryomamba_inference.filters.common.grid import CoarseGrid, resample_tasks
from cryomamba_inference.filters.common.node_map import NodeMap
from cryomamba_inference.filters.common.padding import clear_padding
from cryomamba_inference.filters.membrane.calibration import (
    Calibration,
    learn_model,
    learn_thresholds,
    longest_margin_A,
    make_fine_grid,
    make_grid,
    make_step,
)
from cryomamba_inference.filters.membrane.model import STEP_A, score_box
from cryomamba_inference.filters.membrane.plate_map import PlateMap
from cryomamba_inference.filters.membrane.plate_responses import plate_tasks
from cryomamba_inference.threads import ThreadTeam, one_thread

_PREVIEW_VOXELS = 200_000  # of the binned copy


class _Search(EngineParameters):
    contrast: Literal["dark", "bright", "auto"] = Field(
        "auto",
        title="Contrast",
        description="Whether membranes are darker (raw tomograms) or brighter than their surroundings; "
        "'auto' chooses the contrast with the stronger ridges.",
    )
    tilt_deg: float | None = Field(
        None,
        gt=0,
        le=90,
        title="Maximum tilt angle",
        description="Maximum tilt angle (±°), tilt axis y; 90 for no missing wedge. Estimated from the volume if not "
        "set.",
        json_schema_extra={"unit": "°"},
    )
    thickness_A: float = Field(
        45.0,
        ge=10,
        le=400,
        title="Thickness",
        description="Thickness of the membranes, and of the mask.",
        json_schema_extra={"unit": "Å"},
    )
    high: int | None = Field(
        None,
        ge=1,
        le=255,
        title="Threshold",
        description="Upper hysteresis threshold (seed): a component is kept if at least one of its voxels has this "
        "score. Determined from the volume if not set.",
    )
    low: int | None = Field(
        None,
        ge=1,
        le=255,
        title="Lower threshold",
        description="Lower hysteresis threshold: minimum score of all voxels of a component. Determined from the "
        "volume if not set.",
    )
    min_volume_nm3: float = Field(
        2500.0,
        ge=0,
        le=1e12,
        title="Minimum volume",
        description="Smaller connected components are removed; 2500 nm³ is a membrane patch of 23 nm × 23 nm.",
        json_schema_extra={"unit": "nm³"},
    )


class MembraneParameters(MembraneOptions, _Search):
    """Parameters of the segmentation and of the files made from it."""


class MembraneEngine(Engine[MembraneParameters]):
    """Sheets of a membrane's thickness that continue in their plane.

    The volume is averaged onto a 27 Å sampling grid, gold fiducials and their streaks are removed, and a bank of
    oriented ridge filters (second derivative of a Gaussian along the normal, Gaussian in the plane) finds ridge points.
    Ridge points vote for each other as in tensor voting, weighted by how much the density profile along the normal
    resembles a membrane. A voxel within half a membrane thickness of a ridge gets the votes of the ridge as its score.
    The thresholds follow from the height of the volume's ridges above its noise.

    Attributes
    ----------
    calibration : Calibration or None
        Set by :meth:`prepare`.
    """

    name: ClassVar[str] = "membrane"
    summary: ClassVar[str] = (
        "Segments membranes of any shape with an oriented ridge filter bank; no trained model needed."
    )
    Parameters: ClassVar[type[EngineParameters]] = MembraneParameters
    labels: ClassVar[Mapping[int, str]] = {1: "membrane"}
    keeps_scores: ClassVar[bool] = True
    scratch_grid: ClassVar[ScratchGrid | None] = ScratchGrid(bytes_per_node=44, step=STEP_A)
    needs_tile_data: ClassVar[bool] = False
    # The ridges in the halo are computed for each tile anew: larger tiles waste less.
    tile_bytes: ClassVar[int] = 128 * 1024 * 1024
    output: Literal["labels", "scores"] = "scores"

    def __init__(self, parameters: MembraneParameters) -> None:
        super().__init__(parameters)
        self._grid: CoarseGrid | None = None
        self._plates: PlateMap | None = None
        self.calibration: Calibration | None = None
        self._min_voxels = 0

    def passes(self) -> Sequence[Pass]:
        """Return a coarse preview and the result."""
        return (Pass("quick preview", factor=0, voxels=_PREVIEW_VOXELS, concurrent=True), Pass("segmenting"))

    def halo(self, voxel_size_A: Spacing) -> Shape:
        """Return how many voxels away a ridge can influence the score."""
        z, y, x = (math.ceil(longest_margin_A(make_step(voxel_size_A)) / size) for size in voxel_size_A)
        return z, y, x

    def prepare(self, context: VolumeContext) -> None:
        """Resample and filter the volume; estimate contrast, fiducials, noise and thresholds."""
        grid = make_grid(context.shape, context.voxel_size_A)
        nodes = NodeMap(grid.node_shape, context.scratch)
        padding = NodeMap(grid.node_shape, context.scratch, np.bool_)
        fine = make_fine_grid(context.shape, context.voxel_size_A)
        plates = PlateMap.empty(grid, fine, context.scratch)
        team = ThreadTeam(context.threads, context.compute_slot)
        with one_thread():
            resampling = resample_tasks(context.read, (grid, nodes.array), (fine, plates.density.array))
            team.run(resampling, lambda _: context.report_progress(0.1))
            correct_background(nodes.array, padding.array, team)
            model = learn_model(
                nodes.array,
                padding.array,
                grid.step_A,
                contrast=self.parameters.contrast,
                tilt_deg=self.parameters.tilt_deg,
                thickness_A=self.parameters.thickness_A,
                team=team,
            )
            tasks = plate_tasks(model, nodes.array, plates)
            team.run(tasks, lambda count: context.report_progress(0.2 + 0.7 * count / len(tasks)))
            clear_padding(plates.response.array, padding.array)
            self.calibration = learn_thresholds(model, plates, padding.array, team=team)
        self._grid, self._plates = grid, plates
        self._min_voxels = math.ceil(self.parameters.min_volume_nm3 * 1000 / math.prod(context.voxel_size_A))

    def thresholds(self) -> HysteresisThreshold:
        """Return the thresholds set by the user, else those determined by :meth:`prepare`."""
        found = self._prepared[2]
        high = self.parameters.high or max(found.high, self.parameters.low or 0)
        return HysteresisThreshold(high, min(self.parameters.low or found.low, high), self._min_voxels)

    def estimates(self) -> Mapping[str, Estimate]:
        """Return contrast and thresholds, unless the user has set them, and the noise of the filter responses."""
        model = self._prepared[2].model
        found: dict[str, Estimate] = {}
        if self.parameters.contrast == "auto":
            found[CONTRAST] = "bright" if model.sign > 0 else "dark"
        thresholds = self.thresholds()
        if self.parameters.high is None:
            found["threshold"] = thresholds.high
        if self.parameters.low is None:
            found["lower_threshold"] = thresholds.low
        return {**found, "noise": model.deviation}

    def predict(self, tile: Tile) -> Labels:
        """Return the scores of a tile, from the filtered grid."""
        grid, plates, found = self._prepared
        return score_box(found.model, grid, plates, tile.start, tile.shape)

    @property
    def _prepared(self) -> tuple[CoarseGrid, PlateMap, Calibration]:
        if self._grid is None or self._plates is None or self.calibration is None:
            raise RuntimeError("call prepare() first")
        return self._grid, self._plates, self.calibration
