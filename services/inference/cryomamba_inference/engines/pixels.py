"""Structures that a person has painted, by a classifier of voxels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from cryomamba.engines.api import EngineParameters, Labels, Pass, Slices, Tile, TileResult, VolumeContext, Voxels, Work
from cryomamba.engines.scratch import ScratchGrid
from cryomamba.engines.strokes import StrokesEngine
from cryomamba.engines.uncertainty import UncertaintyOptions
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.strokes import LABELS_MAX, Strokes
from cryomamba_inference.engines.membrane import MembraneEngine, MembraneParameters
from cryomamba_inference.network.durations import preparing_s
from cryomamba_inference.network.engine import COARSEST_STEP_A
from cryomamba_inference.network.inputs import Inputs
from cryomamba_inference.network.model import STEP_A
from cryomamba_inference.pixels.classifier import PixelClassifier, load_classifier
from cryomamba_inference.pixels.network_maps import MAPS_FROM, Block, MapFile, NetworkMaps
from cryomamba_inference.pixels.scales import Scale, halo_of, scales_of
from cryomamba_inference.pixels.smoothing import MARGIN
from cryomamba_inference.pixels.training import SectionFeatures, classify_section, require_trainable, train_classifier
from cryomamba_inference.threads import ThreadTeam, one_thread

_CORE = 64
"""Side of a tile's core in voxels: with larger tiles, strokes that are added would wait longer for a free core."""
_BOX_VOXELS, _LEAST_PLANES = 1_200_000, 8
"""Voxels whose features are in memory at a time, and the fewest planes of them."""
_PREPARE_S = 3.0
_TILES_S = 1.1
"""Seconds per million voxels, without the network."""
_MAPS_S = 0.9
"""Seconds per million nodes, of the network's maps on two cores."""


def network_inputs(context: VolumeContext) -> tuple[Inputs, int]:
    """Prepare a volume for the network as for membranes; return what it sees, and the sign of dense matter."""
    engine = MembraneEngine(MembraneParameters())
    engine.prepare(context)
    return engine.prepared


class _Training(EngineParameters):
    strokes: Strokes | None = Field(
        None,
        title="Strokes",
        description="Painted strokes: 'cryomamba segment --strokes FILE' reads them from a file; desktop and browser "
        "send what is painted there.",
        json_schema_extra={"unset": "none", "hidden": True},
    )
    model: str | None = Field(
        None,
        min_length=1,
        max_length=1024,
        title="Model",
        description="A model that was trained on strokes before, in place of strokes; a server takes its name alone.",
        json_schema_extra={"unset": "none", "choices_from": "models"},
    )
    finest_A: float = Field(
        12.0,
        ge=2,
        le=500,
        title="Finest scale",
        description="Standard deviation of the narrowest filter; each further scale is twice as wide. A model brings "
        "its own.",
        json_schema_extra={"unit": "Å"},
    )
    scales: int = Field(
        4,
        ge=1,
        le=5,
        title="Scales",
        description="Number of scales of the features: more take in more of a voxel's surroundings. A model brings "
        "its own.",
    )


class PixelsParameters(UncertaintyOptions, _Training):
    """What was painted, or the model that was made of it; and the scales of the features."""


