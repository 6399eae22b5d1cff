"""Conditional and partial responses (RFC 9110, sections 13 and 14) for content that is in memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cryomamba.errors import ConflictError, ErrorCode
from cryomamba_gateway.errors import envelope, of_status

_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.IGNORECASE)


def is_named(condition: str | None, etag: str) -> bool:
    """Whether the value of If-None-Match or If-Match names an ETag."""
    listed = [tag.strip().removeprefix("W/") for tag in (condition or "").split(",")]
    return "*" in listed or bool(etag and etag in listed)


def not_modified(request: Request, headers: Mapping[str, str]) -> Response | None:
    """Return the answer 304 if the client has the content with the ETag in `headers` already.

    Raises
    ------
    ConflictError
        ``precondition_failed``: If-Match names other content. A weak ETag in it matches nothing.
    """
    etag = headers.get("ETag", "")
    wanted = request.headers.get("if-match")
    if wanted is not None and not is_named(wanted.replace("W/", "weak "), etag):
        raise ConflictError(
            "The content is not the one that the header 'If-Match' names.",
            code=ErrorCode.PRECONDITION_FAILED,
            hint="Send the request again without the header to get the current content.",
        )
    if is_named(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=dict(headers))
    return None


def answer(request: Request, content: bytes, media_type: str, headers: Mapping[str, str]) -> Response:
    """Return the content or the one range of it that is requested; `headers` have its ETag.

    A Range header of another form, or with an If-Range that names another state, is ignored, as HTTP allows.
    """
    own = {**headers, "Accept-Ranges": "bytes"}
    wanted = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if wanted is None or not any(wanted.groups()) or request.headers.get("if-range", own["ETag"]) != own["ETag"]:
        return Response(content, headers=own, media_type=media_type)
    start, stop = _span(wanted[1], wanted[2], len(content))
    if start >= stop:
        return envelope(request.scope, of_status(416), {"Content-Range": f"bytes */{len(content)}"})
    own["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
    return Response(content[start:stop], 206, own, media_type)


def _span(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size
