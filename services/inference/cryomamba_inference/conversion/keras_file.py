"""Reads Keras models from HDF5 files (``.h5``): layers, connections and weights, without Keras or TensorFlow.

Nothing of a file is executed: layers are known by name, and code that a file may hold (``Lambda``) is not even decoded.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import numpy as np
from numpy.typing import NDArray

from cryomamba.errors import InvalidRequestError
from cryomamba.optional_imports import requires_extra

if TYPE_CHECKING:
    import h5py

WEIGHTS_BYTES_MAX: Final = 2**31 - 2**24
"""An ONNX file holds less than 2 GiB."""
_SAVE_AGAIN: Final = "Open it in Keras and save it with: model.save('model.h5')."

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Tensor:
    """An output of a layer: of which layer, and of which of its calls."""

    layer: str
    call: int = 0


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of a Keras model.

    Attributes
    ----------
    name, kind : str
        The layer's own name, and its class in Keras.
    config : mapping
        Its options, as Keras writes them.
    calls : sequence of sequence of Tensor
        The inputs of each call of the layer; one call unless the layer is shared.
    weights : mapping of str to array
        By their names in Keras, such as ``kernel``.
    """

    name: str
    kind: str
    config: Mapping[str, Any]
    calls: Sequence[Sequence[Tensor]]
    weights: Weights = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KerasModel:
    """Layers in the order in which they are stored, and the input and output tensors."""

    layers: Sequence[Layer]
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]


def read_keras_file(path: Path) -> KerasModel:
    """Read a model from an HDF5 file that Keras 2 or 3 wrote.

    Raises
    ------
    InvalidRequestError
        The file is no HDF5 file, has weights without the model's layers, or links to other files.
    """
    with requires_extra("convert"):
        import h5py
    try:
        with h5py.File(path, "r") as file:
            return _model(file, path.name)
    except (OSError, KeyError, RuntimeError) as error:
        raise _broken(path.name, f"it is not a readable HDF5 file ({str(error)[:200]})") from error


def _model(file: h5py.File, name: str) -> KerasModel:
    if "model_config" not in file.attrs:
        hint = "Build the model in Keras, load the weights into it, and save the whole: model.save('model.h5')."
        raise _broken(name, "it has weights, but does not describe the model's layers", hint)
    try:
        config = json.loads(file.attrs["model_config"])
        kind, inner = config["class_name"], config["config"]
        entries = inner if isinstance(inner, list) else inner["layers"]
        found = _sequential(entries) if kind == "Sequential" else _functional(kind, inner, entries, name)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise _broken(name, "its description of the model's layers is incomplete or damaged") from error
    return _with_weights(found, _entry(file, "model_weights", name), name)


def _sequential(entries: Sequence[Mapping[str, Any]]) -> KerasModel:
    layers: list[Layer] = []
    if entries[0]["class_name"] != "InputLayer":
        options = entries[0]["config"]
        shape = options.get("batch_input_shape", options.get("batch_shape"))
        layers.append(Layer("input", "InputLayer", {"batch_input_shape": shape}, [[]]))
    for entry in entries:
        inputs = [Tensor(layers[-1].name)] if layers else []
        layers.append(Layer(str(entry["config"]["name"]), str(entry["class_name"]), entry["config"], [inputs]))
    return KerasModel(layers, [Tensor(layers[0].name)], [Tensor(layers[-1].name)])


def _functional(kind: str, inner: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], name: str) -> KerasModel:
    if kind not in ("Functional", "Model"):
        raise _broken(name, f"it is a model of the class '{kind[:100]}', which only its own code can build")
    layers = [
        Layer(
            str(entry["config"]["name"]),
            str(entry["class_name"]),
            entry["config"],
            [list(_tensors(node)) for node in entry["inbound_nodes"]] or [[]],
        )
        for entry in entries
    ]
    return KerasModel(layers, list(_tensors(inner["input_layers"])), list(_tensors(inner["output_layers"])))


def _tensors(node: object) -> Iterator[Tensor]:
    """Find the tensors in a node: ``["layer", call, output, …]`` in Keras 2, records with a history in Keras 3."""
    if _is_history(node):
        yield Tensor(node[0], node[1])
    elif isinstance(node, list):
        for item in node:
            yield from _tensors(item)
    elif isinstance(node, dict):
        history = node.get("config", {}).get("keras_history") if node.get("class_name") == "__keras_tensor__" else None
        for item in [history] if history else node.values():
            yield from _tensors(item)


def _is_history(node: object) -> TypeGuard[list[Any]]:
    return isinstance(node, list) and len(node) >= 3 and isinstance(node[0], str) and isinstance(node[1], int)


def _with_weights(model: KerasModel, file: h5py.Group, name: str) -> KerasModel:
    layers = []
    size = 0
    for layer in model.layers:
        group = _entry(file, layer.name, name) if layer.name in file else None
        paths = _attribute(group, "weight_names") if group is not None else []
        stored = [(path, _own_data(group, path, name)) for path in paths]
        size += sum(4 * math.prod(data.shape) for _, data in stored)
        if size > WEIGHTS_BYTES_MAX:
            raise _broken(name, "its weights are larger than the 2 GB that an ONNX file can hold", hint="")
        # `conv/kernel:0` in Keras 2, `conv/kernel` in Keras 3.
        weights = {path.rpartition("/")[2].partition(":")[0]: np.asarray(data, np.float32) for path, data in stored}
        layers.append(Layer(layer.name, layer.kind, layer.config, layer.calls, weights))
    return KerasModel(layers, model.inputs, model.outputs)


def _attribute(group: h5py.Group, name: str) -> list[str]:
    """Return a list of names; long ones are stored in parts."""
    parts = [name] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(f"{name}{len(parts)}")
    values = [value for part in parts for value in group.attrs[part]]
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _entry(group: h5py.Group, path: str, name: str) -> h5py.Group | h5py.Dataset:
    """Return a part of the file, step by step, so that no link to another file is followed."""
    import h5py

    entry = group
    for step in path.split("/"):
        if not isinstance(entry.get(step, getlink=True), h5py.HardLink):
            raise _broken(name, f"its part '{path[:100]}' is missing or a link")
        entry = entry[step]
    return entry


def _own_data(group: h5py.Group, path: str, name: str) -> h5py.Dataset:
    """Return weights, not yet read; those stored in other files are refused."""
    import h5py

    data = _entry(group, path, name)
    if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual or data.dtype.kind != "f":
        raise _broken(name, f"the weights '{path[:100]}' are not numbers stored in the file itself")
    return data


def _broken(name: str, reason: str, hint: str = _SAVE_AGAIN) -> InvalidRequestError:
    return InvalidRequestError(f"'{name[:128]}' cannot be converted: {reason}.", hint=hint)
