"""What can go wrong on the way to a gateway, as typed errors."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from cryomamba.errors import CryoMambaError, ErrorCode, ProtocolError, UnavailableError, error_from_payload


def unreachable(url: str, error: httpx.TransportError) -> UnavailableError:
    """Return the error for a request that got no reply."""
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return UnavailableError(
            f"The gateway at {url} did not answer in time.",
            code=ErrorCode.TIMEOUT,
            hint="It may be busy; try again in a moment.",
        )
    return UnavailableError(
        f"No gateway answers at {url}.",
        hint="Check that the services are running ('cryomamba run') and that address and port are the gateway's.",
    )


def may_repeat(error: httpx.TransportError, *, repeatable: bool) -> bool:
    """Whether a request may be sent once more: always if it never left, else if repeating it changes nothing."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return True
    return repeatable and not isinstance(error, httpx.TimeoutException | httpx.UnsupportedProtocol)


def error_of(reply: httpx.Response) -> CryoMambaError:
    """Return the error that a reply with a status from 400 on stands for."""
    try:
        payload = reply.json()
    except ValueError:
        payload = None
    if isinstance(payload, Mapping) and "code" in payload and "message" in payload:
        error = error_from_payload(payload)
        if payload.get("request_id"):
            error.details["request_id"] = str(payload["request_id"])
        return error
    if reply.status_code in {502, 503, 504}:
        return UnavailableError(
            f"A proxy in front of the gateway answered with status {reply.status_code}.",
            hint="The gateway behind it may be down; try again in a moment.",
        )
    return ProtocolError(
        f"The reply with status {reply.status_code} does not come from a CryoMamba gateway.",
        hint="Check that the address is the gateway's.",
    )
