"""The state of the connection to a server; pure, the clock is handed in."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from cryomamba.errors import CryoMambaError, ErrorCode, UnavailableError
from cryomamba.models.server import ServerInfo
from napari_cryomamba.models.history import Level, Notice

BACKOFF_S = (1.0, 2.0, 4.0, 8.0)
REFUSED_RETRY_S = 30.0


class Phase(StrEnum):
    """How the connection stands."""

    OFF = "off"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DEGRADED = "degraded"
    WAITING = "waiting"
    REFUSED = "refused"

    @property
    def usable(self) -> bool:
        """Whether requests can be answered."""
        return self in {Phase.CONNECTED, Phase.DEGRADED}


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """What the connection panel shows.

    Attributes
    ----------
    phase : Phase
    url : str
    reason : str
        Why it is degraded, waiting or refused.
    hint : str
        What to do about it.
    info : ServerInfo or None
        The server's last answer.
    transport : str
        ``gateway`` or ``bus``.
    latency_s : float or None
        Seconds that one small question took.
    code : str
        Of the error, where there is one.
    retry_at : float or None
        When the next try is due, on the clock of the model.
    """

    phase: Phase = Phase.OFF
    url: str = ""
    reason: str = ""
    hint: str = ""
    info: ServerInfo | None = None
    transport: str = ""
    latency_s: float | None = None
    code: str = ""
    retry_at: float | None = None

    def text(self, now: float) -> str:
        """Return the line beside the light, with the seconds to the next try counted down."""
        match self.phase:
            case Phase.OFF:
                return "Not connected. Everything local works."
            case Phase.CONNECTING:
                return f"Connecting to {self.url} …"
            case Phase.CONNECTED:
                return "Connected"
            case Phase.DEGRADED:
                return f"Connected, but {self.reason}"
            case Phase.REFUSED:
                return f"Refused: {self.reason} {self.hint}".rstrip()
            case Phase.WAITING:
                left = max(math.ceil((self.retry_at or now) - now), 0)
                return f"Reconnecting in {left} s" if left else "Reconnecting …"

    @property
    def wants_token(self) -> bool:
        """Whether the server refuses because it was given no token, or one that is no good."""
        return self.phase is Phase.REFUSED and self.code == ErrorCode.UNAUTHORIZED

    @property
    def server(self) -> str:
        """Return who is on the other side in a line: service, version and workers."""
        if self.info is None:
            return ""
        count = len(self.info.workers)
        workers = f"{count} worker{'' if count == 1 else 's'}"
        busy = sum(worker.job_id is not None for worker in self.info.workers)
        return f"{self.info.service} {self.info.version} · {workers}{f', {busy} busy' if busy else ''}"


@dataclass(slots=True)
class ConnectionModel:
    """Turns answers and failures into a :class:`ConnectionState`; every method returns what the person should be told.

    A failure that repeats tells nothing new, so a server that stays away makes one message, not one per try.
    """

    link: ConnectionState = field(default_factory=ConnectionState)
    _failures: int = 0

    def open(self, url: str) -> list[Notice]:
        """Start with an address."""
        self._failures = 0
        self.link = ConnectionState(Phase.CONNECTING, url)
        return []

    def close(self) -> None:
        """Stop."""
        self.link = ConnectionState(Phase.OFF, self.link.url)

    def answered(self, info: ServerInfo, *, transport: str, latency_s: float | None = None) -> list[Notice]:
        """Take the server's answer."""
        before = self.link
        reason, hint = _shortcoming(info)
        phase = Phase.DEGRADED if reason else Phase.CONNECTED
        self._failures = 0
        self.link = ConnectionState(phase, before.url, reason, hint, info, transport, latency_s)
        notices = []
        if not before.phase.usable:
            again = " again" if before.info is not None else ""
            notices.append(Notice(Level.INFO, f"Connected{again} to {before.url}."))
        if before.info is not None and before.info.epoch != info.epoch:
            notices.append(Notice(Level.INFO, "The broker was restarted; jobs are picked up again."))
        if reason and reason != before.reason:
            notices.append(Notice(Level.WARNING, _sentence(f"The server is reached, but {reason}"), hint))
        if before.phase is Phase.DEGRADED and not reason:
            notices.append(Notice(Level.INFO, "The server is complete again."))
        return notices

    def failed(self, error: CryoMambaError, *, now: float) -> list[Notice]:
        """Take a failure: one that may pass is tried again soon, any other is a refusal."""
        before = self.link
        retryable = isinstance(error, UnavailableError) or error.retryable
        wait = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)] if retryable else REFUSED_RETRY_S
        self._failures += 1
        self.link = ConnectionState(
            phase=Phase.WAITING if retryable else Phase.REFUSED,
            url=before.url,
            reason=error.message,
            hint=error.hint,
            info=before.info,
            transport=before.transport,
            code=str(error.code),
            retry_at=now + wait,
        )
        if before.phase is self.link.phase or (before.phase is Phase.WAITING and retryable):
            return []
        what = "The connection was lost: " if before.phase.usable else "No connection: "
        text = error.message if "lost" in error.message else f"{what}{error.message}"
        return [Notice(Level.WARNING, text, error.hint, code=str(error.code))]

    def lost(self, message: str, *, now: float) -> list[Notice]:
        """Take word of the transport that the connection broke."""
        if not self.link.phase.usable:
            return []
        what = message.partition(";")[0].rstrip(".")
        return self.failed(UnavailableError(f"{what}.", hint="Jobs go on without this window."), now=now)


def _shortcoming(info: ServerInfo) -> tuple[str, str]:
    if not info.workers:
        return (
            "no inference service is there: jobs wait",
            "Start one with 'python -m cryomamba_inference', or use 'Run here'.",
        )
    if info.status == "degraded":
        return "the server calls itself degraded", "'cryomamba doctor' tells more."
    return "", ""


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
