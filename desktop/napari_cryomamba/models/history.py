"""What went wrong and what happened, as sentences, kept for as long as the window is open."""

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
    """How much a message matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Notice:
    """One message for the person.

    Attributes
    ----------
    level : Level
    text : str
        What happened, a sentence.
    hint : str
        What to do about it.
    context : str
        What was being done, for example ``Submitting the job``.
    code, request_id : str
        For whoever has to find out more; empty where there is none.
    detail : str
        Anything longer, shown on demand.
    at : datetime
        When, UTC.
    count : int
        How often in a row.
    """

    level: Level
    text: str
    hint: str = ""
    context: str = ""
    code: str = ""
    request_id: str = ""
    detail: str = ""
    at: datetime = _UNDATED
    count: int = 1

    @classmethod
    def of_error(cls, error: CryoMambaError, *, context: str = "", detail: str = "") -> Notice:
        """Return the message for an error, with its code and (where a gateway gave one) its request id."""
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
        )

    def same_as(self, other: Notice) -> bool:
        """Whether both say the same thing."""
        return (self.level, self.text, self.hint, self.context) == (other.level, other.text, other.hint, other.context)


class History:
    """The newest messages; one that repeats the last is counted, not listed again."""

    def __init__(self, limit: int = HISTORY_MAX) -> None:
        self._notices: deque[Notice] = deque(maxlen=limit)
        self.unread = 0

    def __len__(self) -> int:
        return len(self._notices)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """All messages, oldest first."""
        return tuple(self._notices)

    def add(self, notice: Notice, *, at: datetime | None = None) -> bool:
        """Keep a message.

        Returns
        -------
        bool
            False if it only repeats the last one.
        """
        stamped = replace(notice, at=at or datetime.now(UTC))
        if self._notices and self._notices[-1].same_as(notice):
            self._notices[-1] = replace(stamped, count=self._notices[-1].count + 1)
            return False
        self._notices.append(stamped)
        if notice.level is not Level.INFO:
            self.unread += 1
        return True

    def mark_read(self) -> None:
        """Say that the person has seen everything."""
        self.unread = 0

    def clear(self) -> None:
        """Forget everything."""
        self._notices.clear()
        self.unread = 0


def bug_report(notices: Iterable[Notice], *, server: str = "") -> str:
    """Return a text to send to the developers: versions, system, server and the messages. It holds no file path."""
    lines = ["CryoMamba bug report", ""]
    lines += [f"{name} {_version_of(name)}" for name in _REPORTED_PACKAGES]
    lines += [
        f"Python {platform.python_version()} on {platform.system()} {platform.release()}",
        f"Server: {server}",
        "",
    ]
    for notice in notices:
        times = f" (×{notice.count})" if notice.count > 1 else ""
        lines.append(f"{notice.at:%Y-%m-%d %H:%M:%S}Z {notice.level.upper()} {notice.context}: {notice.text}{times}")
        for name in ("code", "request_id", "detail"):
            if value := getattr(notice, name):
                lines.append(f"    {name}: {value}")
    return "\n".join(lines)


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
