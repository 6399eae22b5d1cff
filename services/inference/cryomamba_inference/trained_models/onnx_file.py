"""Looks into an ONNX file before it is loaded: which other files it reads, and which operators it needs.

An ONNX file is a message of protocol buffers (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). Only the few
fields that matter are read, through a memory map, so weights are skipped and not copied; the package `onnx`, which
would load all of them, is not needed where models run.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_DEPTH_MAX: Final = 32
"""Graphs within graphs."""
_STANDARD: Final = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"})
"""Domains whose operators are part of onnxruntime."""
_TEXT_MAX: Final = 4096
"""Bytes of a name that are read."""
_EXTERNAL: Final = 1
# Field numbers by message.
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES = 22, 23
_SPARSE_VALUES, _SPARSE_INDICES = 1, 2
_FUNCTION_NODE, _FUNCTION_NAME, _FUNCTION_DOMAIN, _FUNCTION_DEFAULT = 7, 1, 10, 11
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14


@dataclass(slots=True)
class OnnxContent:
    """What a file refers to.

    Attributes
    ----------
    external : set of str
        Locations of data in other files, as they are written.
    foreign : set of str
        Operators that are not part of onnxruntime, as ``domain.operator``.
    nodes : int
        Number of operators.
    """

    external: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)
    nodes: int = 0


def read_onnx(path: Path) -> OnnxContent:
    """Return what an ONNX file refers to.

    Raises
    ------
    ValueError
        It is not an ONNX file, or is damaged.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise ValueError("it is empty")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    # The map is closed with its last view.
    scanner = _Scanner()
    scanner.model(memoryview(data))
    return scanner.content


class _Scanner:
    def __init__(self) -> None:
        self.content = OnnxContent()
        self._own: set[str] = set()
        self._graphs = 0

    def model(self, view: memoryview) -> None:
        for number, value in _fields(view):
            if number == _MODEL_GRAPH:
                self._graph(_message(value), 0)
            elif number == _MODEL_FUNCTIONS:
                self._function(_message(value))
        if not self._graphs:
            raise ValueError("it is not an ONNX file: it has no graph")
        self.content.foreign -= self._own

    def _graph(self, view: memoryview, depth: int) -> None:
        if depth > _DEPTH_MAX:
            raise ValueError(f"it has graphs within graphs, more than {_DEPTH_MAX} deep")
        self._graphs += 1
        for number, value in _fields(view):
            if number == _GRAPH_NODE:
                self._node(_message(value), depth)
            elif number == _GRAPH_INITIALIZER:
                self._tensor(_message(value))
            elif number == _GRAPH_SPARSE:
                self._sparse(_message(value))

    def _function(self, view: memoryview) -> None:
        names = {_FUNCTION_NAME: "", _FUNCTION_DOMAIN: ""}
        for number, value in _fields(view):
            if number == _FUNCTION_NODE:
                self._node(_message(value), 1)
            elif number == _FUNCTION_DEFAULT:
                self._attribute(_message(value), 1)
            elif number in names:
                names[number] = _text(value)
        self._own.add(f"{names[_FUNCTION_DOMAIN]}.{names[_FUNCTION_NAME]}")

    def _node(self, view: memoryview, depth: int) -> None:
        self.content.nodes += 1
        domain = operator = ""
        for number, value in _fields(view):
            if number == _NODE_OPERATOR:
                operator = _text(value)
            elif number == _NODE_DOMAIN:
                domain = _text(value)
            elif number == _NODE_ATTRIBUTE:
                self._attribute(_message(value), depth)
        if domain not in _STANDARD:
            self.content.foreign.add(f"{domain}.{operator}")

    def _attribute(self, view: memoryview, depth: int) -> None:
        for number, value in _fields(view):
            if number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                self._tensor(_message(value))
            elif number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                self._graph(_message(value), depth + 1)
            elif number in (_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES):
                self._sparse(_message(value))

    def _sparse(self, view: memoryview) -> None:
        for number, value in _fields(view):
            if number in (_SPARSE_VALUES, _SPARSE_INDICES):
                self._tensor(_message(value))

    def _tensor(self, view: memoryview) -> None:
        entries: dict[str, str] = {}
        is_external = False
        for number, value in _fields(view):
            if number == _TENSOR_EXTERNAL:
                pair = {key: _text(part) for key, part in _fields(_message(value)) if key in (1, 2)}
                entries[pair.get(1, "")] = pair.get(2, "")
            elif number == _TENSOR_LOCATION:
                is_external = value == _EXTERNAL
        if is_external or entries:
            self.content.external.add(entries.get("location", ""))


def _fields(view: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield the number and the value of each field of a message; bytes are views, not copies."""
    at, end = 0, len(view)
    while at < end:
        key, at = _varint(view, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(view, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(view, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("it is not an ONNX file, or is damaged")
        if number == 0 or size > end - at:
            raise ValueError("it is not an ONNX file, or is damaged")
        yield number, view[at : at + size]
        at += size


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            break
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it is not an ONNX file, or is damaged")


def _message(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise ValueError("it is not an ONNX file, or is damaged")
    return value


def _text(value: memoryview | int) -> str:
    return bytes(_message(value)[:_TEXT_MAX]).decode("utf-8", "replace")
