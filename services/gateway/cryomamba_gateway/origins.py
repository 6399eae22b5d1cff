"""Which web pages may use the gateway. CORS alone protects neither WebSockets nor simple requests."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit


def is_encrypted(scheme: str, headers: Mapping[str, str]) -> bool:
    """Whether a request was encrypted between the browser and this gateway, or a proxy in front of it.

    The proxy's header is trusted from anybody: a web page cannot set it, and a program gains nothing by it.

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
        With lower-case names. A request without ``origin`` comes from a program, not from a page, unless the browser
        says in ``sec-fetch-site`` that it does (Fetch Metadata).
    allowed : collection of str
        Origins besides the gateway's own, such as ``https://lab.example.org``.
    tls : bool
        Whether the request was encrypted: then an unencrypted page of the same host counts as another origin, because
        anybody on the network may have changed it.
    """
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "").lower() not in {"cross-site", "same-site"}
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
    """Return the CORS rules (Fetch standard) that let pages of the allowed origins read responses.

    Such pages send a token; the session cookie is only for the gateway's own pages.
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
