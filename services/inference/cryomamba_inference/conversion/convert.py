"""Converts a model of another framework into a folder with ONNX files and ``model.toml``."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cryomamba.engines.windows import probabilities
from cryomamba.errors import InvalidRequestError
from cryomamba.geometry import Shape, Spacing
from cryomamba.trained_models.description import ModelDescription, TestCase
from cryomamba.trained_models.model import TOML, Model, read_model
from cryomamba.trained_models.nnunet_folder import read_plans
from cryomamba.trained_models.normalization import ZeroMeanUnitVariance
from cryomamba_inference.conversion.keras_file import read_keras_file
from cryomamba_inference.conversion.keras_to_onnx import convert_keras_model
from cryomamba_inference.conversion.onnx_session import run_once
from cryomamba_inference.conversion.sidecar import sidecar_toml
from cryomamba_inference.conversion.torch_to_onnx import Array, Export, export_network
from cryomamba_inference.torch_networks.loaders import load_folds
from cryomamba_inference.torch_networks.membrain import MULTIPLE, load_membrain
from cryomamba_inference.torch_networks.nnunet import window_multiple
from cryomamba_inference.trained_models.normalizer import Normalizer

if TYPE_CHECKING:
    from torch.nn import Module

KERAS: Final = (".h5", ".hdf5")
_WINDOW: Final = 96
_TEST_SIDE: Final = 32
_SEED: Final = 20
_HINTS: Final = {
    ".keras": "Open it in Keras and save it as HDF5: model.save('model.h5').",
    ".onnx": f"It is ONNX already: write a {TOML} beside it.",
    ".pt": f'Run it as it is, as TorchScript: write a {TOML} with kind = "torchscript" beside it.',
    ".pth": "Of nnU-Net, give the results folder with plans.json; other weights need the code of their network.",
}


@dataclass(frozen=True, slots=True)
class ConversionOptions:
    """What people know of a model and its file may not say; None and empty for what the file says.

    Attributes
    ----------
    title, licence : str
    labels : sequence of str
        Names of labels 1, 2, ….
    voxel_size_A : tuple of float or None
        Ångström (z, y, x) that the model was trained for.
    window : tuple of int or None
        Voxels (z, y, x) that it sees at once.
    """

    title: str = ""
    licence: str = ""
    labels: Sequence[str] = ()
    voxel_size_A: Spacing | None = None
    window: Shape | None = None


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was written.

    Attributes
    ----------
    folder : Path
    description : ModelDescription
    deviation : float or None
        Largest difference between the ONNX files' output and that of the network's own framework, in standard
        deviations of the output; None if that framework was not needed, and so not asked.
    """

    folder: Path
    description: ModelDescription
    deviation: float | None


@dataclass(frozen=True, slots=True)
class _Converted:
    description: ModelDescription
    files: dict[str, bytes]
    deviation: float | None = None


def convert_model(source: Path, folder: Path, options: ConversionOptions = ConversionOptions()) -> Conversion:
    """Convert a Keras ``.h5`` file, a MemBrain-seg checkpoint or an nnU-Net results folder.

    Parameters
    ----------
    source : Path
    folder : Path
        Is made, whole or not at all; it must not exist.
    options : ConversionOptions

    Raises
    ------
    InvalidRequestError
        The model is of another kind, is broken, or has parts that cannot be converted; the message names them.
    """
    if not source.exists():
        raise InvalidRequestError(f"There is no '{source.name[:128]}'.", hint="Check the path.")
    if folder.exists():
        raise InvalidRequestError(f"'{folder.name[:128]}' already exists.", hint="Give another folder, or remove it.")
    convert = _from_keras if source.suffix.lower() in KERAS else _from_torch
    found = convert(source, options)
    _write(folder, found)
    return Conversion(folder, found.description, found.deviation)


def _from_keras(source: Path, options: ConversionOptions) -> _Converted:
    network = convert_keras_model(read_keras_file(source), source.name)
    if network.channels_in != 1:
        problem = f"it takes {network.channels_in} channels, and a tomogram has one"
        raise InvalidRequestError(f"'{source.name[:128]}' cannot be converted: {problem}.")
    window = options.window or network.window or _default_window(network.multiple)
    shape = run_once(network.onnx, np.zeros((1, 1, *window), np.float32)).shape[2:]
    if shape != window:
        raise InvalidRequestError(
            f"'{source.name[:128]}' cannot be converted: its output for {_text(window)} voxels has {_text(shape)}.",
            hint="Windows must keep their size. Use padding='same' in its convolutions, and a window whose sides are "
            f"multiples of {_text(network.multiple)} (--window).",
        )
    softmax = network.final == "softmax" or (network.final is None and network.channels_out > 1)
    description = ModelDescription(
        kind="onnx",
        title=options.title or source.stem,
        weights=("model.onnx",),
        labels=_labels(options.labels, network.channels_out - softmax, source.name),
        scores="softmax" if softmax else "sigmoid",
        logits=network.final is None,
        voxel_size_A=options.voxel_size_A,
        window=window,
        normalization=(ZeroMeanUnitVariance(),),
        licence=options.licence,
    )
    return _Converted(description, {"model.onnx": network.onnx})


