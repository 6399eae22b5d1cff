"""Responses that are the same for everybody: made once, and sent again only to those that do not have them yet."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from cryomamba_gateway.conditional import is_named


class CachedResponse:
    """A response with an ETag (RFC 9110, section 8.8.3); the answer to a client that has it already is 304.

    Parameters
    ----------
    content : bytes
    media_type : str
    headers : mapping of str to str
        More headers; ``Cache-Control`` is ``no-cache`` unless it is one of them.
    """

    def __init__(self, content: bytes, media_type: str, headers: Mapping[str, str] | None = None) -> None:
        self._content, self._media_type = content, media_type
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        self._headers = {"Cache-Control": "no-cache", "ETag": etag, **(headers or {})}

    def answer(self, request: Request) -> Response:
        """Return the response to a request."""
        if is_named(request.headers.get("if-none-match"), self._headers["ETag"]):
            return Response(status_code=304, headers=self._headers)
        return Response(self._content, headers=self._headers, media_type=self._media_type)
