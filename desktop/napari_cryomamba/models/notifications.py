"""Notifications for the user, kept for as long as the window is open."""

from __future__ import annotations

import platform
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version

from cryomamba.errors import CryoMambaError

HISTORY_MAX = 500
_UNDATED = datetime.min.replace(tzinfo=UTC)
_REPORTED_PACKAGES = ("cryomamba", "napari", "numpy", "PySide6_Essentials", "PyQt6", "pyzmq", "httpx", "vispy")


class Level(StrEnum):
    """Severity of a notification."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Notification:
    """One message for the user.

    Attributes
    ----------
    text : str
        What happened, a sentence.
    hint : str
        What the user can do about it.
    context : str
        What was being done, for example ``Submitting the job``.
    code, request_id : str
        For support; empty if there is none.
    detail : str
        Anything longer, shown on request.
    answers : bool
        Whether it answers something that the user did; such an error is shown where that was.
    at : datetime
        When, UTC.
    count : int
        How often it was repeated in a row.
    """

    level: Level
    text: str
    hint: str = ""
    context: str = ""
    code: str = ""
    request_id: str = ""
    detail: str = ""
    answers: bool = False
    at: datetime = _UNDATED
    count: int = 1

    @classmethod
    def of_error(cls, error: CryoMambaError, *, context: str = "", detail: str = "") -> Notification:
        """Return the notification for an error, with its code and, if a gateway set one, its request id."""
        details = dict(error.details)
        request_id = str(details.pop("request_id", ""))
        facts = "\n".join(f"{key}: {value}" for key, value in details.items())
        return cls(
            level=Level.ERROR,
            text=error.message,
            hint=error.hint,
            context=context,
            code=str(error.code),
            request_id=request_id,
            detail="\n".join(part for part in (facts, detail) if part),
            answers=True,
        )

    def same_as(self, other: Notification) -> bool:
        """Whether both have the same content."""
        return (self.level, self.text, self.hint, self.context) == (other.level, other.text, other.hint, other.context)


class NotificationHistory:
    """The newest notifications; one that repeats the last is counted, not listed again."""

    def __init__(self, limit: int = HISTORY_MAX) -> None:
        self._notifications: deque[Notification] = deque(maxlen=limit)
        self.unread = 0

    def __len__(self) -> int:
        return len(self._notifications)

    @property
    def entries(self) -> tuple[Notification, ...]:
        """All notifications, oldest first."""
        return tuple(self._notifications)

    def add(self, notification: Notification, *, at: datetime | None = None) -> bool:
        """Add a notification, and return False if it only repeats the last one."""
        stamped = replace(notification, at=at or datetime.now(UTC))
        if self._notifications and self._notifications[-1].same_as(notification):
            self._notifications[-1] = replace(stamped, count=self._notifications[-1].count + 1)
            return False
        self._notifications.append(stamped)
        if notification.level is not Level.INFO:
            self.unread += 1
        return True

    def mark_read(self) -> None:
        """Mark everything as read."""
        self.unread = 0

    def clear(self) -> None:
        """Remove everything."""
        self._notifications.clear()
        self.unread = 0


def bug_report(notifications: Iterable[Notification], *, server: str = "") -> str:
    """Return a text to send to the developers: versions, system, server and notifications, without file paths."""
    lines = ["CryoMamba bug report", ""]
    lines += [f"{name} {_version_of(name)}" for name in _REPORTED_PACKAGES]
    lines += [
        f"Python {platform.python_version()} on {platform.system()} {platform.release()}",
        f"Server: {server}",
        "",
    ]
    for notification in notifications:
        times = f" (×{notification.count})" if notification.count > 1 else ""
        level, context = notification.level.upper(), notification.context
        lines.append(f"{notification.at:%Y-%m-%d %H:%M:%S}Z {level} {context}: {notification.text}{times}")
        for name in ("code", "request_id", "detail"):
            if value := getattr(notification, name):
                lines.append(f"    {name}: {value}")
    return "\n".join(lines)


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
