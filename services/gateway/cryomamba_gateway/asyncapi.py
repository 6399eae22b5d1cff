"""The description of the WebSockets as an AsyncAPI 3 document, made of the models of their messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from cryomamba._version import __version__
from cryomamba.models.jobs import EventType, Progress
from cryomamba.wire.webframe import MEDIA_TYPE, SUBPROTOCOL
from cryomamba_gateway.deprecated import FINAL_TYPES
from cryomamba_gateway.live import messages
from cryomamba_gateway.models import JobOut

Schema = dict[str, Any]
_SCHEMAS: Final = "#/components/schemas/"
_INBOUND: Final[tuple[type[BaseModel], ...]] = get_args(messages.Inbound)
_RECEIVED: Final[JsonSchemaMode] = "validation"
_RECORD: Final = {"$ref": f"{_SCHEMAS}JobOut"}
_ERROR: Final[Schema] = {
    "type": "object",
    "required": ["code", "message", "hint", "retryable", "details"],
    "properties": {
        "code": {"type": "string"},
        "message": {"type": "string"},
        "hint": {"type": "string"},
        "retryable": {"type": "boolean"},
        "details": {"type": "object"},
    },
}
_PREVIEW: Final[Schema] = {
    "type": "object",
    "description": "The newest mask, coarser by the whole number in `scale` along z, y, x; `payload` has the labels in "
    "base64, raw, in C order.",
    "required": ["shape", "scale", "dtype", "payload", "volume_shape"],
    "properties": {
        "shape": {"type": "array", "items": {"type": "integer"}},
        "scale": {"type": "array", "items": {"type": "integer"}},
        "volume_shape": {"type": "array", "items": {"type": "integer"}},
        "dtype": {"enum": ["uint8", "uint16"]},
        "payload": {"type": "string", "contentEncoding": "base64"},
    },
}
_PROGRESS: Final[Schema] = {
    "allOf": [
        {"$ref": f"{_SCHEMAS}Progress"},
        {"type": "object", "required": ["attempt"], "properties": {"attempt": {"type": "integer"}}},
    ]
}
_LINK: Final[Schema] = {
    "type": "object",
    "required": ["status", "message", "retry_s"],
    "properties": {
        "status": {"enum": ["connected", "lost", "restarted"]},
        "message": {"type": "string"},
        "retry_s": {"type": "number"},
    },
}
_SUBSCRIBED: Final[Schema] = {"type": "object", "required": ["epoch"], "properties": {"epoch": {"type": "integer"}}}
_NOTHING: Final[Schema] = {"type": "null"}
_SENT: Final[Mapping[str, tuple[Schema, str]]] = {
    "connected": (_RECORD, "The current record: the first message about a job."),
    **dict.fromkeys(get_args(EventType), (_RECORD, "A change of state. None of these is ever dropped.")),
    "subscribed": (
        _SUBSCRIBED,
        "The answer to a subscription to all jobs: events after the number `seq` will be sent. Come back with both.",
    ),
    "progress": (_PROGRESS, "Progress of a job. An unread one is replaced by a newer one."),
    "preview": (_PREVIEW, "The newest preview. An unread one is replaced by a newer one."),
    "link": (_LINK, "The gateway lost or regained its connection to the broker."),
    "error": (_ERROR, "An error; with the first types, also the end of a job that failed."),
    "pong": (_NOTHING, "The answer to a ping."),
    **{
        first: (_RECORD, f"Deprecated: the same as {present}, sent after it with `first_types=true`.")
        for present, first in FINAL_TYPES.items()
        if first != "error"
    },
}


def document() -> Schema:
    """Return the AsyncAPI document of the gateway's WebSockets."""
    modes: dict[type[BaseModel], JsonSchemaMode] = {JobOut: "serialization", Progress: "serialization"}
    wanted = [*modes.items(), *((model, _RECEIVED) for model in _INBOUND)]
    _, definitions = models_json_schema(wanted, ref_template=f"{_SCHEMAS}{{model}}")
    inbound = [definitions["$defs"][model.__name__]["properties"]["type"]["const"] for model in _INBOUND]
    sent = [*_SENT, "frame"]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "CryoMamba gateway: WebSockets",
            "version": __version__,
            "description": "Events of jobs, with previews of the mask. HTTP is described by /openapi.json, the "
            "messages to webhooks too, as its `webhooks`.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {
                "host": "localhost:8000",
                "protocol": "ws",
                "description": "The gateway on this machine; wss with a certificate or behind a reverse proxy.",
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {
            "job": {
                "address": "/v1/ws/jobs/{job_id}",
                "description": "One job, to its end.",
                "parameters": {"job_id": {"description": "Id of the job."}},
                "messages": _references([*sent, "auth", "ping", "ack"]),
                "bindings": {"ws": {"query": _query()}},
            },
            "jobs": {
                "address": "/v1/ws",
                "description": "The jobs to which the client subscribes.",
                "messages": _references([*sent, *inbound]),
            },
        },
        "operations": {
            "sendJob": _operation("send", "job", sent, "Events of the job."),
            "receiveJob": _operation(
                "receive", "job", ["auth", "ping", "ack"], "Messages that a client of one job may send."
            ),
            "sendJobs": _operation("send", "jobs", sent, "Events of the jobs that the client follows."),
            "receiveJobs": _operation("receive", "jobs", inbound, "Messages that a client may send."),
        },
        "components": {
            "messages": {
                **{type_: _sent_message(type_, data, about) for type_, (data, about) in _SENT.items()},
                **{name: _received_message(name, model) for name, model in zip(inbound, _INBOUND, strict=True)},
                "frame": _frame(),
            },
            "schemas": {name: _draft_7(schema) for name, schema in definitions["$defs"].items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _references(names: Iterable[str]) -> Schema:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _operation(action: str, channel: str, names: Iterable[str], summary: str) -> Schema:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names],
    }


