"""``rdf.yaml`` of bioimage.io: formats 0.5 and 0.4 become descriptions, and what cannot be done is said."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from cryomamba.errors import InvalidRequestError
from cryomamba.trained_models.description import ModelDescription
from cryomamba.trained_models.normalization import Clip, Fixed, Linear, ScaleRange, ZeroMeanUnitVariance
from cryomamba.trained_models.rdf import parse_rdf

AXES = [{"type": "space", "id": one, "size": 64, "unit": "nanometer", "scale": 1.2} for one in "zyx"]
V05: dict[str, Any] = {
    "type": "model",
    "format_version": "0.5.4",
    "name": "Membranes of mitochondria",
    "description": "A network.",
    "license": "CC-BY-NC-4.0",
    "authors": [{"name": "A. Person", "orcid": "0"}],
    "cite": [{"text": "A paper", "doi": "10.1/2"}],
    "inputs": [
        {
            "id": "raw",
            "axes": [{"type": "batch"}, {"type": "channel", "channel_names": ["raw"]}, *AXES],
            "test_tensor": {"source": "in.npy", "sha256": "0" * 64},
            "preprocessing": [
                {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
                {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["channel", "z", "y", "x"], "eps": 1e-5}},
            ],
        }
    ],
    "outputs": [
        {
            "id": "scores",
            "axes": [
                {"type": "batch"},
                {"type": "channel", "channel_names": ["background", "inner", "outer"]},
                *[
                    {"type": "space", "id": one, "size": {"tensor_id": "raw", "axis_id": one}, "halo": 8}
                    for one in "zyx"
                ],
            ],
            "test_tensor": {"source": "out.npy"},
            "postprocessing": [{"id": "softmax", "kwargs": {"axis": "channel"}}],
        }
    ],
    "weights": {
        "onnx": {"source": "net.onnx", "sha256": "1" * 64, "opset_version": 17},
        "pytorch_state_dict": {"source": "net.pt", "architecture": {"callable": "Net"}},
    },
    "config": {
        "bioimageio": {
            "reproducibility_tolerance": [{"relative_tolerance": 0.01, "mismatched_elements_per_million": 5}]
        }
    },
}


def parsed(rdf: dict[str, Any]) -> ModelDescription:
    """Return the description that a file with these fields states."""
    return parse_rdf(json.dumps(rdf).encode(), "net")  # every JSON document is YAML


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the example with another value at a dotted path."""
    rdf = copy.deepcopy(V05)
    at: Any = rdf
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        at = at[part]
    at[last] = value
    return rdf


def test_format_05_becomes_a_description() -> None:
    """Weights, labels, window, voxel size, steps, tests and people are those of the file."""
    found = parsed(V05)
    assert (found.kind, found.weights, found.checksums) == ("onnx", ("net.onnx",), {"net.onnx": "1" * 64})
    assert (found.title, found.licence, found.authors) == (V05["name"], "CC-BY-NC-4.0", ("A. Person",))
    assert found.citation == "A paper doi:10.1/2"
    assert (found.labels, found.scores, found.logits) == ({1: "inner", 2: "outer"}, "softmax", True)
    assert (found.window, found.voxel_size_A, found.axes) == ((64, 64, 64), (12.0, 12.0, 12.0), "bczyx")
    assert found.normalization == (ZeroMeanUnitVariance(eps=1e-5),)
    (test,) = found.tests
    assert (test.input, test.output) == ("in.npy", "out.npy")
    assert (test.relative_tolerance, test.deviating_per_million) == (0.01, 5)


