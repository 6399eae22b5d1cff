"""What the engines that run described models have in common; a subclass runs its kind of network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Final, Generic, Literal, TypeVar

from pydantic import Field

from cryomamba.engines.api import EngineParameters, Estimate, VolumeContext, Voxels, Work
from cryomamba.engines.info import CHOICES
from cryomamba.engines.uncertainty import UncertaintyOptions
from cryomamba.engines.windows import Axis, WindowEngine
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Shape, Spacing
from cryomamba.models.trained_models import Kind
from cryomamba.trained_models.folders import load_model
from cryomamba_inference.trained_models.normalizer import Normalizer
from cryomamba_inference.windows.grid import NetworkGrid

_PREPARE_S: Final = 0.05
_WINDOW_S: Final = 2.5
"""Seconds per million voxels; of a network's windows, for a small U-Net, as networks differ."""


def model_parameter(kind: Kind) -> str:
    """Return the field of a parameter that names a model; clients offer the models that the engine runs."""
    field: str = Field(
        "",
        max_length=4096,
        title="Model",
        description="Name of the trained model; on this machine also its folder or file.",
        json_schema_extra={"choices_from": CHOICES, "model_kind": kind},
    )
    return field


class _Prediction(EngineParameters):
    model: str
    contrast: Literal["dark", "bright"] = Field(
        "dark",
        title="Contrast",
        description="Whether structures are darker (raw tomograms) or brighter than their surroundings in this "
        "tomogram; it is inverted if the model was trained on the other contrast.",
    )
    mirroring: bool = Field(
        default=False,
        title="Mirroring",
        description="Average the scores of all mirrored windows, along the axes that the model allows: slower by up to "
        "a factor of 8, and more accurate.",
    )


class ModelParameters(UncertaintyOptions, _Prediction):
    """Parameters of all engines that run described models; a subclass adds ``model``, see :func:`model_parameter`."""


P = TypeVar("P", bound=ModelParameters)


class DescribedEngine(WindowEngine[P], Generic[P]):
    """Sets what the description of a model states; a subclass implements :meth:`predict_window`.

    Attributes
    ----------
    model : Model
        Read when the engine is made; weights are loaded by the processes that predict.
    """

    kind: ClassVar[Kind]
    labels: Mapping[int, str] = {1: "label 1"}
    keeps_scores: bool = True

    def __init__(self, parameters: P) -> None:
        super().__init__(parameters)
        if not parameters.model:
            raise InvalidRequestError(
                f"The engine '{self.name}' needs a model.",
                code=ErrorCode.INVALID_PARAMETERS,
                hint="Give its name or folder as -p model=NAME; 'cryomamba models list' shows the models.",
            )
        self.model = load_model(parameters.model)
        described = self.model.description
        if described.kind != self.kind:
            raise InvalidRequestError(
                f"The model '{self.model.name}' is of kind '{described.kind}', which '{self.name}' does not run.",
                code=ErrorCode.INVALID_PARAMETERS,
                hint=f"Use the engine '{described.kind}'.",
            )
        self.labels, self.channels = described.labels, described.channels
        self.window, self.overlap = described.window, described.overlap
        self.scoring, self.logits, self.threshold = described.scores, described.logits, described.threshold
        self.members = len(described.weights)
        size = described.voxel_size_A
        # A model of single sections has nothing to do with their distance.
        self.network_voxel_size_A = (0.0, *size[1:]) if size and "z" not in described.axes else size
        self.mirror: tuple[Axis, ...] = described.mirror if parameters.mirroring else ()
        self.output = "scores" if len(described.labels) == 1 else "labels"
        self.keeps_scores = self.output == "scores"
        self._normalizer = Normalizer()
        self._sha256 = ""

    def work(self, shape: Shape, voxel_size_A: Spacing) -> Work:
        """Return how long the windows are expected to take."""
        grid = NetworkGrid.of(shape, voxel_size_A, self.network_voxel_size_A, self.voxel_size_tolerance)
        repeated = math.prod(1 / (1 - share) for share in self.overlap) * self.members * 2 ** len(self.mirror)
        return Work(_PREPARE_S * math.prod(shape) / 1e6, _WINDOW_S * repeated * math.prod(grid.nodes) / 1e6)

    def prepare(self, context: VolumeContext) -> None:
        """Compute the statistics that the model's normalization needs, and the checksum of the model."""
        described = self.model.description
        invert = described.contrast not in ("any", self.parameters.contrast)
        self._normalizer = Normalizer.of(described.normalization, context, invert=invert)
        if not context.coarse:
            self._sha256 = self.model.sha256

    def normalize(self, data: Voxels) -> Voxels:
        """Return the densities of a window as the model's description states."""
        return self._normalizer(data)

    def estimates(self) -> Mapping[str, Estimate]:
        """Return which model it was: its name, and the checksum by which it is known for certain."""
        return {"model": self.model.name, "model_sha256": self._sha256}
