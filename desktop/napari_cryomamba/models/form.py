"""The fields of a form, made from an engine's JSON schema, and the parameters that are entered in it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jsonschema import Draft202012Validator

from cryomamba.engines.info import CHOICES as MODELS

Kind = Literal["integer", "number", "boolean", "choice", "model", "text", "json"]
Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FormField:
    """One parameter of an engine.

    Attributes
    ----------
    kind : str
        Of the field; ``model`` for the name of a trained model, ``json`` if no simple field fits.
    optional : bool
        Whether it may be left empty (None).
    minimum, maximum : float or None
        Bounds, inclusive unless `exclusive` names them.
    exclusive : frozenset of {'minimum', 'maximum'}
    choices : tuple
        Values of a choice.
    """

    name: str
    title: str
    kind: Kind
    default: Any = None
    description: str = ""
    unit: str = ""
    optional: bool = False
    minimum: float | None = None
    maximum: float | None = None
    exclusive: frozenset[str] = frozenset()
    choices: tuple[Any, ...] = ()

    @property
    def label(self) -> str:
        """Return the title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def bounds_text(self) -> str:
        """Return the bounds in words, empty if there are none."""
        low = "above" if "minimum" in self.exclusive else "at least"
        high = "below" if "maximum" in self.exclusive else "at most"
        parts = [f"{low} {self.minimum:g}"] if self.minimum is not None else []
        parts += [f"{high} {self.maximum:g}"] if self.maximum is not None else []
        return " and ".join(parts)


class FormModel:
    """The form of one engine, made from the JSON schema of its parameters."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.fields = tuple(_fields(schema))
        self._validator = Draft202012Validator(dict(schema))

    @property
    def model_field(self) -> str | None:
        """Name of the field that names a trained model, None if there is none."""
        return next((field.name for field in self.fields if field.kind == "model"), None)

    @property
    def defaults(self) -> dict[str, Any]:
        """The engine's default values."""
        return {field.name: field.default for field in self.fields}

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with the values, by field name; empty if they are valid."""
        found: dict[str, str] = {}
        for field in self.fields:
            value = values.get(field.name)
            if field.kind == "model" and not value and not field.optional:
                found[field.name] = "Choose a model."
            if isinstance(value, float) and not math.isfinite(value):
                found[field.name] = "Enter a number."
        for error in self._validator.iter_errors(dict(values)):
            name = str(error.absolute_path[0]) if error.absolute_path else _missing(error.message)
            found.setdefault(name, self._sentence(name, error.message))
        return found

    def changed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that are not the engine's defaults: only these are sent."""
        defaults = self.defaults
        return {name: value for name, value in values.items() if name not in defaults or value != defaults[name]}

    def _sentence(self, name: str, message: str) -> str:
        field = next((field for field in self.fields if field.name == name), None)
        if field is not None and field.bounds_text and field.kind in {"integer", "number"}:
            return f"{field.title} must be {field.bounds_text}{f' {field.unit}' if field.unit else ''}."
        return f"{message[:1].upper()}{message[1:]}."


def parse_json(text: str) -> Any:  # noqa: ANN401 (whatever the JSON is)
    """Parse the text of a ``json`` field; text that is not JSON is returned unchanged."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _fields(schema: Schema) -> Iterator[FormField]:
    for name, raw in schema.get("properties", {}).items():
        if raw.get("hidden"):
            # It is not typed but painted, for example.
            continue
        resolved, optional = _resolve(raw, schema)
        yield FormField(
            name=name,
            title=str(raw.get("title") or resolved.get("title") or name.replace("_", " ").capitalize()),
            kind="model" if raw.get("choices_from") == MODELS else _kind(resolved),
            default=raw.get("default", resolved.get("default")),
            description=str(raw.get("description", resolved.get("description", ""))),
            unit=str(raw.get("unit", resolved.get("unit", ""))),
            optional=optional,
            minimum=resolved.get("minimum", resolved.get("exclusiveMinimum")),
            maximum=resolved.get("maximum", resolved.get("exclusiveMaximum")),
            exclusive=frozenset(side for side in ("minimum", "maximum") if f"exclusive{side.capitalize()}" in resolved),
            choices=tuple(resolved.get("enum", (resolved["const"],) if "const" in resolved else ())),
        )


def _resolve(raw: Schema, root: Schema) -> tuple[Schema, bool]:
    """Follow a reference and remove null from ``anyOf``; return whether it was there."""
    if "$ref" in raw:
        target = root.get("$defs", {}).get(str(raw["$ref"]).rpartition("/")[2], {})
        return _resolve({**target, **{key: value for key, value in raw.items() if key != "$ref"}}, root)
    options = raw.get("anyOf")
    if not options:
        return raw, False
    real = [option for option in options if option.get("type") != "null"]
    if len(real) != 1:
        return raw, len(real) < len(options)
    resolved, _ = _resolve(real[0], root)
    return resolved, len(real) < len(options)


def _kind(schema: Schema) -> Kind:
    if "enum" in schema or "const" in schema:
        return "choice"
    match schema.get("type"):
        case "integer":
            return "integer"
        case "number":
            return "number"
        case "boolean":
            return "boolean"
        case "string":
            return "text"
        case _:
            return "json"


def _missing(message: str) -> str:
    return message.split("'")[1] if message.count("'") >= 2 else ""