class PixelsEngine(StrokesEngine[PixelsParameters]):
    """A random forest on smoothed densities, gradients, eigenvalues, and what the shipped network recognizes.

    The maps take a while, so the section under the view is shown first by a forest that does without them.
    """

    name: ClassVar[str] = "pixels"
    summary: ClassVar[str] = "Segments what you have painted: a few strokes per label train a classifier in seconds."
    Parameters: ClassVar[type[EngineParameters]] = PixelsParameters
    scratch_grid: ClassVar[ScratchGrid | None] = ScratchGrid(
        bytes_per_node=12, step=STEP_A, interpolated_to_A=COARSEST_STEP_A
    )
    labels: Mapping[int, str] = {number: f"label {number}" for number in range(1, LABELS_MAX)}

    def __init__(self, parameters: PixelsParameters, features: SectionFeatures | None = None) -> None:
        super().__init__(parameters)
        if (parameters.strokes is None) == (parameters.model is None):
            problem = "needs strokes or a model" if parameters.model is None else "takes strokes or a model, not both"
            raise InvalidRequestError(
                f"The engine 'pixels' {problem}.",
                code=ErrorCode.INVALID_PARAMETERS,
                hint="Paint in the desktop or the browser, or give --strokes FILE; a trained model is given with "
                "-p model=NAME.",
            )
        self._classifier: PixelClassifier | None = None
        self._maps: MapFile | None = None
        self._features = features
        self._shape: Shape = (1, 1, 1)
        self._voxel_size_A: Spacing = (1.0, 1.0, 1.0)
        self._centre, self._spread = 0.0, 1.0
        if parameters.model is not None:
            self._classifier = load_classifier(parameters.model)
            self.labels = self._classifier.names
        elif parameters.strokes is not None:
            self.labels = parameters.strokes.names

    def __getstate__(self) -> dict[str, Any]:
        # The features of sections stay in the process that prepared, which alone trains.
        return {**self.__dict__, "_features": None}

    def passes(self) -> Sequence[Pass]:
        """Return the result alone: the section under the view is the first preview."""
        return (Pass("classifying"),)

    def halo(self, voxel_size_A: Spacing) -> Shape:
        """Return how many voxels away the density influences a label."""
        return halo_of(self._scales(voxel_size_A), MARGIN)

    def align(self, voxel_size_A: Spacing) -> Shape:
        """Return the grid of the coarsest scale."""
        factor = self._scales(voxel_size_A)[-1].factor
        return factor, factor, factor

    def max_tile_bytes(self, voxel_size_A: Spacing) -> int:
        """Return the size of a tile whose core is not small beside its halo."""
        scales = self._scales(voxel_size_A)
        grid = scales[-1].factor
        halo = (-(-margin // grid) * grid for margin in halo_of(scales, MARGIN))
        return 4 * math.prod(2 * margin + -(-_CORE // grid) * grid for margin in halo)

    def work(self, shape: Shape, voxel_size_A: Spacing) -> Work:
        """Return how long training and classifying are expected to take."""
        nodes = math.prod(count * max(size / STEP_A, 1.0) for count, size in zip(shape, voxel_size_A, strict=True))
        maps = sum(preparing_s((round(nodes), 1, 1), 2).values()) + _MAPS_S * nodes / 1e6
        return Work(_PREPARE_S + maps, _TILES_S * math.prod(shape) / 1e6)

    def with_strokes(self, strokes: Strokes) -> Self:
        """Return an engine that is trained on other strokes, and that has the features computed so far."""
        parameters = self.parameters.model_copy(update={"strokes": strokes, "model": None})
        return type(self)(parameters, self._features)

    def prepare(self, context: VolumeContext) -> None:
        """Train on the strokes, unless there is a model: with the network's maps as far as they are there."""
        self._shape, self._voxel_size_A = context.shape, context.voxel_size_A
        if context.statistics is not None:
            percentiles = context.statistics.percentiles
            self._centre = percentiles[50.0]
            # Of normally distributed densities it is their standard deviation.
            self._spread = (percentiles[95.0] - percentiles[5.0]) / 3.29 or context.statistics.std or 1.0
        if self._features is None:

            def read(where: Slices) -> Voxels:
                return self._normalized(context.read(where))

            scales, maps = self._scales(context.voxel_size_A), NetworkMaps(network_inputs)
            self._features = SectionFeatures(read, context.shape, scales, maps)
        if self.parameters.strokes is None:
            return
        require_trainable(self.parameters.strokes, context.shape)
        context.report_progress(0.0, "training")
        # What is missing of the maps would be waited for.
        ready = self._features.maps.file is not None and not self._features.missing(self.parameters.strokes)
        self._train(context, maps=ready)

    def section(self, context: VolumeContext, z: int) -> Labels | None:
        """Return the labels of a section, after the refinements as :meth:`predict` finds them."""
        features, classifier = self._sections, self._classifier
        features.viewed = z
        if classifier is None or (classifier.network and features.maps.file is None):
            return None
        if classifier.network:
            self._compute_seen(context)
        return classify_section(classifier, features, z, ThreadTeam(context.threads, context.compute_slot))

    def refinements(self) -> Sequence[Callable[[VolumeContext], None]]:
        """Return the steps of the network: what is seen and painted first, then the rest."""
        if self._classifier is not None and self.parameters.model is not None and not self._classifier.network:
            return ()
        return (self._refine, self._complete)

    def stop(self) -> None:
        """End the preparation of the network's maps."""
        if self._features is not None:
            self._features.maps.stop()

    def _refine(self, context: VolumeContext) -> None:
        """Prepare the network's maps, and train on them."""
        maps = self._sections.maps
        maps.prepare(context)
        self._compute_seen(context)
        self._maps = maps.file
        if self.parameters.strokes is not None and not (self._classifier and self._classifier.network):
            self._train(context, maps=True)

    def _complete(self, context: VolumeContext) -> None:
        """Compute the blocks of the network's maps that nobody has looked at yet."""
        maps = self._sections.maps
        self._compute(context, maps.missing(maps.all_blocks()), MAPS_FROM)

    def _compute_seen(self, context: VolumeContext) -> None:
        self._compute(context, self._sections.missing(self.parameters.strokes), MAPS_FROM)

    def _compute(self, context: VolumeContext, blocks: Sequence[Block], before: float) -> None:
        def report(done: float) -> None:
            context.report_progress(before + (1 - before) * done, "applying the network")

        with one_thread():
            self._sections.maps.compute(blocks, ThreadTeam(context.threads, context.compute_slot), report)

    def _train(self, context: VolumeContext, *, maps: bool) -> None:
        if self.parameters.strokes is None:
            return
        team = ThreadTeam(context.threads, context.compute_slot)
        with one_thread():
            self._classifier = train_classifier(
                self.parameters.strokes, self._sections, self.parameters.finest_A, team, maps=maps
            )

    def predict(self, tile: Tile) -> TileResult:
        """Return the labels of a tile, and on request the entropy of their votes."""
        origin = [at - within.start for at, within in zip(tile.start, tile.core, strict=True)]

        def read(where: Slices) -> Voxels:
            z, y, x = (slice(w.start - at, w.stop - at) for w, at in zip(where, origin, strict=True))
            return self._normalized(tile.data[z, y, x])

        # In slabs, so that the memory does not grow with the tile.
        z, y, x = tile.start
        depth, height, width = tile.shape
        planes = max(_LEAST_PLANES, _BOX_VOXELS // (height * width))
        wanted = self.parameters.uncertainty
        labels = np.empty(tile.shape, np.uint8)
        uncertainty = np.empty(tile.shape, np.uint8) if wanted else None
        for first in range(0, depth, planes):
            shape = (min(planes, depth - first), height, width)
            start = (z + first, y, x)
            found = self._trained.classify(
                read, self._shape, self._voxel_size_A, start, shape, maps=self._maps, uncertainty=wanted
            )
            labels[first : first + planes] = found.labels
            if uncertainty is not None and found.uncertainty is not None:
                uncertainty[first : first + planes] = found.uncertainty
        return TileResult(labels, uncertainty=uncertainty)

    def save_files(self, folder: Path) -> Sequence[str]:
        """Write the model that was trained."""
        if self.parameters.strokes is None:
            return ()
        return self._trained.save(folder)

    @property
    def _sections(self) -> SectionFeatures:
        if self._features is None:
            raise RuntimeError("call prepare() first")
        return self._features

    @property
    def _trained(self) -> PixelClassifier:
        if self._classifier is None:
            raise RuntimeError("call prepare() first")
        return self._classifier

    def _scales(self, voxel_size_A: Spacing) -> tuple[Scale, ...]:
        known = self._classifier
        finest_A, count = (
            (known.finest_A, known.scales) if known else (self.parameters.finest_A, self.parameters.scales)
        )
        return scales_of(voxel_size_A, finest_A, count)

    def _normalized(self, data: Voxels) -> Voxels:
        return np.asarray((data - np.float32(self._centre)) * np.float32(1 / self._spread), np.float32)
