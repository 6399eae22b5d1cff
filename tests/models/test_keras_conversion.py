"""Keras files become ONNX files that compute the same: compared with Keras itself, on PyTorch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")

import h5py
import keras
from keras import layers

from cryomamba.errors import InvalidRequestError
from cryomamba.trained_models.model import read_model
from cryomamba_inference.conversion.convert import ConversionOptions, convert_model
from cryomamba_inference.conversion.keras_file import read_keras_file
from cryomamba_inference.conversion.keras_to_onnx import convert_keras_model
from cryomamba_inference.conversion.onnx_session import run_once

# Keras's own arrays are behind NumPy, and it would rather have another file format.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]
SHAPE = (8, 12, 20)
CHANNELS = 3
TOLERANCE = 2e-5
# Of probabilities after a U-Net's eleven layers, each of which rounds; kernels of other processors round otherwise.
UNET_TOLERANCE = 10 * TOLERANCE


@pytest.fixture(autouse=True)
def same_weights_at_every_run() -> None:
    keras.utils.set_random_seed(7)


def input_of(sides: tuple[int | None, ...] = SHAPE, channels: int = CHANNELS) -> Any:
    return layers.Input((*sides, channels))


def saved(model: Any, folder: Path) -> Path:
    """Give all weights other values, also those that training moves from 0 and 1, and save the model."""
    random = np.random.default_rng(7)
    for weight in model.weights:
        noise = random.normal(0, 0.3, weight.shape)
        weight.assign(np.abs(noise) + 0.2 if "variance" in weight.path else noise + weight.numpy())
    model.save(folder / "model.h5")
    return folder / "model.h5"


def outputs(model: Any, path: Path, shape: tuple[int, ...] = SHAPE, channels: int = CHANNELS) -> tuple[Any, Any]:
    """Return what the ONNX file and Keras make of noise, both with the channels second."""
    noise = np.random.default_rng(1).normal(size=(1, *shape, channels)).astype(np.float32)
    converted = convert_keras_model(read_keras_file(path), path.name)
    found = run_once(converted.onnx, np.ascontiguousarray(noise.transpose(0, 4, 1, 2, 3)))
    return found, np.asarray(model.predict(noise, verbose=0)).transpose(0, 4, 1, 2, 3)


LAYERS: dict[str, Callable[[], Any]] = {
    "same": lambda: layers.Conv3D(4, (3, 5, 2), padding="same"),
    "valid": lambda: layers.Conv3D(4, 3, padding="valid", use_bias=False),
    "strided": lambda: layers.Conv3D(4, 3, strides=(2, 2, 1), padding="same", activation="elu"),
    "strided over odd sizes": lambda: layers.Conv3D(4, 2, strides=3, padding="same"),
    "dilated": lambda: layers.Conv3D(4, 3, dilation_rate=2, padding="same", activation="tanh"),
    "groups": lambda: layers.Conv3D(6, 3, groups=3, padding="same"),
    "transposed": lambda: layers.Conv3DTranspose(4, 2, strides=2, padding="valid"),
    "transposed same": lambda: layers.Conv3DTranspose(4, 2, strides=2, padding="same", activation="relu"),
    "transposed overlapping": lambda: layers.Conv3DTranspose(4, 4, strides=2, padding="same"),
    "max pooling": lambda: layers.MaxPooling3D((1, 2, 2)),
    "max pooling same": lambda: layers.MaxPooling3D(3, strides=2, padding="same"),
    "average pooling": lambda: layers.AveragePooling3D(2),
    "upsampling": lambda: layers.UpSampling3D((1, 2, 3)),
    "batch normalization": lambda: layers.BatchNormalization(epsilon=0.01),
    "batch normalization alone": lambda: layers.BatchNormalization(scale=False, center=False),
    "relu": lambda: layers.ReLU(max_value=1.0, negative_slope=0.1),
    "leaky relu": lambda: layers.LeakyReLU(0.2),
    "prelu": lambda: layers.PReLU(shared_axes=[1, 2, 3]),
    "elu": lambda: layers.ELU(0.7),
    "softmax": lambda: layers.Softmax(),
    "softplus": lambda: layers.Activation("softplus"),
    "swish": lambda: layers.Activation("silu"),
    "leaky": lambda: layers.Activation("leaky_relu"),
    "selu": lambda: layers.Activation("selu"),
    "sigmoid": lambda: layers.Activation("sigmoid"),
    "relu6": lambda: layers.Activation("relu6"),
    "zero padding": lambda: layers.ZeroPadding3D(((1, 0), (0, 2), (3, 1))),
    "cropping": lambda: layers.Cropping3D(((1, 0), (0, 2), (3, 1))),
    "dropout": lambda: layers.SpatialDropout3D(0.5),
    "rescaling": lambda: layers.Rescaling(0.5, 2.0),
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_computes_what_keras_computes(name: str, tmp_path: Path) -> None:
    """A layer's output equals that of Keras within rounding, and has its shape."""
    model = keras.Sequential([input_of(), LAYERS[name]()])
    found, expected = outputs(model, saved(model, tmp_path))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


