"""Which web pages may use the gateway: CORS rules guard neither WebSockets nor simple requests, so this does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit


def came_by_tls(scheme: str, headers: Mapping[str, str]) -> bool:
    """Whether a request was encrypted on its way from the browser, to this gateway or to a proxy before it.

    The proxy's word is believed whoever says it: a page cannot, and a program that lies gains nothing.

    Parameters
    ----------
    scheme : str
        Of the ASGI scope.
    headers : mapping
        With lower-case names.
    """
    return scheme in {"https", "wss"} or headers.get("x-forwarded-proto", "").lower() == "https"


def origin_allowed(headers: Mapping[str, str], allowed: Collection[str], *, tls: bool = False) -> bool:
    """Whether a request comes from a page that may make it.

    Parameters
    ----------
    headers : mapping
        With lower-case names. A request without ``origin`` comes from a program, not from a page.
    tls : bool
        Whether the request was encrypted: then a page of the same host that was not is foreign, because anybody on its
        way may have written it.
    allowed : collection of str
        Origins besides the gateway's own, such as ``https://lab.example.org``.
    """
    origin = headers.get("origin")
    if origin is None:
        return True
    if origin.lower() in allowed:
        return True
    try:
        page = urlsplit(origin)
    except ValueError:
        return False
    if tls and page.scheme != "https":
        return False
    return page.netloc.lower() == headers.get("host", "").lower() != ""


def cross_origin(allowed: Collection[str]) -> dict[str, Any]:
    """Return the CORS rules (Fetch standard) by which browsers let pages of other origins read the answers.

    Such pages show a token of their own; the session's cookie is for the gateway's pages alone.
    """
    return {
        "allow_origins": list(allowed),
        "allow_methods": ["GET", "HEAD", "POST", "PUT", "DELETE"],
        "allow_headers": ["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Range", "X-Request-ID"],
        "expose_headers": [
            "Content-Range",
            "ETag",
            "Location",
            "Retry-After",
            "X-RateLimit-Limit",
            "X-RateLimit-Remaining",
            "X-RateLimit-Reset",
            "X-Request-ID",
        ],
    }
