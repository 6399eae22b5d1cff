"""Builds ONNX graphs node by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from cryomamba._version import __version__
from cryomamba.optional_imports import requires_extra

OPSET: Final = 18
_IR_VERSION: Final = 9  # of the ONNX release that brought this operator set
INPUT, OUTPUT = "input", "output"


class GraphBuilder:
    """An ONNX graph with one input and one output, both batch, channels, z, y, x."""

    def __init__(self) -> None:
        with requires_extra("convert"):
            import onnx
        self._onnx = onnx
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:  # noqa: ANN401 (numbers, texts and lists of them)
        """Append a node and return the name of its output; attributes that are None are left out."""
        output = f"{operator.lower()}_{len(self._nodes)}"
        given = {name: value for name, value in attributes.items() if value is not None}
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [output], output, **given))
        return output

    def constant(self, value: ArrayLike, dtype: type[np.generic] = np.float32) -> str:
        """Append a constant and return its name."""
        name = f"constant_{len(self._constants)}"
        array = np.ascontiguousarray(value, dtype)
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def serialize(self, result: str, channels: int) -> tuple[bytes, int]:
        """Return the file's contents and the number of channels of its output.

        Parameters
        ----------
        result : str
            The tensor that becomes the output.
        channels : int
            Of the input.

        Raises
        ------
        ValueError
            The nodes do not fit together.
        """
        helper, kind = self._onnx.helper, self._onnx.TensorProto.FLOAT
        nodes = [*self._nodes, helper.make_node("Identity", [result], [OUTPUT])]
        inputs = [helper.make_tensor_value_info(INPUT, kind, ["batch", channels, "z", "y", "x"])]
        outputs = [helper.make_tensor_value_info(OUTPUT, kind, ["batch", None, "z_out", "y_out", "x_out"])]
        model = helper.make_model(
            helper.make_graph(nodes, "model", inputs, outputs, self._constants),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
            producer_name="cryomamba",
            producer_version=__version__,
        )
        try:
            self._onnx.checker.check_model(model)
            inferred = self._onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except (self._onnx.checker.ValidationError, self._onnx.shape_inference.InferenceError) as error:
            raise ValueError(str(error)) from error
        dimension = inferred.graph.output[0].type.tensor_type.shape.dim[1]
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = dimension.dim_value
        return bytes(model.SerializeToString()), int(dimension.dim_value)
