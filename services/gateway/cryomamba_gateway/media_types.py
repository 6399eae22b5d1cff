"""Media types of request bodies: what a route does not accept is refused before the body is looked at."""

from __future__ import annotations

from typing import Final

from fastapi import Depends
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba_gateway.errors import envelope


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


class ContentEncodingMiddleware:
    """Refuses compressed bodies, which would be taken for what they are not."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle or refuse a request."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers({})
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding in {"", "identity"} or not _has_body(headers):
            await self.app(scope, receive, send)
            return
        error = InvalidRequestError(
            f"The header 'Content-Encoding' is '{encoding[:64]}', which is not accepted.",
            code=ErrorCode.UNSUPPORTED_MEDIA_TYPE,
            hint="Send the body as it is, without this header.",
        )
        await envelope(scope, error)(scope, receive, send)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _require_json(request: Request) -> None:
    if not _has_body(request.headers):
        return
    found = _media_type(request)
    if found != "application/json" and not (found.startswith("application/") and found.endswith("+json")):
        is_ = f"is '{found[:64]}'" if found else "is missing"
        raise InvalidRequestError(
            f"The header 'Content-Type' {is_}, and the body must be JSON.",
            code=ErrorCode.UNSUPPORTED_MEDIA_TYPE,
            hint="Send 'Content-Type: application/json'.",
        )


def _require_raw(request: Request) -> None:
    if (found := _media_type(request)).startswith("multipart/"):
        raise InvalidRequestError(
            f"The header 'Content-Type' is '{found[:64]}', and the body must be the file itself.",
            code=ErrorCode.UNSUPPORTED_MEDIA_TYPE,
            hint="Send the file as the body and not as a form: 'curl -T FILE' does that.",
        )
    if "content-range" in request.headers:
        raise InvalidRequestError(
            "The header 'Content-Range' is not accepted: the body must be the whole file or part.",
            hint="Send it again from its beginning, without this header.",
        )


JSON_BODY: Final = [Depends(_require_json)]
RAW_BODY: Final = [Depends(_require_raw)]
