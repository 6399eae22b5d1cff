"""What the engines that decode the network's probabilities have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field as ParameterField

from cryomamba.engines.api import (
    CONTRAST,
    CONTRAST_MARGIN,
    Engine,
    EngineParameters,
    Estimate,
    Pass,
    Tile,
    VolumeContext,
    Work,
)
from cryomamba.engines.scratch import ScratchGrid
from cryomamba.geometry import Shape, Spacing
from cryomamba.volumes.metadata import VolumeWarning
from cryomamba_inference.network.contrast import BRIGHT, DARK, Contrast, decide
from cryomamba_inference.network.density import map_scales, node_scale, padding_share
from cryomamba_inference.network.durations import (
    BACKGROUND,
    FILTERING,
    RECOGNIZING,
    RESAMPLING,
    StepReport,
    preparing_s,
    tiles_s,
)
from cryomamba_inference.network.expected_f1 import BestThreshold, best_threshold
from cryomamba_inference.network.inputs import Inputs
from cryomamba_inference.network.model import HALO, MULTIPLE, SCORES, STEP_A, Structure, probability
from cryomamba_inference.network.recognition import Recognition
from cryomamba_inference.network.samples import sample_boxes
from cryomamba_inference.network.sheets import MAPS, SheetFilter, half_shape, sheet_boxes, sheet_tasks, store_sheets
from cryomamba_inference.network.survey import Survey, survey
from cryomamba_inference.network.wedge import NO_WEDGE
from cryomamba_inference.threads import Tally, ThreadTeam, one_thread
from cryomamba_inference.volume_preparation.background import remove_gradients
from cryomamba_inference.volume_preparation.grid import Field, WorkingGrid
from cryomamba_inference.volume_preparation.node_map import NodeMap
from cryomamba_inference.volume_preparation.padding import counted_nodes, find_padding
from cryomamba_inference.volume_preparation.region import NodeRegion
from cryomamba_inference.volume_preparation.scale import raw_scale

_TILE_NODES = 128  # side of the largest tile with its halo
COARSEST_STEP_A = 26.0
"""Voxels up to this size are interpolated onto the usual grid, so that the mask is as fine as it can be."""
_PREVIEW_VOXELS = 2_500_000  # of the binned copy


class NetworkParameters(EngineParameters):
    """Parameters of all engines that use the network."""

    contrast: Literal["dark", "bright", "auto"] = ParameterField(
        "auto",
        title="Contrast",
        description="Whether membranes and particles are darker (raw tomograms) or brighter than their surroundings; "
        "'auto' chooses dark unless much more is recognized in the inverted volume.",
    )


P = TypeVar("P", bound=NetworkParameters)


def to_scores(probability: Field) -> npt.NDArray[np.uint8]:
    """Return probabilities as scores from 0 to 255."""
    return np.rint((SCORES - 1) * probability).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Box:
    """Probabilities (z, y, x) on the nodes of a box, float32, and its first node."""

    probability: Field
    first: Shape


class NetworkEngine(Engine[P], Generic[P]):
    """Resamples the volume onto the network's grid and computes probabilities, tile by tile.

    Attributes
    ----------
    contrast : Contrast or None
    survey : Survey or None
        Set by :meth:`prepare`; a coarse preview has no survey.
    best_threshold : BestThreshold or None
        The threshold with the best mask to be expected, by samples; set by :meth:`prepare`.
    """

    keeps_scores: bool = True
    scratch_grid: ClassVar[ScratchGrid | None] = ScratchGrid(
        bytes_per_node=7, step=STEP_A, interpolated_to_A=COARSEST_STEP_A
    )
    needs_tile_data: ClassVar[bool] = False
    structure: ClassVar[Structure]
    """What the engine segments."""
    halo_nodes: ClassVar[int] = HALO
    """Nodes around a tile that influence its result."""
    output: Literal["labels", "scores"] = "scores"

    def __init__(self, parameters: P) -> None:
        super().__init__(parameters)
        self._inputs: Inputs | None = None
        self.contrast: Contrast | None = None
        self.survey: Survey | None = None
        self.best_threshold: BestThreshold | None = None

    def passes(self) -> Sequence[Pass]:
        """Return a coarse preview and the result."""
        return (Pass("quick preview", factor=0, voxels=_PREVIEW_VOXELS, concurrent=True), Pass("segmenting"))

    def step_A(self, voxel_size_A: Spacing) -> float:
        """Return the distance between nodes for a voxel size."""
        coarsest = max(voxel_size_A)
        return STEP_A if coarsest <= COARSEST_STEP_A else coarsest

    def halo(self, voxel_size_A: Spacing) -> Shape:
        """Return how many voxels away the density influences the result."""
        z, y, x = (math.ceil(self.halo_nodes * self.step_A(voxel_size_A) / size) for size in voxel_size_A)
        return z, y, x

    def max_tile_bytes(self, voxel_size_A: Spacing) -> int:
        """Return the size of tiles that are as large for the network at any voxel size."""
        return 4 * math.ceil(math.prod(_TILE_NODES * self.step_A(voxel_size_A) / size for size in voxel_size_A))

    def work(self, shape: Shape, voxel_size_A: Spacing) -> Work:
        """Return how long preparing and segmenting are expected to take."""
        nodes = WorkingGrid(shape, voxel_size_A, self.step_A(voxel_size_A)).node_shape
        return Work(sum(preparing_s(nodes, len(self._signs())).values()), tiles_s(nodes))

    def prepare(self, context: VolumeContext) -> None:
        """Resample and filter the volume; measure its level and its noise, and decide on the contrast."""
        step_A = self.step_A(context.voxel_size_A)
        # A preview must be quick, not fine.
        step_A = max(step_A, *context.voxel_size_A) if context.coarse else step_A
        grid = WorkingGrid(context.shape, context.voxel_size_A, step_A)
        region = None if context.within is None else NodeRegion(grid, context.within)
        inside = None if region is None else region.inside
        team = ThreadTeam(context.threads, context.compute_slot)
        steps = StepReport(preparing_s(grid.node_shape, len(self._signs())))

        def report(step: str, done: float) -> None:
            context.report_progress(steps.fraction(step, done), step)

        with one_thread():
            inputs = self._inputs_of(context, grid, region, team, report)
            boxes = sample_boxes(grid.node_shape, inside)
            recognition = Recognition(
                inputs.view,
                boxes,
                lambda box: counted_nodes(inputs.padding.array, box, inside),
                self.structure,
                self._signs(),
            )
            tasks = recognition.tasks()
            team.run(tasks, lambda count: report(RECOGNIZING, count / len(tasks)))
            self._inputs, self.contrast = inputs, self._contrast(recognition)
            self.best_threshold = best_threshold(recognition.counts(self.contrast.sign))
            if not context.coarse:
                highest = 0.5 * min(1.0, step_A / max(context.voxel_size_A[1:]))
                samples = [inputs.density(box) for box in boxes]
                self.survey = survey(samples, highest, padding_share(inputs.padding.array))

    def _inputs_of(
        self,
        context: VolumeContext,
        grid: WorkingGrid,
        region: NodeRegion | None,
        team: ThreadTeam,
        report: Callable[[str, float], None],
    ) -> Inputs:
        """Return what the network sees, computed where it is needed and scaled by what is in the region."""
        nodes, padding = (NodeMap(grid.node_shape, context.scratch, dtype) for dtype in (np.float32, np.bool_))
        sheets = NodeMap((MAPS, *half_shape(grid.node_shape)), context.scratch, np.float16)
        raw, inside = raw_scale(context.read, context.shape), None if region is None else region.inside
        planes = Tally()
        resampling = grid.resample_tasks(context.read, raw.apply, nodes.array, planes.add)
        team.run(resampling, lambda _count: report(RESAMPLING, planes.total / len(nodes.array)))
        report(BACKGROUND, 0.0)
        find_padding(nodes.array, padding.array, team, margin=grid.kernel.reach)
        report(BACKGROUND, 0.3)
        remove_gradients(nodes.array, padding.array, team, inside)
        inputs = Inputs(grid, nodes, padding, sheets, node_scale(nodes.array, padding.array, inside))
        boxes = sheet_boxes(grid.node_shape, lambda box: region is None or region.touches(box, 2 * self.halo_nodes))
        sheet_filter = SheetFilter(inputs.density, grid.node_shape)
        if context.parallel_map is None:
            tasks = sheet_tasks(sheet_filter, boxes, sheets.array)
            team.run(tasks, lambda count: report(FILTERING, count / len(tasks)))
        else:
            for count, found in enumerate(context.parallel_map(sheet_filter, boxes)):
                store_sheets(sheets.array, boxes[count], found)
                report(FILTERING, (count + 1) / len(boxes))
        return replace(inputs, sheet_scales=map_scales(sheets.array, padding.array, inside))

    def _signs(self) -> Sequence[int]:
        """Return the signs of dense matter that the parameters allow."""
        return {"dark": (DARK,), "bright": (BRIGHT,), "auto": (DARK, BRIGHT)}[self.parameters.contrast]

    def _contrast(self, recognition: Recognition) -> Contrast:
        signs = self._signs()
        if len(signs) == 1:
            return Contrast(signs[0], math.nan, math.nan)
        return decide(recognition.share(DARK), recognition.share(BRIGHT))

    def estimates(self) -> Mapping[str, Estimate]:
        """Return contrast and its margin, unless the user has set it, the noise, and the tilt range if it shows."""
        found: dict[str, Estimate] = {}
        if self.contrast is not None and self.parameters.contrast == "auto":
            found[CONTRAST] = "bright" if self.contrast.sign == BRIGHT else "dark"
            found[CONTRAST_MARGIN] = self.contrast.certainty
        if self.survey is not None:
            found["noise"] = self.survey.noise
            if self.survey.tilt_range_deg < NO_WEDGE:
                found["tilt_range_deg"] = self.survey.tilt_range_deg
        return found

    def warnings(self) -> Sequence[VolumeWarning]:
        """Return whether the volume looks inverted, denoised or padded."""
        if self.survey is None or self.contrast is None:
            return ()
        return tuple(self.survey.warnings(self.contrast, decided=self.parameters.contrast == "auto"))

    @property
    def grid(self) -> WorkingGrid:
        """The working grid of the prepared volume."""
        return self.prepared[0].grid

    def box_probabilities(self, tile: Tile) -> Box:
        """Return the probability of the structure in a tile and its halo, 0 in padding."""
        inputs, sign = self.prepared
        first, last = inputs.grid.nodes_around(tile.start, tile.shape, self.halo_nodes)
        # Of the coarsest level of the network, so that all tiles have the same blocks of nodes.
        z, y, x = (slice(a // MULTIPLE * MULTIPLE, b) for a, b in zip(first, last, strict=True))
        found = probability(*inputs.view(sign, (z, y, x)), self.structure)
        found[inputs.padding.array[z, y, x]] = 0
        return Box(found, (z.start, y.start, x.start))

    def voxel_probabilities(self, found: Box, tile: Tile) -> Field:
        """Return the probability in a tile."""
        first, last = self.grid.nodes_around(tile.start, tile.shape, 0)
        z, y, x = (slice(a - o, b - o) for a, b, o in zip(first, last, found.first, strict=True))
        return self.grid.interpolate(found.probability[z, y, x], first, tile.start, tile.shape)

    @property
    def prepared(self) -> tuple[Inputs, int]:
        """What the network sees of the prepared volume, and the sign of dense matter in it."""
        if self._inputs is None or self.contrast is None:
            raise RuntimeError("call prepare() first")
        return self._inputs, self.contrast.sign