def _query() -> Schema:
    choice = {"type": "string", "enum": ["true", "false"]}
    return {
        "type": "object",
        "properties": {
            "previews": {**choice, "description": "'false' leaves the previews out."},
            "first_types": {**choice, "description": "Deprecated: 'true' also sends the last message's first type."},
        },
    }


def _sent_message(type_: str, data: Schema, about: str) -> Schema:
    return {
        "name": type_,
        "summary": about,
        "payload": {
            "type": "object",
            "required": ["type", "job_id", "timestamp", "seq", "data"],
            "properties": {
                "type": {"const": type_},
                "job_id": {"type": ["string", "null"]},
                "timestamp": {"type": "string", "format": "date-time"},
                "seq": {
                    "type": "integer",
                    "minimum": 0,
                    "description": "Number of the event for changes of state, `connected` and `subscribed`.",
                },
                "data": data,
            },
        },
    }


def _received_message(name: str, model: type[BaseModel]) -> Schema:
    return {
        "name": name,
        "summary": " ".join((model.__doc__ or "").split()),
        "payload": {"$ref": f"{_SCHEMAS}{model.__name__}"},
    }


def _frame() -> Schema:
    return {
        "name": "frame",
        "summary": f"A preview as a binary message, with the subprotocol {SUBPROTOCOL} in place of `preview`: four "
        "bytes with the length of the header (unsigned, little-endian), the header as JSON, the labels packed to bits.",
        "contentType": MEDIA_TYPE,
        "payload": {"type": "string", "format": "binary"},
    }


def _draft_7(schema: Any) -> Any:  # noqa: ANN401 (any JSON value)
    """Return a schema in the dialect of AsyncAPI, in which a tuple is a list under ``items``."""
    if isinstance(schema, list):
        return [_draft_7(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {"items" if name == "prefixItems" else name: _draft_7(value) for name, value in schema.items()}
