"""Turns a model of bioimage.io in format 0.4 into format 0.5, as far as it is read here. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

_AXES: Final = {"b": {"type": "batch"}, "c": {"type": "channel"}}
_FIXED: Final = {"zero_mean_unit_variance": "fixed_zero_mean_unit_variance"}


def upgraded(rdf: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description with the fields of format 0.5; what has an unexpected type is left as it is."""
    inputs = _tensors(rdf.get("inputs"), rdf.get("test_inputs"))
    outputs = _tensors(rdf.get("outputs"), rdf.get("test_outputs"))
    return {**rdf, "inputs": inputs, "outputs": outputs}


def _tensors(tensors: object, tests: object) -> object:
    if not isinstance(tensors, list):
        return tensors
    files = tests if isinstance(tests, list) else []
    return [_tensor(each, files[n] if n < len(files) else None) for n, each in enumerate(tensors)]


def _tensor(tensor: object, test: object) -> object:
    if not isinstance(tensor, dict) or not isinstance(tensor.get("axes"), str):
        return tensor
    letters = tensor["axes"]
    shape, halo = tensor.get("shape"), tensor.get("halo")
    axes = [_axis(letter, _size(shape, n), _at(halo, n) or 0) for n, letter in enumerate(letters)]
    found = {"id": tensor.get("name", ""), "axes": axes}
    for key in ("preprocessing", "postprocessing"):
        steps = tensor.get(key)
        found[key] = [_step(one) for one in steps] if isinstance(steps, list) else []
    return found if test is None else {**found, "test_tensor": {"source": test}}


def _axis(letter: str, size: object, halo: object) -> dict[str, Any]:
    axis = dict(_AXES.get(letter, {"type": "space", "id": letter}))
    if letter == "c":
        count = size if isinstance(size, int) and 0 < size <= 256 else 1
        names = [f"label {n}" for n in range(1, count + 1)] if count > 1 else ["foreground"]
        return {**axis, "channel_names": names}
    return axis if letter == "b" else {**axis, "size": size, "halo": halo}


def _size(shape: object, n: int) -> object:
    """Return the size of an axis: a number, or the least one and the step."""
    if isinstance(shape, list):
        return _at(shape, n)
    if not isinstance(shape, dict):
        return None
    if "min" in shape:
        least, step = _at(shape["min"], n), _at(shape.get("step"), n)
        return {"min": least, "step": step} if step else least
    scale, offset = _at(shape.get("scale"), n), _at(shape.get("offset"), n)
    # Of an output: a size of its own is an offset alone, counted in halves.
    if not scale and isinstance(offset, int | float) and math.isfinite(offset):
        return round(2 * offset)
    return None


def _at(values: object, n: int) -> Any:  # noqa: ANN401 (whatever the file has)
    return values[n] if isinstance(values, list) and n < len(values) else None


def _step(step: object) -> object:
    if not isinstance(step, dict):
        return step
    name, given = step.get("name"), step.get("kwargs") or {}
    if not isinstance(given, dict):
        return {"id": name, "kwargs": given}
    kwargs = dict(given)
    mode = kwargs.pop("mode", None)
    if mode == "fixed":
        name = _FIXED.get(str(name), name)
        kwargs.pop("eps", None)
        kwargs.pop("axes", None)
    return {"id": name, "kwargs": kwargs}
