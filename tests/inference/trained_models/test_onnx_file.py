"""What an ONNX file refers to is known before it is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from tests.inference.trained_models.networks import convolution, save

from cryomamba_inference.trained_models.onnx_file import OnnxContent, read_onnx


def test_an_ordinary_network_needs_nothing_else(tmp_path: Path) -> None:
    """No other file, no other operators."""
    convolution(tmp_path / "net.onnx")
    assert read_onnx(tmp_path / "net.onnx") == OnnxContent(set(), set(), 3)


def test_external_data_and_foreign_operators_are_found(tmp_path: Path) -> None:
    """Also those in branches of conditions, and in constants."""
    hidden = numpy_helper.from_array(np.zeros(3, np.float32), "hidden")
    onnx.external_data_helper.set_external_data(hidden, "../secret.bin")
    inner = helper.make_graph(
        [
            helper.make_node("Constant", [], ["k"], value=hidden),
            helper.make_node("Evil", ["k"], ["o"], domain="custom"),
        ],
        "inner",
        [],
        [helper.make_tensor_value_info("o", onnx.TensorProto.FLOAT, [3])],
    )
    nodes = [helper.make_node("If", ["in"], ["out"], then_branch=inner, else_branch=inner)]
    save(tmp_path / "net.onnx", nodes, {"w": np.zeros(2, np.float32)}, domains=["custom"], external="weights.bin")
    found = read_onnx(tmp_path / "net.onnx")
    assert found.external == {"weights.bin", "../secret.bin"}
    assert found.foreign == {"custom.Evil"}


def test_functions_of_the_file_itself_are_not_foreign(tmp_path: Path) -> None:
    """PyTorch writes some of its modules as functions in the same file."""
    function = helper.make_function(
        "pkg", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    save(tmp_path / "net.onnx", [helper.make_node("Twice", ["in"], ["out"], domain="pkg")], {}, domains=["pkg"])
    model = onnx.load(tmp_path / "net.onnx")
    model.functions.append(function)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert read_onnx(tmp_path / "net.onnx").foreign == set()


def test_defaults_of_functions_are_searched_too(tmp_path: Path) -> None:
    """A function may have data in another file as the default of an attribute."""
    hidden = numpy_helper.from_array(np.zeros(3, np.float32), "hidden")
    onnx.external_data_helper.set_external_data(hidden, "../secret.bin")
    function = helper.make_function(
        "pkg", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    function.attribute_proto.append(helper.make_attribute("k", hidden))
    save(tmp_path / "net.onnx", [helper.make_node("Twice", ["in"], ["out"], domain="pkg")], {}, domains=["pkg"])
    model = onnx.load(tmp_path / "net.onnx")
    model.functions.append(function)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert read_onnx(tmp_path / "net.onnx").external == {"../secret.bin"}


@pytest.mark.parametrize(
    "data", [b"", b"\x00" * 20, b"not an onnx file at all", b"\x3a\xff\xff\xff\xff\xff\xff\xff\x7f"]
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    """Each ends in a sentence."""
    (tmp_path / "net.onnx").write_bytes(data)
    with pytest.raises(ValueError, match="it is"):
        read_onnx(tmp_path / "net.onnx")


@given(cut=st.integers(0, 2000), at=st.integers(0, 2000), byte=st.integers(0, 255))
def test_a_damaged_file_never_fails_otherwise(
    tmp_path_factory: pytest.TempPathFactory, cut: int, at: int, byte: int
) -> None:
    """Cut anywhere, or with any byte changed, a file is read or refused in words."""
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    convolution(path)
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(data[: len(data) - cut % len(data)])
    try:
        read_onnx(path)
    except ValueError as error:
        assert str(error)