def _default_window(multiple: Shape) -> Shape:
    z, y, x = (max(_WINDOW // factor, 1) * factor for factor in multiple)
    return z, y, x


def _from_torch(source: Path, options: ConversionOptions) -> _Converted:
    model = _read(source)
    described = model.description
    exports: list[Export] = []
    for network, shape in _networks(model):
        noise = np.random.default_rng(_SEED).standard_normal((1, 1, *shape)).astype(np.float32)
        normalizer = Normalizer.of_values(described.normalization, noise.astype(np.float64).reshape(-1))
        exports.append(export_network(network, normalizer(noise), source.name))
    names = [f"network_{number}.onnx" for number in range(1, len(exports) + 1)] if len(exports) > 1 else ["model.onnx"]
    files = {name: export.onnx for name, export in zip(names, exports, strict=True)}
    tests: tuple[TestCase, ...] = ()
    if len(exports) == 1:
        tests = (TestCase(input="test_input.npy", output="test_output.npy"),)
        scores = probabilities(exports[0].output[0], described.scores)[None]
        files |= {"test_input.npy": _npy(noise), "test_output.npy": _npy(scores)}
    labels = _labels(options.labels, len(described.labels), source.name) if options.labels else described.labels
    changed = {
        "kind": "onnx",
        "title": options.title or described.title,
        "weights": tuple(names),
        "labels": labels,
        "voxel_size_A": options.voxel_size_A or described.voxel_size_A,
        "window": options.window or described.window,
        "licence": options.licence or described.licence,
        "tests": tests,
    }
    description = ModelDescription.model_validate({**dict(described), **changed})
    return _Converted(description, files, max(export.deviation for export in exports))


def _read(source: Path) -> Model:
    try:
        model = read_model(source)
    except InvalidRequestError as error:
        raise InvalidRequestError(
            error.message, hint=_HINTS.get(source.suffix.lower(), error.hint), details=error.details
        ) from None
    kind = model.description.kind
    if kind not in ("nnunet", "membrain"):
        hint = _HINTS.get(model.weights[0].suffix.lower(), "Run it as it is.")
        raise InvalidRequestError(
            f"'{source.name[:128]}' is not converted: it is a model for the engine '{kind}'. Converted are Keras files "
            "(.h5), checkpoints of MemBrain-seg (.ckpt) and results folders of nnU-Net.",
            hint=hint,
        )
    return model


def _networks(model: Model) -> Iterator[tuple[Module, Shape]]:
    """Yield the networks of a model, each with a size of the input that fits it, in the order of its axes."""
    if model.description.kind == "membrain":
        for path in model.weights:
            yield load_membrain(path), _test_shape(MULTIPLE)
        return
    plans = read_plans(model.folder, model.name)
    for network in load_folds(model):
        yield network, _test_shape(window_multiple(plans.architecture))


def _test_shape(multiple: Shape) -> Shape:
    # Two voxels on the coarsest level at least, of which a normalization can take the deviation.
    z, y, x = (factor * max(2, -(-_TEST_SIDE // factor)) for factor in multiple)
    return z, y, x


def _labels(names: Sequence[str], count: int, source: str) -> dict[int, str]:
    if names and len(names) != count:
        raise InvalidRequestError(
            f"'{source[:128]}' has {count} labels, and {len(names)} names are given.",
            hint="Give --label once for each label, without the background.",
        )
    if count < 1:
        raise InvalidRequestError(f"'{source[:128]}' cannot be converted: its output has the background alone.")
    return {number: names[number - 1] if names else f"label {number}" for number in range(1, count + 1)}


def _npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _write(folder: Path, converted: _Converted) -> None:
    """Write all files into a folder beside, and give it its name when it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        new = Path(temporary) / "model"
        new.mkdir()
        for name, data in converted.files.items():
            (new / name).write_bytes(data)
        (new / TOML).write_text(sidecar_toml(converted.description), "utf-8")
        new.rename(folder)


def _text(shape: Sequence[int]) -> str:
    return " × ".join(str(size) for size in shape)
