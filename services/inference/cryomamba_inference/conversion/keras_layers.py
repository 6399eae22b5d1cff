"""The Keras layers that 3D segmentation networks are made of, as ONNX nodes. Axes are batch, channels, z, y, x.

Keras stores kernels as (z, y, x, in, out), and those of transposed convolutions as (z, y, x, out, in). The padding
``same`` puts the odd voxel at the end, as ONNX's ``SAME_UPPER``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cryomamba_inference.conversion.keras_file import Layer
from cryomamba_inference.conversion.onnx_graph import GraphBuilder

Convert = Callable[[GraphBuilder, Layer, Sequence[str]], str]
_SPATIAL: Final = 3
_CHANNELS: Final = 1
_CHANNELS_LAST: Final = (-1, 4)


class UnsupportedError(ValueError):
    """An option of a layer has no counterpart here; the message completes "the layer … "."""


def convert_layer(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:
    """Append the nodes of a layer and return the name of its output.

    Raises
    ------
    UnsupportedError
        The layer or one of its options is not supported.
    """
    if layer.kind not in LAYERS:
        raise UnsupportedError("is of a kind that cannot be converted")
    if layer.config.get("data_format") not in (None, "channels_last", "channels_first"):
        raise UnsupportedError("has an unknown data_format")
    result = LAYERS[layer.kind](graph, layer, inputs)
    activation = layer.config.get("activation") if layer.kind in _WITH_ACTIVATION else None
    return _activate(graph, activation, result) if activation is not None else result


def magnification(layer: Layer) -> tuple[Fraction, Fraction, Fraction]:
    """Return how much finer (z, y, x) the output of a layer is than its input."""
    z, y, x = (Fraction(1),) * _SPATIAL
    if layer.kind in ("Conv3D", "MaxPooling3D", "AveragePooling3D"):
        strides = layer.config.get("strides") or layer.config.get("pool_size", 2)
        z, y, x = (Fraction(1, stride) for stride in _triple(strides))
    elif layer.kind in ("Conv3DTranspose", "UpSampling3D"):
        z, y, x = (Fraction(factor) for factor in _triple(layer.config.get("strides", layer.config.get("size", 2))))
    return z, y, x


def _triple(value: object) -> list[int]:
    numbers = list(value) if isinstance(value, Sequence) else [value] * _SPATIAL
    if len(numbers) != _SPATIAL:
        raise UnsupportedError("is not three-dimensional")
    return [int(str(number)) for number in numbers]


def _kernel(layer: Layer, name: str = "kernel") -> NDArray[np.float32]:
    kernel = _weight(layer, name)
    if kernel.ndim != _SPATIAL + 2:
        raise UnsupportedError("is not three-dimensional")
    return kernel


def _weight(layer: Layer, name: str) -> NDArray[np.float32]:
    if name not in layer.weights:
        raise UnsupportedError(f"lacks its weights '{name}'")
    return layer.weights[name]


def _bias(graph: GraphBuilder, layer: Layer) -> list[str]:
    return [graph.constant(_weight(layer, "bias"))] if layer.config.get("use_bias", True) else []


def _padding(layer: Layer) -> dict[str, str]:
    padding = layer.config.get("padding", "valid")
    if padding not in ("same", "valid"):
        raise UnsupportedError(f"has the padding '{padding}'")
    return {"auto_pad": "SAME_UPPER"} if padding == "same" else {}


def _convolution(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:
    kernel = _kernel(layer)
    strides = _triple(layer.config.get("strides", 1))
    dilations = _triple(layer.config.get("dilation_rate", 1))
    padding: dict[str, Any] = dict(_padding(layer))
    if padding and strides == [1, 1, 1]:
        # The same for every size of the input, and faster where a dilated convolution would be padded apart.
        total = [rate * (size - 1) for rate, size in zip(dilations, kernel.shape, strict=False)]
        padding = {"pads": [count // 2 for count in total] + [count - count // 2 for count in total]}
    return graph.add(
        "Conv",
        [*inputs, graph.constant(kernel.transpose(4, 3, 0, 1, 2)), *_bias(graph, layer)],
        kernel_shape=kernel.shape[:_SPATIAL],
        strides=strides,
        dilations=dilations,
        group=int(layer.config.get("groups", 1)),
        **padding,
    )


def _transposed_convolution(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:
    if layer.config.get("output_padding") is not None or _triple(layer.config.get("dilation_rate", 1)) != [1, 1, 1]:
        raise UnsupportedError("is a transposed convolution with output_padding or dilation")
    kernel = _kernel(layer)
    strides = _triple(layer.config.get("strides", 1))
    pairs = list(zip(kernel.shape, strides, strict=False))
    # `same` gives the size times the stride; `valid` what the kernel covers, and never less than that.
    cut = [max(size - stride, 0) if _padding(layer) else 0 for size, stride in pairs]
    return graph.add(
        "ConvTranspose",
        [*inputs, graph.constant(kernel.transpose(4, 3, 0, 1, 2)), *_bias(graph, layer)],
        kernel_shape=kernel.shape[:_SPATIAL],
        strides=strides,
        output_padding=[max(stride - size, 0) for size, stride in pairs],
        pads=[count // 2 for count in cut] + [count - count // 2 for count in cut],
    )


def _pooling(operator: str) -> Convert:
    def convert(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:
        size = _triple(layer.config.get("pool_size", 2))
        strides = layer.config.get("strides")
        return graph.add(operator, inputs, kernel_shape=size, strides=_triple(strides or size), **_padding(layer))

    return convert


def _upsampling(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:
    if layer.config.get("interpolation", "nearest") != "nearest":
        raise UnsupportedError("interpolates")
    scales = graph.constant([1, 1, *_triple(layer.config.get("size", 2))])
    options = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return graph.add("Resize", [*inputs, "", scales], **options)


def _batch_normalization(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:
    _require_channel_axis(layer)
    mean, variance = _weight(layer, "moving_mean"), _weight(layer, "moving_variance")
    gamma = _weight(layer, "gamma") if layer.config.get("scale", True) else np.ones_like(mean)
    beta = _weight(layer, "beta") if layer.config.get("center", True) else np.zeros_like(mean)
    constants = [graph.constant(value) for value in (gamma, beta, mean, variance)]
    return graph.add("BatchNormalization", [*inputs, *constants], epsilon=float(layer.config.get("epsilon", 1e-3)))


def _require_channel_axis(layer: Layer, default: int = -1) -> None:
    axis = layer.config.get("axis", default)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    first = layer.config.get("data_format") == "channels_first"
    if axis not in ((_CHANNELS,) if first else (_CHANNELS, *_CHANNELS_LAST)):
        raise UnsupportedError("works along an axis that is not that of the channels")


def _activation(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:
    return _activate(graph, layer.config.get("activation"), inputs[0])


def _activate(graph: GraphBuilder, name: object, value: str) -> str:
    if isinstance(name, Mapping):  # Keras 2 may write an object
        name = name.get("config") if isinstance(name.get("config"), str) else name.get("class_name")
    if name in ("linear", None):
        return value
    if name == "relu6":
        return graph.add("Clip", [value, graph.constant(0), graph.constant(6)])
    if name in ("swish", "silu"):
        return graph.add("Mul", [value, graph.add("Sigmoid", [value])])
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise UnsupportedError(f"has the activation '{str(name)[:100]}', which cannot be converted")
    operator, options = _ACTIVATIONS[name]
    return graph.add(operator, [value], **options)


def _relu(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:
    if layer.config.get("threshold"):
        raise UnsupportedError("is a ReLU with a threshold")
    slope, limit = layer.config.get("negative_slope"), layer.config.get("max_value")
    value = graph.add("LeakyRelu", inputs, alpha=float(slope)) if slope else graph.add("Relu", inputs)
    return value if limit is None else graph.add("Min", [value, graph.constant(limit)])


def _leaky_relu(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:
    slope = layer.config.get("negative_slope", layer.config.get("alpha", 0.3))
    return graph.add("LeakyRelu", inputs, alpha=_plain(slope))


def _elu(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:
    return graph.add("Elu", inputs, alpha=_plain(layer.config.get("alpha", 1.0)))


def _plain(value: object) -> float:
    """Return a number that Keras may have written as a serialized array."""
    if isinstance(value, Mapping):
        value = value.get("value", value.get("config", {}).get("value"))
    if value is None:
        raise UnsupportedError("has a slope that is not a number")
    return float(np.asarray(value))


def _prelu(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:
    alpha = _weight(layer, "alpha")
    if alpha.ndim != _SPATIAL + 1 or alpha.size != alpha.shape[-1]:
        raise UnsupportedError("has slopes of its own for each voxel (PReLU without shared_axes)")
    return graph.add("PRelu", [*inputs, graph.constant(alpha.reshape(-1, 1, 1, 1))])


def _softmax(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:
    _require_channel_axis(layer)
    return graph.add("Softmax", inputs, axis=_CHANNELS)


def _concatenate(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:
    _require_channel_axis(layer)
    return graph.add("Concat", inputs, axis=_CHANNELS)


def _merge(operator: str) -> Convert:
    def convert(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:  # noqa: ARG001 (the type of all)
        result = inputs[0]
        for other in inputs[1:]:
            result = graph.add(operator, [result, other])
        return result

    return convert


def _margins(layer: Layer, option: str) -> list[tuple[int, int]]:
    value = layer.config.get(option, 1)
    pairs = list(value) if isinstance(value, Sequence) else [value] * _SPATIAL
    pairs = [tuple(pair) if isinstance(pair, Sequence) else (pair, pair) for pair in pairs]
    if len(pairs) != _SPATIAL:
        raise UnsupportedError("is not three-dimensional")
    return [(int(before), int(after)) for before, after in pairs]


def _zero_padding(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:
    margins = _margins(layer, "padding")
    pads = [0, 0, *(before for before, _ in margins), 0, 0, *(after for _, after in margins)]
    return graph.add("Pad", [*inputs, graph.constant(pads, np.int64)])


def _cropping(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:
    margins = _margins(layer, "cropping")
    end = np.iinfo(np.int64).max
    starts = graph.constant([before for before, _ in margins], np.int64)
    ends = graph.constant([-after if after else end for _, after in margins], np.int64)
    return graph.add("Slice", [*inputs, starts, ends, graph.constant([2, 3, 4], np.int64)])


def _rescaling(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:
    scaled = graph.add("Mul", [*inputs, graph.constant(layer.config["scale"])])
    return graph.add("Add", [scaled, graph.constant(layer.config.get("offset", 0.0))])


def _pass_on(graph: GraphBuilder, layer: Layer, inputs: Sequence[str]) -> str:  # noqa: ARG001 (the type of all)
    return inputs[0]


_WITH_ACTIVATION: Final = {"Conv3D", "Conv3DTranspose"}
_ACTIVATIONS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "relu": ("Relu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.2}),
    "elu": ("Elu", {"alpha": 1.0}),
    "selu": ("Selu", {}),
    "sigmoid": ("Sigmoid", {}),
    "softmax": ("Softmax", {"axis": _CHANNELS}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "tanh": ("Tanh", {}),
}
LAYERS: Final[Mapping[str, Convert]] = {
    "Activation": _activation,
    "Add": _merge("Add"),
    "AveragePooling3D": _pooling("AveragePool"),
    "BatchNormalization": _batch_normalization,
    "Concatenate": _concatenate,
    "Conv3D": _convolution,
    "Conv3DTranspose": _transposed_convolution,
    "Cropping3D": _cropping,
    "Dropout": _pass_on,
    "ELU": _elu,
    "GaussianDropout": _pass_on,
    "GaussianNoise": _pass_on,
    "LeakyReLU": _leaky_relu,
    "MaxPooling3D": _pooling("MaxPool"),
    "Maximum": _merge("Max"),
    "Multiply": _merge("Mul"),
    "PReLU": _prelu,
    "ReLU": _relu,
    "Rescaling": _rescaling,
    "Softmax": _softmax,
    "SpatialDropout3D": _pass_on,
    "Subtract": _merge("Sub"),
    "UpSampling3D": _upsampling,
    "ZeroPadding3D": _zero_padding,
}
