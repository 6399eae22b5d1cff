"""Reads ``rdf.yaml``, the model description of bioimage.io, in its versions 0.5 and 0.4. Pure.

Read is what a segmentation of tomograms needs: one input with one channel, one output, and the steps before and after
that are the same for every window. A field ``config.cryomamba`` holds what bioimage.io has no field for, such as
``contrast``, ``mirror``, ``overlap`` or ``labels``; it has the names of
:class:`~cryomamba.trained_models.description.ModelDescription` and takes precedence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cryomamba.trained_models.description import ModelDescription
from cryomamba.trained_models.problems import invalid_model, validation_problems
from cryomamba.trained_models.rdf_v04 import upgraded

_FORMATS: Final = ("onnx", "torchscript")
"""Weights that can be run, the preferred first."""
_UNITS_A: Final = {"angstrom": 1.0, "picometer": 0.01, "nanometer": 10.0, "micrometer": 1e4, "millimeter": 1e7}
_SIZE_MAX: Final = 2**31
_SIDE_3D, _SIDE_2D = 96, 512
"""Voxels of a window where the model takes several sizes: the largest size up to this one."""


class _Part(BaseModel):
    # Of a long description, only what is used is checked.
    model_config = ConfigDict(frozen=True, extra="ignore")


class _File(_Part):
    source: str = Field(max_length=512)
    sha256: str | None = None


class _Sizes(_Part):
    min: int = Field(ge=1, le=_SIZE_MAX)
    step: int = Field(ge=1, le=_SIZE_MAX)


class _Reference(_Part):
    tensor_id: str
    axis_id: str
    offset: int = 0


_Size = Annotated[int, Field(ge=1, le=_SIZE_MAX)]


class _Axis(_Part):
    type: str = Field(max_length=32)
    id: str = Field("", max_length=32)
    size: _Size | _Sizes | _Reference | None = None
    channel_names: tuple[str, ...] = Field((), max_length=256)
    unit: str | None = None
    scale: float = Field(1.0, allow_inf_nan=False)
    halo: int = Field(0, ge=0, le=_SIZE_MAX)

    @property
    def letter(self) -> str:
        """One of b, c, z, y, x; empty for an axis that a tomogram does not have."""
        return {"batch": "b", "channel": "c", "space": self.id or "x"}.get(self.type, "")


class _Processing(_Part):  # type: ignore[no-redef]  # by the plugin of pydantic
    id: str = Field(max_length=64)
    arguments: dict[str, Any] = Field(default_factory=dict, alias="kwargs")


class _Tensor(_Part):
    id: str = ""
    axes: tuple[_Axis, ...] = Field(min_length=1, max_length=8)
    test_tensor: _File | None = None
    preprocessing: tuple[_Processing, ...] = Field((), max_length=16)
    postprocessing: tuple[_Processing, ...] = Field((), max_length=16)


class _Weights(_File):
    external_data: _File | None = None


class _Person(_Part):
    name: str = ""


class _Citation(_Part):
    text: str = ""
    doi: str | None = None


class _Rdf(_Part):
    format_version: str
    name: str = ""
    description: str | None = ""
    license: str | None = ""
    authors: tuple[_Person, ...] = Field((), max_length=200)
    cite: tuple[_Citation, ...] = Field((), max_length=200)
    inputs: tuple[_Tensor, ...] = Field(min_length=1, max_length=16)
    outputs: tuple[_Tensor, ...] = Field(min_length=1, max_length=16)
    weights: dict[str, _Weights | None] = Field(max_length=16)
    config: dict[str, Any] = Field(default_factory=dict)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # without types
    """Plain data only, and no aliases: a few of them can stand for a document of gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 (as in the base class)
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("it has aliases (*name), which are not read")
        return super().compose_node(parent, index)


