"""The access log: one record for each request, and the fields that it has."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import Message, Scope

LOG_FIELDS: Final = "cryomamba.log_fields"
# Asked every few seconds by load balancers and Prometheus.
_PROBES: Final = frozenset({"/v1/healthz", "/v1/readyz", "/metrics"})

_GRANT: Final = re.compile(r"^(/v1/zarr/[^/]+/shared/)[^/]+")

logger = logging.getLogger("cryomamba.access")


@dataclass(slots=True)
class Response:
    """What was sent in response to a request.

    Attributes
    ----------
    status : int
        Of HTTP; for a WebSocket 101 if it was accepted, and 403 if it was refused.
    sent_bytes : int
        Size of the body, or of all messages of a WebSocket.
    received_bytes : int
        Size of the request's body, as far as it was read.
    close_code : int or None
        With which the gateway closed a WebSocket.
    """

    status: int = 500
    sent_bytes: int = 0
    received_bytes: int = 0
    close_code: int | None = None

    def note(self, message: Message) -> None:
        """Note a message of the application."""
        match message["type"]:
            case "http.response.start":
                self.status = message["status"]
            case "http.response.body":
                self.sent_bytes += len(message.get("body", b""))
            case "websocket.accept":
                self.status = 101
            case "websocket.send":
                self.sent_bytes += len(message.get("bytes") or message.get("text") or b"")
            case "websocket.close":
                self.close_code = message.get("code")
                self.status = 403 if self.status == 500 else self.status


def log_access(scope: Scope, route: str, response: Response, seconds: float) -> None:
    """Enter a request in the access log without signatures: its query, and the grant in the path of a link."""
    path = _GRANT.sub(r"\1…", str(scope["path"]))[:1024]
    method = "WS" if scope["type"] == "websocket" else str(scope["method"])[:32]
    about: dict[str, Any] = {
        **_bound(scope),
        "method": method,
        "path": path,
        "route": route,
        "status": response.status,
        "seconds": round(seconds, 6),
        "bytes": response.sent_bytes,
    }
    if response.close_code is not None:
        about["close_code"] = response.close_code
    level = logging.DEBUG if path in _PROBES and response.status < 500 else logging.INFO
    logger.log(level, "%s %s %d in %.0f ms", method, path, response.status, seconds * 1000, extra=about)


def _bound(scope: Scope) -> dict[str, object]:
    fields: Mapping[str, object] = scope.get(LOG_FIELDS, {})
    named = {name: str(value)[:128] for name, value in scope.get("path_params", {}).items() if name in _IDS}
    return {**named, **fields}


_IDS: Final = frozenset({"job_id", "upload_id", "file_id"})


def client_address(scope: Scope) -> str | None:
    """Return the address that a request came from; behind a proxy, that of the proxy."""
    client = scope.get("client")
    return None if client is None else str(client[0])


def route_template(scope: Scope) -> str:
    """Return the path template of the route that handled a request."""
    context = scope.get("fastapi", {}).get("effective_route_context")
    found = getattr(context or scope.get("route"), "path_format", None)
    if found is None and "endpoint" in scope and not scope.get("path_params"):
        # A plain route, such as that of the OpenAPI document: without parameters its path is its template.
        found = scope["path"]
    return str(found or "unmatched")
