"""A check ends, whatever the network does: it is stopped, and says why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.inference.trained_models.networks import convolution, save, write_toml

from cryomamba_inference.trained_models.bounded_check import check_bounded


def endless(path: Path) -> None:
    """Write a network that goes round a loop 2⁶² times before it returns its input."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["still"]), helper.make_node("Identity", ["held"], ["same"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("held", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("same", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Loop", ["rounds", "true", "in"], ["x"], body=body),
        helper.make_node("Concat", ["x", "x"], ["out"], axis=1),
    ]
    save(path, nodes, {"rounds": np.array(2**62), "true": np.array(True)})


def large(path: Path) -> None:
    """Write a network that spreads a number over 8 GB and computes with it, before it gives two channels."""
    nodes: Sequence[onnx.NodeProto] = [
        helper.make_node("ReduceMean", ["in"], ["one"], keepdims=0),
        helper.make_node("Expand", ["one", "size"], ["many"]),
        helper.make_node("Exp", ["many"], ["more"]),
        helper.make_node("ReduceMean", ["more"], ["mean"], keepdims=0),
        helper.make_node("Add", ["in", "mean"], ["x"]),
        helper.make_node("Concat", ["x", "x"], ["out"], axis=1),
    ]
    save(path, nodes, {"size": np.array([2**31])})


def test_a_good_model_passes_as_before(tmp_path: Path) -> None:
    """The result is that of the check itself."""
    folder = write_toml(tmp_path / "net")
    convolution(folder / "net.onnx")
    found = check_bounded(folder)
    assert found.problems == ()
    assert found.model is not None
    assert len(found.passed) == 2


@pytest.mark.parametrize(
    ("write", "limits", "words"),
    [(endless, {"seconds": 5}, "not ended after 5 s"), (large, {"nbytes": 1e9}, "more than 1.0 GB of memory")],
    ids=["endless", "large"],
)
def test_a_network_without_end_is_stopped(write: Any, limits: dict[str, float], words: str, tmp_path: Path) -> None:
    """A loop without end, and tensors of gigabytes: one sentence, and no process is left."""
    folder = write_toml(tmp_path / "net")
    write(folder / "net.onnx")
    (problem,) = check_bounded(folder, **limits).problems
    assert words in problem


@pytest.mark.parametrize("count", [2**26, 0])
def test_test_tensors_that_do_not_fit_are_refused(count: int, tmp_path: Path) -> None:
    """A tensor larger than any window, which is a file without content, and one without numbers."""
    folder = write_toml(tmp_path / "net", tests=[])
    convolution(folder / "net.onnx")
    text = (folder / "model.toml").read_text().replace("tests = []", "")
    (folder / "model.toml").write_text(f'{text}\n[[tests]]\ninput = "in.npy"\noutput = "in.npy"\n')
    with (folder / "in.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (count,)})
        file.truncate(file.tell() + 4 * count)
    (problem,) = check_bounded(folder).problems
    assert "in.npy" in problem
