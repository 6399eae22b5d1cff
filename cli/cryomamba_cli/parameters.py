"""Engine parameters on the command line: a JSON schema described in words, and ``name=value`` parsed by it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.suggestions import did_you_mean

Schema = Mapping[str, Any]

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})
_NONE: Final = frozenset({"none", "null", ""})
_TYPE_NAMES: Final = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "array": "list",
    "object": "JSON object",
    "null": "none",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter, described for people.

    Attributes
    ----------
    name, kind, unit, bounds, description : str
        `kind` is the type, for example ``whole number`` or ``dark | bright``.
    default : str
        As one would type it; empty if the parameter is required.
    """

    name: str
    kind: str
    unit: str
    bounds: str
    default: str
    description: str


def describe(schema: Schema) -> list[Parameter]:
    """Return the parameters of a schema, in its order."""
    required = schema.get("required", ())
    return [
        Parameter(
            name=name,
            kind=" or ".join(dict.fromkeys(_kind(form) for form in _alternatives(field, schema))),
            unit=str(field.get("unit", "")),
            bounds=next(filter(None, (_bounds(form) for form in _alternatives(field, schema))), ""),
            default="" if name in required else typed(field.get("default")),
            description=str(field.get("description") or field.get("title") or ""),
        )
        for name, field in schema.get("properties", {}).items()
    ]


def typed(value: object) -> str:
    """Return a value as one would type it after ``name=``."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def parse(pairs: Iterable[str], schema: Schema, *, owner: str) -> dict[str, Any]:
    """Parse ``name=value`` texts by a schema.

    Parameters
    ----------
    pairs : iterable of str
        For example ``sigma_A=20``; lists as ``1,2,3`` or as JSON.
    schema : mapping
        JSON schema of an object.
    owner : str
        Name of the engine or command, for the messages.

    Raises
    ------
    InvalidRequestError
        ``invalid_parameters``: malformed, an unknown name, given twice, or of another type.
    """
    values: dict[str, Any] = {}
    known = schema.get("properties", {})
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            raise _invalid(f"'{pair}' is not of the form NAME=VALUE.", f"For example: -p {_example(known)}.")
        if name not in known:
            raise _unknown(name, list(known), owner)
        if name in values:
            raise _invalid(f"The parameter '{name}' is given twice.", "Give it once.")
        values[name] = _value(name, text.strip(), known[name], schema)
    return values


def _value(name: str, text: str, field: Schema, root: Schema) -> object:
    alternatives = _alternatives(field, root)
    # Text comes last, so that "none" and "3" are not read as text.
    for form in sorted(alternatives, key=lambda form: form.get("type") == "string" and "enum" not in form):
        try:
            return _parse_as(text, form)
        except ValueError:
            continue
    expected = " or ".join(dict.fromkeys(_kind(form) for form in alternatives))
    unit = f" in {field['unit']}" if field.get("unit") else ""
    raise _invalid(f"Invalid value '{text}' for the parameter '{name}'.", f"Expected: {expected}{unit}.")


def _parse_as(text: str, form: Schema) -> object:
    choices = _choices(form)
    if choices:
        matching = [choice for choice in choices if typed(choice) == text]
        return matching[0] if matching else _refuse(text)
    match form.get("type"):
        case "null":
            return None if text.lower() in _NONE else _refuse(text)
        case "boolean":
            return _boolean(text)
        case "integer":
            return int(text)
        case "number":
            return float(text)
        case "string":
            return text
        case "array":
            return _parse_list(text, form)
        case _:
            return json.loads(text)


def _parse_list(text: str, form: Schema) -> object:
    if text.startswith("["):
        return json.loads(text)
    items = form.get("items")
    if isinstance(items, Mapping) and items.get("type") == "string":
        return [part.strip() for part in text.split(",")]
    return json.loads(f"[{text}]")


def _boolean(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        _refuse(text)
    return word in _TRUE


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)


def _alternatives(field: Schema, root: Schema) -> list[Schema]:
    """Return the alternatives of a field, with references resolved."""
    if "$ref" in field:
        name = str(field["$ref"]).rsplit("/", 1)[-1]
        return _alternatives(root.get("$defs", {}).get(name, {}), root)
    alternatives = field.get("anyOf") or field.get("oneOf") or (field.get("allOf") or ())[:1]
    return [form for one in alternatives for form in _alternatives(one, root)] if alternatives else [field]


def _choices(form: Schema) -> list[Any]:
    return [form["const"]] if "const" in form else list(form.get("enum", ()))


def _kind(form: Schema) -> str:
    choices = _choices(form)
    if choices:
        return " | ".join(typed(choice) for choice in choices)
    kind = _TYPE_NAMES.get(str(form.get("type")), "JSON")
    count = form.get("minItems")
    return f"list of {count}" if kind == "list" and count and count == form.get("maxItems") else kind


def _bounds(form: Schema) -> str:
    low, above = form.get("minimum"), form.get("exclusiveMinimum")
    high, below = form.get("maximum"), form.get("exclusiveMaximum")
    parts = [
        f"≥ {low:g}" if low is not None else f"> {above:g}" if above is not None else "",
        f"≤ {high:g}" if high is not None else f"< {below:g}" if below is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def _example(known: Mapping[str, Any]) -> str:
    name = next(iter(known), "name")
    return f"{name}={typed(known.get(name, {}).get('default', 'value'))}"


def _unknown(name: str, known: list[str], owner: str) -> InvalidRequestError:
    listed = ", ".join(known) or "none"
    return _invalid(
        f"'{owner}' has no parameter '{name}'.", f"{did_you_mean(name, known)}Its parameters are: {listed}."
    )


def _invalid(message: str, hint: str) -> InvalidRequestError:
    return InvalidRequestError(message, code=ErrorCode.INVALID_PARAMETERS, hint=hint)