def parse_rdf(data: bytes, name: str, file: str = "rdf.yaml") -> ModelDescription:
    """Return the description that an ``rdf.yaml`` states.

    Parameters
    ----------
    data : bytes
        Contents of the file.
    name : str
        Of the model, for messages.

    Raises
    ------
    InvalidRequestError
        It is not YAML, it is no model of bioimage.io, or it asks for something that cannot be done here;
        ``details["problems"]`` has every problem.
    """
    try:
        content = yaml.load(data, _Loader)  # noqa: S506 (a safe loader)  # nosec B506
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
        ArithmeticError,
        AttributeError,
        TypeError,
        LookupError,
    ) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise invalid_model(name, [f"{file} is not valid YAML: {reason}."]) from None
    if not isinstance(content, dict):
        raise invalid_model(name, [f"{file} is not a model of bioimage.io: it has no fields."])
    type_, version = content.get("type"), content.get("format_version")
    if type_ != "model" or not isinstance(version, str) or not version.startswith(("0.4.", "0.5.")):
        stated = ", ".join(f"{key} '{each[:32]}'" for key, each in content.items() if _is_stated(key, each))
        problem = f"{file} is not a model of bioimage.io in format 0.4 or 0.5 ({stated or 'it states neither'})."
        raise invalid_model(name, [problem])
    try:
        fields = upgraded(content) if version.startswith("0.4.") else content
        rdf = _Rdf.model_validate(fields)
    except ValidationError as error:
        raise invalid_model(name, validation_problems(error, file, ())) from None
    reader = _Reader(rdf)
    try:
        found = reader.fields()
        if reader.problems:
            raise invalid_model(name, [f"{file}: {problem}" for problem in reader.problems])
        return ModelDescription.model_validate(found)
    except ValidationError as error:
        raise invalid_model(name, validation_problems(error, file, ModelDescription.model_fields)) from None


