"""A check says in words what is right and what is wrong, and compares the test tensors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import helper
from tests.inference.trained_models.networks import convolution, save, write_toml

from cryomamba.trained_models.model_files import file_sha256
from cryomamba_inference.trained_models.check import check_model


@pytest.fixture
def tested(tmp_path: Path) -> Path:
    """Write a model with a test tensor that its own framework gave."""
    folder = write_toml(
        tmp_path / "net", normalization="zero_mean_unit_variance", tests=[], labels={"1": "a", "2": "b"}
    )
    convolution(folder / "net.onnx", channels=3)
    data = np.random.default_rng(0).normal(5, 2, (1, 1, 20, 16, 12)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(folder / "net.onnx"))
    (logits,) = session.run(None, {"in": (data - data.mean()) / (data.std() + np.float32(1e-6))})
    exponential = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.save(folder / "in.npy", data)
    np.save(folder / "out.npy", exponential / exponential.sum(axis=1, keepdims=True))
    text = (folder / "model.toml").read_text().replace("tests = []", "")
    (folder / "model.toml").write_text(f'{text}\n[[tests]]\ninput = "in.npy"\noutput = "out.npy"\n')
    return folder


def test_a_good_model_passes(tested: Path) -> None:
    """Description, window and test tensors are each confirmed."""
    result = check_model(tested)
    assert (result.problems, result.notes) == ((), ())
    assert len(result.passed) == 3
    assert "within" in result.passed[-1]


def test_other_scores_are_a_problem(tested: Path) -> None:
    """Another normalization, or other weights, give other scores; the sentence says how many deviate."""
    convolution(tested / "net.onnx", channels=3, seed=1)
    (problem,) = check_model(tested).problems
    assert "are not those of 'out.npy'" in problem
    assert "% deviate" in problem


def test_tensors_that_are_none_are_refused(tested: Path) -> None:
    """A pickled object is not unpickled."""
    np.save(tested / "out.npy", np.array([{}], dtype=object), allow_pickle=True)
    (problem,) = check_model(tested).problems
    assert "is not a NumPy array" in problem


def test_without_tests_it_is_said(tmp_path: Path) -> None:
    """What was not checked is no pass."""
    folder = write_toml(tmp_path / "net")
    convolution(folder / "net.onnx")
    result = check_model(folder)
    assert result.problems == ()
    assert "no test tensors" in result.notes[0]


def test_labels_that_do_not_fit_are_a_problem(tmp_path: Path) -> None:
    """Two channels are one label with softmax, or two with sigmoid."""
    folder = write_toml(tmp_path / "net", labels={"1": "a", "2": "b"})
    convolution(folder / "net.onnx")
    (problem,) = check_model(folder).problems
    assert "(2, 16, 16, 16) for a window, and (3, 16, 16, 16) is expected for the labels a, b" in problem


def test_everything_that_is_wrong_is_listed(tmp_path: Path) -> None:
    """Problems of the description come first; nothing is loaded then."""
    folder = write_toml(tmp_path / "net", windw=3, contrast="grey")
    assert len(check_model(folder).problems) == 2
    assert check_model(tmp_path / "missing").problems == ("There is no model 'missing'.",)
    write_toml(folder)
    save(folder / "net.onnx", [helper.make_node("Evil", ["in"], ["out"], domain="x")], {}, domains=["x"])
    assert "x.Evil" in check_model(folder).problems[0]


def test_a_model_of_bioimage_io_is_checked_with_its_own_tensors(tmp_path: Path) -> None:
    """Steps before and after the network are those of rdf.yaml; a checksum that differs is a problem."""
    convolution(tmp_path / "net.onnx", channels=2)
    data = np.random.default_rng(0).normal(5, 2, (1, 1, 16, 16, 16)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    (logits,) = session.run(None, {"in": (data - data.mean()) / (data.std() + np.float32(1e-6))})
    np.save(tmp_path / "in.npy", data)
    np.save(tmp_path / "out.npy", 1 / (1 + np.exp(-logits)))
    space = [{"type": "space", "id": axis, "size": {"min": 16, "step": 16}} for axis in "zyx"]
    rdf = {
        "type": "model",
        "format_version": "0.5.4",
        "name": "Membranes",
        "inputs": [
            {
                "id": "raw",
                "axes": [{"type": "batch"}, {"type": "channel", "channel_names": ["raw"]}, *space],
                "test_tensor": {"source": "in.npy"},
                "preprocessing": [{"id": "zero_mean_unit_variance", "kwargs": {}}],
            }
        ],
        "outputs": [
            {
                "id": "mask",
                "axes": [{"type": "batch"}, {"type": "channel", "channel_names": ["inner", "outer"]}, *space],
                "test_tensor": {"source": "out.npy"},
                "postprocessing": [{"id": "sigmoid"}],
            }
        ],
        "weights": {"onnx": {"source": "net.onnx", "sha256": file_sha256(tmp_path / "net.onnx"), "opset_version": 17}},
    }
    # Every JSON document is YAML.
    (tmp_path / "rdf.yaml").write_text(json.dumps(rdf))
    good = check_model(tmp_path)
    assert (good.problems, len(good.passed)) == ((), 3)
    assert good.model is not None
    assert good.model.description.window == (96, 96, 96)
    convolution(tmp_path / "net.onnx", channels=2, seed=1)
    assert "'net.onnx' is damaged" in check_model(tmp_path).problems[0]
