"""The state of the connection to a server. Pure; the clock is an argument."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from cryomamba.errors import CryoMambaError, ErrorCode, UnavailableError
from cryomamba.models.server import ServerInfo
from napari_cryomamba.models.notifications import Level, Notification

TRANSPORTS = {"http": "via HTTP", "bus": "direct connection"}
BACKOFF_S = (1.0, 2.0, 4.0, 8.0)
REFUSED_RETRY_S = 30.0


class Phase(StrEnum):
    """The phase of the connection."""

    OFF = "off"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DEGRADED = "degraded"
    WAITING = "waiting"
    REFUSED = "refused"

    @property
    def usable(self) -> bool:
        """Whether the server answers requests."""
        return self in {Phase.CONNECTED, Phase.DEGRADED}


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """The state of the connection, as the connection panel shows it.

    Attributes
    ----------
    reason : str
        Why it is degraded, waiting or refused.
    hint : str
        What the user can do about it.
    info : ServerInfo or None
        The server's last response.
    transport : str
        ``http`` or ``bus``.
    latency_s : float or None
        Round-trip time of a small request.
    code : str
        Of the error, if there is one.
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
        """Return the line beside the light, with the seconds until the next attempt."""
        match self.phase:
            case Phase.OFF:
                return "Not connected. You can still work locally."
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
    def needs_token(self) -> bool:
        """Whether the server requires a token, and got none or an invalid one."""
        return self.phase is Phase.REFUSED and self.code == ErrorCode.UNAUTHORIZED

    @property
    def server(self) -> str:
        """Return a line about the server: service, version and workers."""
        if self.info is None:
            return ""
        count = len(self.info.workers)
        workers = f"{count} worker{'' if count == 1 else 's'}"
        busy = sum(worker.job_id is not None for worker in self.info.workers)
        return f"{self.info.service} {self.info.version} · {workers}{f', {busy} busy' if busy else ''}"


@dataclass(slots=True)
class ConnectionModel:
    """Turns responses and failures into a :class:`ConnectionState`, and returns notifications for the user.

    A failure that repeats makes no further notification: a server that stays down makes one, not one per attempt.
    """

    state: ConnectionState = field(default_factory=ConnectionState)
    _failures: int = 0

    def open(self, url: str) -> list[Notification]:
        """Start to connect to an address."""
        self._failures = 0
        self.state = ConnectionState(Phase.CONNECTING, url)
        return []

    def close(self) -> None:
        """Disconnect."""
        self.state = ConnectionState(Phase.OFF, self.state.url)

    def on_response(self, info: ServerInfo, *, transport: str, latency_s: float | None = None) -> list[Notification]:
        """Handle a response of the server."""
        before = self.state
        reason, hint = _degradation(info)
        phase = Phase.DEGRADED if reason else Phase.CONNECTED
        self._failures = 0
        self.state = ConnectionState(phase, before.url, reason, hint, info, transport, latency_s)
        notifications = []
        if not before.phase.usable:
            again = " again" if before.info is not None else ""
            notifications.append(Notification(Level.INFO, f"Connected{again} to {before.url}."))
        if before.info is not None and before.info.epoch != info.epoch:
            notifications.append(Notification(Level.INFO, "The server was restarted; jobs continue."))
        if reason and reason != before.reason:
            notifications.append(
                Notification(Level.WARNING, f"The server is connected, but {reason.removesuffix('.')}.", hint)
            )
        if before.phase is Phase.DEGRADED and not reason:
            notifications.append(Notification(Level.INFO, "The server is fully available again."))
        return notifications

    def on_failure(self, error: CryoMambaError, *, now: float) -> list[Notification]:
        """Handle a failure: one that may pass is retried soon, any other is a refusal."""
        before = self.state
        retryable = isinstance(error, UnavailableError) or error.retryable
        wait = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)] if retryable else REFUSED_RETRY_S
        self._failures += 1
        self.state = ConnectionState(
            phase=Phase.WAITING if retryable else Phase.REFUSED,
            url=before.url,
            reason=error.message,
            hint=error.hint,
            info=before.info,
            transport=before.transport,
            code=str(error.code),
            retry_at=now + wait,
        )
        if before.phase is self.state.phase or (before.phase is Phase.WAITING and retryable):
            return []
        what = "The connection was lost: " if before.phase.usable else f"Cannot connect to {before.url}: "
        text = error.message if "lost" in error.message else f"{what}{error.message}"
        return [Notification(Level.WARNING, text, error.hint, code=str(error.code))]

    def on_connection_lost(self, message: str, *, now: float) -> list[Notification]:
        """Handle a connection that broke."""
        if not self.state.phase.usable:
            return []
        what = message.partition(";")[0].rstrip(".")
        return self.on_failure(
            UnavailableError(f"{what}.", hint="Jobs on the server continue without this window."), now=now
        )


def _degradation(info: ServerInfo) -> tuple[str, str]:
    if not info.workers:
        return (
            "it has no worker: jobs wait",
            "Ask whoever runs the server to start a worker, or use 'Run on this computer'.",
        )
    if info.status == "degraded":
        return "it reports a problem", "See CryoMamba → Help → Check installation…"
    return "", ""