def test_format_04_becomes_the_same() -> None:
    """Letters of axes, shapes by a reference and names of steps mean what format 0.5 spells out."""
    rdf = {
        "type": "model",
        "format_version": "0.4.9",
        "name": "Old",
        "inputs": [
            {
                "name": "raw",
                "axes": "bczyx",
                "shape": {"min": [1, 1, 16, 32, 32], "step": [0, 0, 16, 16, 16]},
                "preprocessing": [
                    {"name": "zero_mean_unit_variance", "kwargs": {"mode": "fixed", "mean": 3, "std": 2, "axes": "zyx"}}
                ],
            }
        ],
        "outputs": [
            {
                "name": "p",
                "axes": "bczyx",
                "shape": {"reference_tensor": "raw", "scale": [1, 0, 1, 1, 1], "offset": [0, 1, 0, 0, 0]},
                "halo": [0, 0, 0, 30, 30],
                "postprocessing": [{"name": "sigmoid"}],
            }
        ],
        "test_inputs": ["in.npy"],
        "test_outputs": ["out.npy"],
        "weights": {"torchscript": {"source": "net.pt"}},
    }
    found = parsed(rdf)
    assert (found.kind, found.weights, found.scores) == ("torchscript", ("net.pt",), "sigmoid")
    assert (found.window, found.overlap) == ((96, 96, 96), (0.5, 0.625, 0.625))
    assert found.labels == {1: "label 1", 2: "label 2"}
    assert found.normalization == (Fixed(mean=3, std=2),)
    assert [(test.input, test.output) for test in found.tests] == [("in.npy", "out.npy")]


def test_every_step_that_is_the_same_for_all_windows_is_read() -> None:
    """Percentiles are those of the volume; a list of one value for the channel axis is that value."""
    steps = [
        {"id": "scale_range", "kwargs": {"min_percentile": 1, "max_percentile": 99.8}},
        {"id": "clip", "kwargs": {"min": 0.0, "max": 1.0}},
        {"id": "scale_linear", "kwargs": {"axis": "channel", "gain": [2.0], "offset": [-1.0]}},
    ]
    assert parsed(changed("inputs.0.preprocessing", steps)).normalization == (
        ScaleRange(min_percentile=1, max_percentile=99.8),
        Clip(min=0, max=1),
        Linear(gain=2, offset=-1),
    )


def test_own_fields_take_precedence() -> None:
    """What bioimage.io has no field for stands under config.cryomamba."""
    found = parsed(changed("config.cryomamba", {"contrast": "dark", "mirror": ["x", "y"], "labels": {1: "a", 2: "b"}}))
    assert (found.contrast, found.mirror, found.labels) == ("dark", ("x", "y"), {1: "a", 2: "b"})


def test_one_channel_is_one_label() -> None:
    """A network with one channel and no function after it gives the probability of its label."""
    rdf = changed("outputs.0.axes.1.channel_names", ["mask"])
    rdf["outputs"][0]["postprocessing"] = []
    found = parsed(rdf)
    assert (found.labels, found.scores, found.logits, found.channels) == ({1: "mask"}, "sigmoid", False, 1)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("type", "dataset", "not a model of bioimage.io"),
        ("format_version", "0.3.2", "format 0.4 or 0.5"),
        ("weights", {"pytorch_state_dict": {"source": "net.pt"}}, "run code of the model"),
        ("inputs", V05["inputs"] * 2, "takes 2 inputs"),
        ("inputs.0.axes.2", {"type": "time", "size": 3}, "axes that a tomogram does not have"),
        ("inputs.0.preprocessing", [{"id": "custom"}], "step 'custom' before the network"),
        ("inputs.0.preprocessing.1.kwargs.axes", ["y", "x"], "along some axes only"),
        ("outputs.0.postprocessing", [{"id": "stardist_postprocessing"}], "step 'stardist_postprocessing' after"),
        ("inputs.0.preprocessing.1.kwargs.eps", "big", "normalization"),
        ("config.cryomamba", {"contrst": "dark"}, "Did you mean 'contrast'?"),
        ("weights.onnx", {"opset_version": 7}, "weights.onnx.source"),
    ],
)
def test_what_cannot_be_done_is_said(path: str, value: object, words: str) -> None:
    """Each problem is a sentence that names the step or field."""
    with pytest.raises(InvalidRequestError) as caught:
        parsed(changed(path, value))
    assert any(words in problem for problem in caught.value.details["problems"]), caught.value.details


@pytest.mark.parametrize(
    "text",
    ["a: &x [1, 2]\nb: *x", "!!python/object/apply:os.system ['true']", "[" * 10_000, "a: [", "\x00", "- 1", "5"],
)
def test_hostile_yaml_is_refused(text: str) -> None:
    """Aliases, tags that make objects, endless nesting and broken text end in a sentence."""
    with pytest.raises(InvalidRequestError, match="cannot be used"):
        parse_rdf(text.encode(), "net")
