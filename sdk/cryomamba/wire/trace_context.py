"""The request that a message belongs to: the id that the client gave it, its W3C trace context, and who makes it.

A gateway, a worker or a script sets the context around what it does; every request on the bus and over HTTP that is
made meanwhile carries it, so that the logs of all services can be searched for one id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

REQUEST_ID_MAX: Final = 128
ACTOR_MAX: Final = 128
_ACTOR: Final = re.compile(rf"[0-9A-Za-z_.@/-]{{1,{ACTOR_MAX}}}")
_REQUEST_ID: Final = re.compile(rf"[0-9A-Za-z._-]{{1,{REQUEST_ID_MAX}}}")
# W3C Trace Context, level 1: version, trace id, parent id and flags; ids of zeros and version ff are invalid.
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """What identifies a request in all logs and traces.

    Attributes
    ----------
    request_id : str or None
        1 to 128 letters, digits and ``._-``.
    traceparent : str or None
        The header of W3C Trace Context.
    actor : str or None
        For the audit log: who makes the request, as the sender has authenticated them. A gateway writes the owner and
        the id of the token, ``ada/0f3c…``. It permits nothing.
    """

    request_id: str | None = None
    traceparent: str | None = None
    actor: str | None = None

    @property
    def trace_id(self) -> str | None:
        """The trace id in `traceparent`, 32 hexadecimal digits."""
        return None if self.traceparent is None else self.traceparent[3:35]


NO_TRACE: Final = TraceContext()
_CURRENT: Final[ContextVar[TraceContext]] = ContextVar("cryomamba_trace", default=NO_TRACE)


def current_trace() -> TraceContext:
    """Return the context of the present task or thread; without ids if none was set."""
    return _CURRENT.get()


@contextmanager
def use_trace(trace: TraceContext) -> Iterator[None]:
    """Set the context for what is done inside the block."""
    before = _CURRENT.set(trace)
    try:
        yield
    finally:
        _CURRENT.reset(before)


def is_request_id(text: str) -> bool:
    """Whether a text may be a request id."""
    return _REQUEST_ID.fullmatch(text) is not None


def is_actor(text: str) -> bool:
    """Whether a text may name who makes a request."""
    return _ACTOR.fullmatch(text) is not None


def is_traceparent(text: str) -> bool:
    """Whether a text is a valid ``traceparent``."""
    return _TRACEPARENT.fullmatch(text) is not None


def trace_headers() -> dict[str, str]:
    """Return the HTTP headers of the present context."""
    trace = current_trace()
    named = {"X-Request-ID": trace.request_id, "traceparent": trace.traceparent}
    return {name: value for name, value in named.items() if value is not None}
