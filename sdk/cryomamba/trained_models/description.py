"""What is known of a trained model: its files, labels, window and normalization. Pure.

A description is read from a sidecar beside the weights, see :mod:`cryomamba.trained_models.model`. Axes are z, y, x and
lengths ångström unless a name says otherwise.
"""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from cryomamba.geometry import Shape
from cryomamba.models.trained_models import Kind, Labels, Title
from cryomamba.trained_models.normalization import Step

WINDOW_VOXELS_MAX: Final = 2**25
"""Voxels of the largest window: 320³ fits, and with it a network's memory is bounded."""
WEIGHTS_MAX: Final = 64
"""Most weights files of one model, which are an ensemble."""
TESTS_MAX: Final = 16

RelativePath = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Axes = Annotated[str, StringConstraints(pattern=r"^[bczyx]{2,5}$")]
Fraction = Annotated[float, Field(ge=0, le=0.9)]
Side = Annotated[int, Field(ge=1, le=4096)]
VoxelSize = Annotated[float, Field(gt=0, le=10_000)]


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TestCase(_Described):
    """An input tensor and the output that the model must give for it.

    Attributes
    ----------
    input, output : str
        ``.npy`` files, relative to the folder, with the axes of the network's input and output.
    relative_tolerance, absolute_tolerance : float
        An element deviates if it differs by more than ``absolute + relative · |expected|``.
    deviating_per_million : int
        How many elements of a million may deviate.
    """

    __test__ = False  # not a class of tests for pytest

    input: RelativePath
    output: RelativePath
    relative_tolerance: float = Field(1e-3, ge=0, le=1)
    absolute_tolerance: float = Field(1e-3, ge=0)
    deviating_per_million: int = Field(100, ge=0, le=1_000_000)


class ModelDescription(_Described):
    """A trained model.

    Attributes
    ----------
    kind : {'onnx', 'torchscript', 'nnunet', 'membrain', 'pixels'}
        What it is, which is also the name of the engine that runs it.
    title : str
        What people call it.
    weights : tuple of str
        Weights files, relative to the folder; several are an ensemble, whose scores are averaged.
    extra_files : tuple of str
        Further files that the model needs, such as external data of ONNX.
    labels : dict of int to str
        What each label means, without 0, the background.
    scores : {'softmax', 'sigmoid'}
        With softmax, channel 0 of the output is the background, channel n is label n, and the largest wins. With
        sigmoid, channel n is label n + 1, and the largest of those above `threshold` wins.
    logits : bool
        Whether that function must still be applied to the network's output, or was applied by the network itself.
    threshold : float
        Score from which on a voxel belongs to a label, with sigmoid.
    voxel_size_A : tuple of float or None
        Ångström (z, y, x) that the model was trained for; tomograms are resampled to it. None for any voxel size.
    window : tuple of int
        Voxels (z, y, x) that the model sees at once.
    overlap : float or tuple of float
        Fraction of the window by which neighbouring windows overlap, along z, y, x.
    axes, output_axes : str
        Order of the axes of the network's input and output: z, y and x, or y and x for a model of single sections,
        with c for channels and b for the batch if the tensor has them.
    normalization : tuple of steps
        What is done to the densities, in order.
    contrast : {'dark', 'bright', 'any'}
        How the structures looked in the data that the model was trained on; a tomogram of the other contrast is
        inverted. ``any`` for a model that takes both.
    mirror : tuple of {'z', 'y', 'x'}
        Axes along which windows may be mirrored, for scores that are averaged over all mirrorings on request.
    tests : tuple of TestCase
    checksums : dict of str to str
        SHA-256 of files as the sidecar states them, by relative path.
    summary, licence, citation : str
    authors : tuple of str
    """

    kind: Kind
    title: Title = ""
    weights: tuple[RelativePath, ...] = Field(min_length=1, max_length=WEIGHTS_MAX)
    extra_files: tuple[RelativePath, ...] = Field((), max_length=WEIGHTS_MAX)
    labels: Labels
    scores: Literal["softmax", "sigmoid"] = "softmax"
    logits: bool = True
    threshold: float = Field(0.5, gt=0, lt=1)
    voxel_size_A: tuple[VoxelSize, VoxelSize, VoxelSize] | None = None
    window: tuple[Side, Side, Side]
    overlap: tuple[Fraction, Fraction, Fraction] = (0.5, 0.5, 0.5)
    axes: Axes = "bczyx"
    output_axes: Axes = "bczyx"
    normalization: tuple[Step, ...] = Field((), max_length=16)
    contrast: Literal["dark", "bright", "any"] = "any"
    mirror: tuple[Literal["z", "y", "x"], ...] = Field((), max_length=3)
    tests: tuple[TestCase, ...] = Field((), max_length=TESTS_MAX)
    checksums: dict[RelativePath, Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]] = Field(
        default_factory=dict, max_length=4 * WEIGHTS_MAX
    )
    summary: Annotated[str, StringConstraints(max_length=4000)] = ""
    licence: Annotated[str, StringConstraints(max_length=200)] = ""
    citation: Annotated[str, StringConstraints(max_length=4000)] = ""
    authors: tuple[Annotated[str, StringConstraints(max_length=200)], ...] = Field((), max_length=200)

    @field_validator("weights", mode="before")
    @classmethod
    def _one_file(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("voxel_size_A", "overlap", "window", mode="before")
    @classmethod
    def _same_along_all_axes(cls, value: object) -> object:
        return (value,) * 3 if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("normalization", mode="before")
    @classmethod
    def _one_step(cls, value: object) -> object:
        steps = (value,) if isinstance(value, str | dict) else value
        if not isinstance(steps, list | tuple):
            return steps
        return tuple({"step": one} if isinstance(one, str) else one for one in steps)

    @field_validator("axes", "output_axes")
    @classmethod
    def _known_axes(cls, value: str) -> str:
        if len(set(value)) != len(value) or not set("yx") <= set(value):
            raise ValueError("give each axis once, y and x at least")
        return value

    @field_validator("window")
    @classmethod
    def _bounded_window(cls, value: Shape) -> Shape:
        if math.prod(value) > WINDOW_VOXELS_MAX:
            raise ValueError(f"a window may have at most {WINDOW_VOXELS_MAX:,} voxels")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sorted(self.labels) != list(range(1, len(self.labels) + 1)):
            raise ValueError("labels must be numbered 1, 2, 3, …; 0 is the background")
        if ("z" in self.axes) != ("z" in self.output_axes):
            raise ValueError("axes and output_axes must both have z, or neither")
        if "z" not in self.axes and self.window[0] != 1:
            raise ValueError("a model of single sections (axes without z) has a window of 1 along z")
        if "c" not in self.output_axes and self.channels != 1:
            raise ValueError(f"the output needs a channel axis (c) for {self.channels} channels")
        return self

    @property
    def channels(self) -> int:
        """Number of channels of the output: one per label, and with softmax one for the background."""
        return len(self.labels) + (self.scores == "softmax")
