"""Checkpoints of nnU-Net and MemBrain-seg become ONNX files that compute the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tests.models.networks import (
    CONFIGURATION,
    architecture,
    build,
    membrain_checkpoint,
    membrain_network,
    nnunet_folder,
    plans,
)

from cryomamba.errors import InvalidRequestError
from cryomamba.trained_models.model import read_model
from cryomamba_inference.conversion.convert import ConversionOptions, convert_model
from cryomamba_inference.trained_models.check import check_model

ROUNDING = 1e-4


def test_a_fold_of_nnunet_becomes_a_model(tmp_path: Path) -> None:
    """The ONNX file computes what nnU-Net's network computes, for windows of any size; the sidecar has its plans."""
    contents = plans(
        spacing=(10.0, 10.0, 10.0),
        normalization_schemes=["CTNormalization"],
        architecture=architecture("ResidualEncoderUNet"),
    )
    conversion = convert_model(nnunet_folder(tmp_path / "source", contents, licence="CC-BY-4.0"), tmp_path / "net")
    assert conversion.deviation is not None
    assert conversion.deviation < ROUNDING
    model = read_model(tmp_path / "net")
    described = model.description
    assert (described.kind, described.title, described.licence) == ("onnx", "Membranes", "CC-BY-4.0")
    assert (described.scores, described.logits, described.window) == ("softmax", True, (32, 32, 32))
    assert described.voxel_size_A == (10.0, 10.0, 10.0)
    assert [step.step for step in described.normalization] == ["clip", "fixed"]
    assert described.mirror == ("z", "y", "x")
    window = np.random.default_rng(5).normal(size=(1, 1, 16, 48, 32)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(model.weights[0]).run(None, {"input": window})
    with torch.inference_mode():
        expected = build(contents["configurations"][CONFIGURATION]["architecture"]).eval()(torch.from_numpy(window))[0]
    np.testing.assert_allclose(found, expected.numpy(), rtol=ROUNDING, atol=ROUNDING)


def test_its_test_tensors_are_those_of_pytorch(tmp_path: Path) -> None:
    """The sidecar names an input and the probabilities that PyTorch gave for it, and the check of models agrees."""
    convert_model(nnunet_folder(tmp_path / "source"), tmp_path / "net")
    model = read_model(tmp_path / "net")
    (case,) = model.description.tests
    window, expected = (torch.from_numpy(np.load(model.folder / name)) for name in (case.input, case.output))
    with torch.inference_mode():
        scores = build(architecture()).eval()((window - window.mean()) / window.std(correction=0))[0]
    torch.testing.assert_close(torch.softmax(scores, 1), expected, rtol=1e-4, atol=1e-5)
    found = check_model(tmp_path / "net")
    assert found.problems == ()
    assert any("are those of 'test_output.npy'" in sentence for sentence in found.passed)


def test_folds_become_an_ensemble(tmp_path: Path) -> None:
    """Each fold becomes a file of one model, with labels as they are asked for."""
    options = ConversionOptions(labels=("membranes", "ribosomes"), window=(48, 48, 48))
    convert_model(nnunet_folder(tmp_path / "source", folds=(0, 1)), tmp_path / "net", options)
    described = read_model(tmp_path / "net").description
    assert described.weights == ("network_1.onnx", "network_2.onnx")
    assert described.labels == {1: "membranes", 2: "ribosomes"}
    assert described.window == (48, 48, 48)


def test_a_checkpoint_of_membrain_becomes_a_model(tmp_path: Path) -> None:
    """The ONNX file computes what MemBrain-seg's network computes; the sidecar says how MemBrain-seg applies it."""
    network = membrain_network()
    conversion = convert_model(membrain_checkpoint(tmp_path / "lab.ckpt", network), tmp_path / "net")
    assert conversion.deviation is not None
    assert conversion.deviation < ROUNDING
    model = read_model(tmp_path / "net")
    described = model.description
    assert described.labels == {1: "membrane"}
    assert (described.scores, described.logits, described.axes) == ("sigmoid", True, "bcxyz")
    window = np.random.default_rng(5).normal(size=(1, 1, 64, 32, 32)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(model.weights[0]).run(None, {"input": window})
    with torch.inference_mode():
        expected = network(torch.from_numpy(window))[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("net.keras", "model.h5"), ("net.pt", "torchscript"), ("net.pth", "results folder"), ("net.onnx", "ONNX already")],
)
def test_other_files_are_refused_with_what_to_do(name: str, hint: str, tmp_path: Path) -> None:
    """A file that is not converted is refused, and the hint says what to do with it."""
    (tmp_path / name).write_bytes(b"content")
    with pytest.raises(InvalidRequestError) as refused:
        convert_model(tmp_path / name, tmp_path / "net")
    assert hint in refused.value.hint
    assert not (tmp_path / "net").exists()


def test_what_exists_is_not_replaced(tmp_path: Path) -> None:
    """A folder of that name is left as it is."""
    (tmp_path / "net").mkdir()
    with pytest.raises(InvalidRequestError, match="already exists"):
        convert_model(membrain_checkpoint(tmp_path / "lab.ckpt"), tmp_path / "net")
