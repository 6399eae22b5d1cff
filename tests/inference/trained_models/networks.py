"""Small networks in ONNX files, built node by node, and the folders of their models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str | None]


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, npt.NDArray[Any]],
    *,
    shape: Shape = (1, 1, "z", "y", "x"),
    output: Shape = (1, "c", "z", "y", "x"),
    domains: Sequence[str] = (),
    external: str | None = None,
) -> None:
    """Write a network from the tensor ``in`` to the tensor ``out``."""
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    if external is not None:
        for each in initializers:
            onnx.external_data_helper.set_external_data(each, external)
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, list(output))],
        initializers,
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    path.write_bytes(model.SerializeToString())


def convolution(path: Path, channels: int = 2, *, seed: int = 0, sigmoid: bool = False) -> npt.NDArray[np.float32]:
    """Write two convolutions with a rectifier between them; return the kernel of the first."""
    rng = np.random.default_rng(seed)
    first = rng.normal(0, 0.3, (6, 1, 3, 3, 3)).astype(np.float32)
    second = rng.normal(0, 0.5, (channels, 6, 1, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["in", "k1"], ["a"], pads=[1] * 6),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "k2"], ["c" if sigmoid else "out"]),
        *([helper.make_node("Sigmoid", ["c"], ["out"])] if sigmoid else []),
    ]
    save(path, nodes, {"k1": first, "k2": second})
    return first


def write_toml(folder: Path, **fields: object) -> Path:
    """Write the sidecar of a model in a folder; return the folder."""
    described = {"kind": "onnx", "weights": ["net.onnx"], "window": 16, "labels": {"1": "membrane"}, **fields}
    lines = []
    for key, value in described.items():
        if isinstance(value, dict):
            inner = ", ".join(f"{json.dumps(name)} = {json.dumps(each)}" for name, each in value.items())
            lines.append(f"{key} = {{{inner}}}")
        else:
            lines.append(f"{key} = {json.dumps(value)}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.toml").write_text("\n".join(lines))
    return folder
