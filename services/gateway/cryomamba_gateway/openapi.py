"""The OpenAPI document as generators of clients need it, made of the one that the framework generates.

- A model that takes exactly one of several fields becomes named alternatives, each closed, so that a generated client
  has a type for each.
- A field that a request may leave out has no ``default``: some generators make such a field mandatory. Its description
  has the default.
- A response to HEAD has no content, which a client would try to read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from cryomamba.errors import ErrorCode
from cryomamba_gateway import examples
from cryomamba_gateway.access.auth import is_public

Schema = dict[str, Any]
_REF: Final = "#/components/schemas/"
_ATTRIBUTES: Final = "\n\nAttributes\n----------\n"
_ATTRIBUTE: Final = re.compile(r"^(\w+(?:, \w+)*)(?: :[^\n]*)?\n?((?:    [^\n]*\n?|\n)*)", re.MULTILINE)
_UNUSED: Final = ("HTTPValidationError", "ValidationError")
_SECURITY: Final = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}


def described(generate: Callable[[], Schema]) -> Callable[[], Schema]:
    """Return a function that makes the document of a gateway from that of the framework."""

    def openapi() -> Schema:
        document = generate()
        schemas = document["components"]["schemas"]
        document["components"]["securitySchemes"] = _SECURITY
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                _describe_access(operation, public=is_public(method.upper(), path))
                if method == "head":
                    _drop_content(operation)
        for name in _UNUSED:
            schemas.pop(name, None)
        _name_directions(document)
        _describe_properties(document["components"]["schemas"])
        _split_alternatives(document["components"]["schemas"])
        _move_defaults(document["components"]["schemas"])
        return document

    return openapi


def _describe_access(operation: Schema, *, public: bool) -> None:
    if not public:
        operation["security"] = [{"token": []}, {}]
    own = () if public else (ErrorCode.UNAUTHORIZED, ErrorCode.RATE_LIMITED)
    for status, answer in examples.errors(ErrorCode.BAD_REQUEST, ErrorCode.FORBIDDEN, *own).items():
        answer.pop("model")
        answer["content"]["application/json"]["schema"] = {"$ref": f"{_REF}ErrorBody"}
        operation["responses"].setdefault(str(status), answer)
    # The framework's own validation error is never sent.
    if "HTTPValidationError" in str(operation["responses"].get("422")):
        del operation["responses"]["422"]


def _drop_content(operation: Schema) -> None:
    for response in operation["responses"].values():
        response.pop("content", None)
        response.pop("links", None)


def _name_directions(document: Schema) -> None:
    """Name a model that is sent with all its fields ``XOut``, and the same model in a request ``X``."""
    schemas: dict[str, Schema] = document["components"]["schemas"]
    names = {name: name.removesuffix("-Input") for name in schemas if name.endswith("-Input")}
    names |= {name: f"{name.removesuffix('-Output')}Out" for name in schemas if name.endswith("-Output")}
    for name, schema in schemas.items():
        if name.endswith("-Output"):
            schema["title"] = names[name]
            # A newer server may send more.
            schema.pop("additionalProperties", None)
    document["components"]["schemas"] = {names.get(name, name): schema for name, schema in schemas.items()}
    for schema in _objects(document):
        if isinstance(ref := schema.get("$ref"), str) and (name := ref.removeprefix(_REF)) in names:
            schema["$ref"] = _REF + names[name]


def _describe_properties(schemas: Mapping[str, Schema]) -> None:
    """Move what a docstring says of attributes, in numpy form, to the properties themselves."""
    for schema in schemas.values():
        about, _, attributes = schema.get("description", "").partition(_ATTRIBUTES)
        if not attributes:
            continue
        schema["description"] = about
        properties = schema.get("properties", {})
        for names, text in _ATTRIBUTE.findall(attributes):
            for name in names.split(", "):
                if name in properties and text.strip():
                    properties[name].setdefault("description", " ".join(text.split()))


def _split_alternatives(schemas: dict[str, Schema]) -> None:
    """Replace each model with ``oneOf`` titled, required fields by a choice of closed models with these titles."""
    for name, schema in list(schemas.items()):
        wanted = {one["title"]: one["required"][0] for one in schema.get("oneOf", ()) if "required" in one}
        if not wanted:
            continue
        for title, field in wanted.items():
            schemas[title] = _alternative(schema, title, field, set(wanted.values()) - {field})
        refs = [{"$ref": _REF + title} for title in wanted]
        schemas[name] = {"title": name, "description": schema["description"], "oneOf": refs}


def _alternative(schema: Schema, title: str, field: str, others: set[str]) -> Schema:
    properties = {name: value for name, value in schema["properties"].items() if name not in others}
    kind, null = properties[field]["anyOf"]
    if null != {"type": "null"}:
        raise ValueError(f"The alternative {title} is not one value or null.")
    own = {key: value for key, value in properties[field].items() if key != "anyOf"}
    properties[field] = {**kind, **own}
    return {
        "title": title,
        "description": f"{schema['description'].partition(':')[0]}: by its `{field}`.",
        "type": "object",
        "properties": properties,
        "required": [field],
        "additionalProperties": False,
    }


def _move_defaults(schemas: Mapping[str, Schema]) -> None:
    for schema in schemas.values():
        for name, value in schema.get("properties", {}).items():
            if "default" not in value:
                continue
            default = json.dumps(value.pop("default"))
            if name not in schema.get("required", ()) and default not in {'""', "{}", "[]"}:
                value["description"] = f"{value.get('description', '')} The default is {default}.".strip()


def _objects(value: object) -> Iterator[Schema]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item)
