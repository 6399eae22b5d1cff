"""Turns the layers of a Keras model into an ONNX graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from cryomamba.errors import InvalidRequestError
from cryomamba.geometry import Shape
from cryomamba_inference.conversion.converted import ConvertedNetwork, Function
from cryomamba_inference.conversion.keras_file import KerasModel, Layer, Tensor
from cryomamba_inference.conversion.keras_layers import LAYERS, UnsupportedError, convert_layer, magnification
from cryomamba_inference.conversion.onnx_graph import INPUT, GraphBuilder

Scale = tuple[Fraction, Fraction, Fraction]
_INPUT: Final = "InputLayer"
_RANK: Final = 5
_UNIT: Final = (Fraction(1), Fraction(1), Fraction(1))
_EXPORT: Final = "Replace it in Keras, or let Keras write the ONNX file: model.export('model.onnx', format='onnx')."


def convert_keras_model(model: KerasModel, name: str) -> ConvertedNetwork:
    """Return the ONNX graph of a Keras model with one input and one output.

    Parameters
    ----------
    model : KerasModel
    name : str
        Of the file, for messages.

    Raises
    ------
    InvalidRequestError
        A layer cannot be converted; the message names it.
    """
    for kind, tensors in (("inputs", model.inputs), ("outputs", model.outputs)):
        if len(tensors) != 1:
            hint = "Make a model with one input and one output in Keras, and save that."
            raise _refusal(name, f"it has {len(tensors)} {kind}", hint)
    layers = {layer.name: layer for layer in model.layers}
    first, last = layers.get(model.inputs[0].layer), layers.get(model.outputs[0].layer)
    if first is None or last is None:
        raise _refusal(name, "its description of the model's layers is incomplete")
    channels, *sides = _input_shape(first, model, name)
    converter = _Converter(model, name)
    converter.convert()
    onnx, channels_out = converter.graph.serialize(converter.tensors[model.outputs[0]], channels)
    return ConvertedNetwork(
        onnx=onnx,
        channels_in=channels,
        channels_out=channels_out,
        window=(sides[0], sides[1], sides[2]) if all(sides) else None,
        multiple=converter.multiple(),
        final=_final(last),
    )


class _Converter:
    """Converts layer after layer, each as soon as its inputs are there."""

    def __init__(self, model: KerasModel, name: str) -> None:
        self.graph = GraphBuilder()
        self.tensors: dict[Tensor, str] = {model.inputs[0]: INPUT}
        # How much finer than the input each tensor is.
        self._scales: dict[Tensor, Scale] = {model.inputs[0]: _UNIT}
        self._name = name
        self._output = model.outputs[0]
        self._waiting = [
            (Tensor(layer.name, number), layer, inputs)
            for layer in model.layers
            for number, inputs in enumerate(layer.calls)
            if layer.kind != _INPUT
        ]

    def convert(self) -> None:
        while self._output not in self.tensors:
            ready = [each for each in self._waiting if all(tensor in self.tensors for tensor in each[2])]
            if not ready:
                raise _refusal(self._name, "its layers do not lead from the input to the output")
            for tensor, layer, inputs in ready:
                self._convert(tensor, layer, inputs)
            self._waiting = [each for each in self._waiting if each[0] not in self.tensors]

    def _convert(self, tensor: Tensor, layer: Layer, inputs: Sequence[Tensor]) -> None:
        layer_text = f"its layer '{layer.name[:100]}' ({layer.kind[:100]})"
        try:
            if not inputs:
                raise UnsupportedError("has no input")
            self.tensors[tensor] = convert_layer(self.graph, layer, [self.tensors[each] for each in inputs])
            z, y, x = self._scales[inputs[0]]
            finer = magnification(layer)
            self._scales[tensor] = (z * finer[0], y * finer[1], x * finer[2])
        except UnsupportedError as error:
            supported = f"The kinds that can be converted: {', '.join(sorted(LAYERS))}."
            raise _refusal(self._name, f"{layer_text} {error}", f"{_EXPORT} {supported}") from None
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise _refusal(self._name, f"{layer_text} has options or weights that do not fit it") from error

    def multiple(self) -> Shape:
        """Return of what each side of a window must be a multiple, so that all levels meet again."""
        z, y, x = (math.lcm(*(scale[axis].denominator for scale in self._scales.values())) for axis in range(3))
        return z, y, x


def _input_shape(layer: Layer, model: KerasModel, name: str) -> list[int]:
    """Return channels, z, y and x; 0 for a side of any length."""
    shape = layer.config.get("batch_input_shape", layer.config.get("batch_shape"))
    if not isinstance(shape, list) or len(shape) != _RANK:
        raise _refusal(name, "its input is not a volume with channels")
    formats = {str(each.config["data_format"]) for each in model.layers if each.config.get("data_format")}
    if len(formats) > 1:
        raise _refusal(name, "some of its layers have the channels first, others last")
    ordered = shape[1:] if formats == {"channels_first"} else [shape[-1], *shape[1:-1]]
    if not all(isinstance(size, int) and size > 0 for size in ordered if size is not None) or ordered[0] is None:
        raise _refusal(name, "the shape of its input is not known")
    return [size or 0 for size in ordered]


def _final(layer: Layer) -> Function | None:
    """Return the function that the network applies last, if it makes scores."""
    name = "softmax" if layer.kind == "Softmax" else layer.config.get("activation")
    if name == "softmax":
        return "softmax"
    return "sigmoid" if name == "sigmoid" else None


def _refusal(name: str, reason: str, hint: str = "Open it in Keras and change it there.") -> InvalidRequestError:
    return InvalidRequestError(f"'{name[:128]}' cannot be converted: {reason}.", hint=hint)