def unet(sides: tuple[int | None, ...] = (None, None, None), classes: int = 3, **options: Any) -> Any:
    """A U-Net of three levels with all that such networks are made of."""
    start = input_of(sides, 1)
    fine = layers.BatchNormalization()(layers.Conv3D(8, 3, padding="same", activation="relu")(start))
    middle = layers.LeakyReLU()(layers.Conv3D(12, 3, padding="same")(layers.MaxPooling3D()(fine)))
    coarse = layers.PReLU(shared_axes=[1, 2, 3])(layers.Conv3D(16, 3, strides=2, padding="same")(middle))
    coarse = layers.Add()([coarse, layers.Dropout(0.3)(layers.Conv3D(16, 1)(coarse))])
    up = layers.Conv3DTranspose(12, 2, strides=2, padding="same")(coarse)
    up = layers.ELU()(layers.Conv3D(12, 3, padding="same")(layers.Concatenate()([up, middle])))
    up = layers.Concatenate()([layers.UpSampling3D()(up), fine])
    return keras.Model(start, layers.Conv3D(classes, 1, **({"activation": "softmax"} | options))(up))


def test_a_unet_computes_what_keras_computes(tmp_path: Path) -> None:
    """A U-Net for any size does so for several, and states of what they must be multiples."""
    model = unet()
    path = saved(model, tmp_path)
    for shape in ((16, 16, 16), (8, 12, 20)):
        found, expected = outputs(model, path, shape, 1)
        np.testing.assert_allclose(found, expected, rtol=0, atol=UNET_TOLERANCE)
    converted = convert_keras_model(read_keras_file(path), path.name)
    assert (converted.multiple, converted.window, converted.channels_out) == ((4, 4, 4), None, 3)


def test_a_file_of_keras_2_means_the_same(tmp_path: Path) -> None:
    """The layout of Keras 2 (connections as lists, weights with ':0', options by old names) gives the same network."""
    model = unet()
    new = saved(model, tmp_path)
    old = tmp_path / "old.h5"
    with h5py.File(new) as source, h5py.File(old, "w") as target:
        config = json.loads(source.attrs["model_config"])
        target.attrs["model_config"] = json.dumps(as_keras_2(config)).encode()
        for name, group in source["model_weights"].items():
            paths = [str(path) for path in group.attrs.get("weight_names", ())]
            copy = target.create_group(f"model_weights/{name}")
            copy.attrs["weight_names"] = [f"{name}/{path.rpartition('/')[2]}:0".encode() for path in paths]
            for path in paths:
                copy.create_dataset(f"{name}/{path.rpartition('/')[2]}:0", data=group[path])
    found, expected = outputs(model, old, (8, 12, 20), 1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=UNET_TOLERANCE)


def as_keras_2(config: dict[str, Any]) -> dict[str, Any]:
    """Write a functional model's description as Keras 2 does."""

    def tensors(value: Any) -> list[list[Any]]:
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            return [[*value["config"]["keras_history"], {}]]
        items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
        return [tensor for item in items for tensor in tensors(item)]

    config["class_name"] = "Model"
    for layer in config["config"]["layers"]:
        layer["inbound_nodes"] = [tensors(node["args"]) for node in layer["inbound_nodes"]]
        options = layer["config"]
        options.pop("dtype", None)
        if layer["class_name"] == "LeakyReLU":
            options["alpha"] = options.pop("negative_slope")
        if "batch_shape" in options:
            options["batch_input_shape"] = options.pop("batch_shape")
    for end in ("input_layers", "output_layers"):
        found = config["config"][end]
        config["config"][end] = [found] if isinstance(found[0], str) else found
    return config


def test_a_shared_layer_is_applied_at_each_of_its_calls(tmp_path: Path) -> None:
    """A layer that is called twice computes twice, with the same weights."""
    start = input_of()
    shared = layers.Conv3D(CHANNELS, 3, padding="same", activation="tanh")
    model = keras.Model(start, layers.Subtract()([shared(shared(start)), start]))
    found, expected = outputs(model, saved(model, tmp_path))
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_the_folder_is_a_model(tmp_path: Path) -> None:
    """A converted file becomes a folder that is read as a model, with what was asked for and what the file states."""
    path = saved(unet((32, 32, 32)), tmp_path)
    options = ConversionOptions(
        title="Lab's net", labels=("membrane", "ribosome"), voxel_size_A=(13.0, 13.0, 13.0), licence="CC-BY-4.0"
    )
    convert_model(path, tmp_path / "new" / "net", options)
    model = read_model(tmp_path / "new" / "net")
    described = model.description
    assert described.kind == "onnx"
    assert described.labels == {1: "membrane", 2: "ribosome"}
    assert (described.scores, described.logits, described.window) == ("softmax", False, (32, 32, 32))
    assert (described.title, described.licence, described.voxel_size_A) == (
        "Lab's net",
        "CC-BY-4.0",
        (13.0, 13.0, 13.0),
    )
    assert [item.name for item in (tmp_path / "new").iterdir()] == ["net"]


