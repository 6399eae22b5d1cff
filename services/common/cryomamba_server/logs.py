"""Logging as every service does it: one line per record on standard error, as text or JSON, times in UTC."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Final, Literal

from cryomamba.errors import InvalidRequestError

LEVELS: Final = ("debug", "info", "warning", "error")

_OWN_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "service"}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TOKENS: Final = re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
_SECRETS: Final = re.compile(r"(?i)\b(bearer\s+|(?:token|signature|secret|password|api[_-]?key)\s*[=:]\s*)[^\s&\"',;]+")


def parse_log_setting(setting: str) -> tuple[str, Literal["text", "json"]]:
    """Take ``CRYOMAMBA_LOG`` apart: a level, and optionally the form after a comma.

    Raises
    ------
    InvalidRequestError
        The level or the form is not one that there is.
    """
    level, _, form = (part.strip() for part in setting.lower().partition(","))
    if level not in LEVELS or form not in {"", "text", "json"}:
        raise InvalidRequestError(
            f"CRYOMAMBA_LOG is '{setting}', which is not a level and form.",
            hint=f"Write one of {', '.join(LEVELS)}, and ',json' after it for JSON lines.",
        )
    return level, "json" if form == "json" else "text"


def configure_logging(setting: str, *, service: str) -> None:
    """Send all records of this process to standard error; calling it again replaces what was set before.

    Parameters
    ----------
    setting : str
        The value of ``CRYOMAMBA_LOG``, such as ``info`` or ``debug,json``.
    service : str
        Name of the process, part of every line.

    Raises
    ------
    InvalidRequestError
        The setting does not fit.
    """
    level, form = parse_log_setting(setting)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service) if form == "json" else TextFormatter(service))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # These two tell about every request and every closed file descriptor.
    for chatty in ("httpx", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def on_one_line(text: str) -> str:
    """Return a text whose line breaks and other control characters are written out, so that it forges no line."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def without_secrets(text: str) -> str:
    """Return a text with bearer tokens, signatures, passwords and keys blotted out."""
    return _TOKENS.sub("***", _SECRETS.sub(r"\1***", text))


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z info broker: message``."""

    def __init__(self, service: str) -> None:
        super().__init__("%(message)s")
        self._service = service

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the message on one line."""
        return on_one_line(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback below it if there is one."""
        return f"{_when(record)} {record.levelname.lower()} {self._service}: {without_secrets(super().format(record))}"


class JsonFormatter(logging.Formatter):
    """One JSON object per line; what a caller gives as ``extra`` becomes fields of its own."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields: dict[str, object] = {
            "timestamp": _when(record),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        clean = {name: without_secrets(value) if isinstance(value, str) else value for name, value in fields.items()}
        return json.dumps(clean, default=str, ensure_ascii=False)


def _when(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
