"""Writes ``model.toml``, which describes a model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from cryomamba.trained_models.description import ModelDescription

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


def sidecar_toml(description: ModelDescription) -> str:
    """Return a description as TOML; fields with their default are left out."""
    fields = description.model_dump(mode="json", exclude_defaults=True)
    # The kind of a step is its default, too.
    steps = [step.model_dump(mode="json", exclude_none=True) for step in description.normalization]
    fields |= {"normalization": steps} if steps else {}
    tables = {name: value for name, value in fields.items() if isinstance(value, dict)}
    lines = [f"{_key(name)} = {_value(value)}" for name, value in fields.items() if name not in tables]
    for name, table in tables.items():
        lines += ["", f"[{_key(name)}]", *(f"{_key(str(key))} = {_value(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _text(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, Mapping):
        pairs = (f"{_key(key)} = {_value(item)}" for key, item in value.items() if item is not None)
        return f"{{ {', '.join(pairs)} }}"
    return repr(value)


def _text(text: str) -> str:
    # A JSON string is a TOML string; DEL alone must be escaped there and is not here.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