class _Reader:
    """Turns a description of bioimage.io into the fields of ours, and collects what cannot be done."""

    def __init__(self, rdf: _Rdf) -> None:
        self._rdf = rdf
        self._input, self._output = rdf.inputs[0], rdf.outputs[0]
        self.problems: list[str] = []

    def fields(self) -> dict[str, Any]:
        rdf = self._rdf
        if len(rdf.inputs) != 1:
            self.problems.append(f"the model takes {len(rdf.inputs)} inputs; there is only the tomogram.")
        axes, output_axes = self._letters(self._input, "input"), self._letters(self._output, "output")
        fields = {
            "title": rdf.name[:200],
            "summary": (rdf.description or "")[:4000],
            "licence": (rdf.license or "")[:200],
            "authors": tuple(person.name[:200] for person in rdf.authors if person.name),
            "citation": "\n".join(_cited(one) for one in rdf.cite)[:4000],
            "axes": axes,
            "output_axes": output_axes,
            "window": self._window(),
            "overlap": self._overlap(),
            "voxel_size_A": self._voxel_size_A(),
            "normalization": self._normalization(),
            **self._weights(),
            **self._scores(),
            **self._tests(),
        }
        own = rdf.config.get("cryomamba", {})
        return fields | (own if isinstance(own, dict) else {})

    def _letters(self, tensor: _Tensor, what: str) -> str:
        letters = [axis.letter for axis in tensor.axes]
        if not all(letter in tuple("bczyx") for letter in letters):
            ids = ", ".join(axis.id or axis.type for axis in tensor.axes)
            self.problems.append(f"the {what} has axes that a tomogram does not have ({ids}).")
            return "zyx"
        return "".join(letters)

    def _weights(self) -> dict[str, Any]:
        found = {kind: weights for kind, weights in self._rdf.weights.items() if weights is not None}
        kind = next((one for one in _FORMATS if one in found), None)
        if kind is None:
            there = ", ".join(sorted(found)) or "no weights"
            self.problems.append(
                f"the model has {there}; ONNX or TorchScript is needed, because the others run code of the model."
            )
            return {"kind": "onnx", "weights": ("missing",)}
        weights = found[kind]
        files = [weights, *([weights.external_data] if weights.external_data else [])]
        return {
            "kind": kind,
            "weights": (weights.source,),
            "extra_files": tuple(each.source for each in files[1:]),
            "checksums": {each.source: each.sha256 for each in files if each.sha256},
        }

    def _space(self, tensor: _Tensor) -> dict[str, _Axis]:
        return {axis.letter: axis for axis in tensor.axes if axis.type == "space"}

    def _window(self) -> tuple[int, ...]:
        space = self._space(self._input)
        side = _SIDE_3D if "z" in space else _SIDE_2D
        return tuple(_side(space[one], side) if one in space else 1 for one in "zyx")

    def _overlap(self) -> tuple[float, ...]:
        space, window = self._space(self._output), self._window()
        halos = [space[one].halo if one in space else 0 for one in "zyx"]
        # The halo is what the model does not predict well; windows overlap so far that others do.
        return tuple(
            0.0 if size == 1 else min(max(0.5, 2 * halo / size), 0.9) for halo, size in zip(halos, window, strict=True)
        )

    def _voxel_size_A(self) -> tuple[float, ...] | None:
        space = self._space(self._input)
        sizes = {one: axis.scale * _UNITS_A[axis.unit] for one, axis in space.items() if axis.unit in _UNITS_A}
        if len(sizes) != len(space):
            return None
        return tuple(sizes.get(one, sizes.get("y", 1.0)) for one in "zyx")

    def _scores(self) -> dict[str, Any]:
        channel = next((axis for axis in self._output.axes if axis.letter == "c"), None)
        names = list(channel.channel_names) if channel is not None else ["foreground"]
        fields: dict[str, Any] = {"logits": False}
        last = ""
        for step in self._output.postprocessing:
            if step.id in {"softmax", "sigmoid"}:
                fields["logits"], last = True, step.id
            elif step.id == "binarize" and isinstance(step.arguments.get("threshold"), int | float):
                fields["threshold"] = step.arguments["threshold"]
            elif step.id != "ensure_dtype":
                self.problems.append(f"the step '{step.id}' after the network cannot be done here.")
        background = len(names) > 1 and (last == "softmax" or names[0].lower() in {"background", "bg"})
        if last == "softmax" and len(names) == 1:
            self.problems.append("softmax over one channel is always 1.")
        fields["scores"] = "softmax" if background else "sigmoid"
        labels = names[1:] if background else names
        fields["labels"] = {number: name[:64] or f"label {number}" for number, name in enumerate(labels, 1)}
        return fields

    def _tests(self) -> dict[str, Any]:
        given, wanted = self._input.test_tensor, self._output.test_tensor
        if given is None or wanted is None:
            return {}
        tolerance = self._rdf.config.get("bioimageio", {})
        listed = tolerance.get("reproducibility_tolerance") if isinstance(tolerance, dict) else None
        first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
        names = {
            "relative_tolerance": "relative_tolerance",
            "absolute_tolerance": "absolute_tolerance",
            "mismatched_elements_per_million": "deviating_per_million",
        }
        test = {"input": given.source, "output": wanted.source}
        return {"tests": (test | {ours: first[theirs] for theirs, ours in names.items() if theirs in first},)}

    def _normalization(self) -> list[dict[str, Any]]:
        steps = []
        for each in self._input.preprocessing:
            step = self._step(each)
            if step is not None:
                steps.append(step)
        return steps

    def _step(self, each: _Processing) -> dict[str, Any] | None:
        kwargs = {key: value for key, value in each.arguments.items() if value is not None}
        match each.id:
            case "ensure_dtype":
                return None
            case "zero_mean_unit_variance" | "scale_range":
                self._require_all_axes(each.id, kwargs.pop("axes", None))
                kwargs.pop("reference_tensor", None)
                return {"step": each.id, "over": "volume", **kwargs}
            case "fixed_zero_mean_unit_variance":
                return {"step": "fixed", "mean": self._one(kwargs, "mean"), "std": self._one(kwargs, "std")}
            case "scale_linear":
                gain, offset = self._one(kwargs, "gain", 1.0), self._one(kwargs, "offset", 0.0)
                return {"step": "linear", "gain": gain, "offset": offset}
            case "clip":
                self._require_all_axes(each.id, kwargs.pop("axes", None))
                return {"step": "clip", "over": "volume", **kwargs}
        self.problems.append(f"the step '{each.id}' before the network cannot be done here.")
        return None

    def _require_all_axes(self, step: str, axes: object) -> None:
        if axes is None:
            return
        space = set(self._space(self._input))
        if not isinstance(axes, Sequence) or not all(axis in axes for axis in space):
            self.problems.append(f"the step '{step}' is done along some axes only, which cannot be done here.")

    def _one(self, kwargs: Mapping[str, Any], key: str, default: float | None = None) -> object:
        value = kwargs.get(key, default)
        return value[0] if isinstance(value, list) and len(value) == 1 else value


def _is_stated(key: object, value: object) -> bool:
    return key in ("type", "format_version") and isinstance(value, str)


def _side(axis: _Axis, most: int) -> int:
    """Return the size of a window along an axis."""
    if isinstance(axis.size, int):
        return axis.size
    if isinstance(axis.size, _Sizes):
        return axis.size.min + max(0, (most - axis.size.min) // axis.size.step) * axis.size.step
    return most


def _cited(one: _Citation) -> str:
    return " ".join(part for part in (one.text.strip(), f"doi:{one.doi}" if one.doi else "") if part)