@pytest.mark.parametrize(
    ("classes", "activation", "expected"),
    [(2, "sigmoid", ("sigmoid", False, 2)), (1, "linear", ("sigmoid", True, 1)), (3, "linear", ("softmax", True, 2))],
)
def test_what_the_last_layer_gives_is_recognized(
    classes: int, activation: str, expected: tuple[str, bool, int], tmp_path: Path
) -> None:
    """Probabilities are told from scores that must still be normalized, by the last layer."""
    path = saved(unet(classes=classes, activation=activation), tmp_path)
    described = convert_model(path, tmp_path / "net").description
    assert (described.scores, described.logits, len(described.labels)) == expected
    assert all(side % 4 == 0 for side in described.window)


def with_lambda() -> Any:
    start = input_of()
    return keras.Model(start, layers.Lambda(lambda tensor: tensor * 2, name="twice")(start))


def with_two_outputs() -> Any:
    start = input_of()
    return keras.Model(start, [layers.Conv3D(1, 1)(start), layers.Conv3D(2, 1)(start)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (with_lambda, "'twice' (Lambda)"),
        (with_two_outputs, "2 outputs"),
        (lambda: keras.Sequential([input_of(), layers.GroupNormalization(3, name="gn")]), "'gn' (GroupNormalization)"),
        (lambda: keras.Sequential([input_of(), layers.PReLU(name="p")]), "slopes of its own for each voxel"),
        (lambda: keras.Sequential([input_of(), layers.Activation("gelu", name="a")]), "'gelu'"),
        (lambda: keras.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(2, 3)]), "its input is not a volume"),
    ],
    ids=["lambda", "outputs", "layer", "option", "activation", "sections"],
)
def test_what_cannot_be_converted_is_refused_by_name(make: Callable[[], Any], message: str, tmp_path: Path) -> None:
    """The error names the layer or part; nothing is written."""
    model = make()
    model.save(tmp_path / "model.h5")
    with pytest.raises(InvalidRequestError) as refused:
        convert_model(tmp_path / "model.h5", tmp_path / "net")
    assert message in refused.value.message
    assert refused.value.hint
    assert [item.name for item in tmp_path.iterdir()] == ["model.h5"]


def test_a_network_whose_output_is_smaller_is_refused(tmp_path: Path) -> None:
    """Windows must keep their size; the error says so in voxels."""
    path = saved(keras.Sequential([input_of((20, 20, 20), 1), layers.Conv3D(2, 3, activation="softmax")]), tmp_path)
    with pytest.raises(InvalidRequestError, match="its output for 20 × 20 × 20 voxels has 18 × 18 × 18"):
        convert_model(path, tmp_path / "net")


def test_weights_alone_are_refused(tmp_path: Path) -> None:
    """A file of weights does not tell the layers, and the error says how to make one that does."""
    unet().save_weights(tmp_path / "only.weights.h5")
    with pytest.raises(InvalidRequestError, match="does not describe the model's layers"):
        convert_model(tmp_path / "only.weights.h5", tmp_path / "net")


def test_a_link_to_another_file_is_not_followed(tmp_path: Path) -> None:
    """Weights that are a link to another file are refused."""
    path = saved(keras.Sequential([input_of(), layers.Conv3D(2, 3, name="c")]), tmp_path)
    path.rename(tmp_path / "other.h5")
    with h5py.File(tmp_path / "other.h5") as source, h5py.File(path, "w") as file:
        file.attrs["model_config"] = source.attrs["model_config"]
        file.create_group("model_weights")["c"] = h5py.ExternalLink("other.h5", "model_weights/c")
    with pytest.raises(InvalidRequestError, match="is missing or a link"):
        convert_model(path, tmp_path / "net")


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n" + bytes(500), b"not hdf5"], ids=["empty", "cut", "text"])
def test_a_broken_file_is_refused_in_words(content: bytes, tmp_path: Path) -> None:
    """A file that is not HDF5 or damaged ends in a sentence."""
    (tmp_path / "model.h5").write_bytes(content)
    with pytest.raises(InvalidRequestError, match=r"'model\.h5' cannot be converted"):
        convert_model(tmp_path / "model.h5", tmp_path / "net")
