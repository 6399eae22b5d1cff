"""Logging of all services: one line per record on standard error, as text or JSON, times in UTC."""

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
    """Parse ``CRYOMAMBA_LOG``: a level, optionally followed by a comma and the format.

    Raises
    ------
    InvalidRequestError
        The level or the format is unknown.
    """
    level, _, log_format = (part.strip() for part in setting.lower().partition(","))
    if level not in LEVELS or log_format not in {"", "text", "json"}:
        raise InvalidRequestError(
            f"CRYOMAMBA_LOG is '{setting}', which is not a valid level and format.",
            hint=f"Use one of {', '.join(LEVELS)}, optionally followed by ',json' for JSON lines.",
        )
    return level, "json" if log_format == "json" else "text"


def configure_logging(setting: str, *, service: str) -> None:
    """Send all records of this process to standard error; a second call replaces the first.

    Parameters
    ----------
    setting : str
        The value of ``CRYOMAMBA_LOG``, such as ``info`` or ``debug,json``.
    service : str
        Name of the service, part of every line.

    Raises
    ------
    InvalidRequestError
        The setting is not valid.
    """
    level, log_format = parse_log_setting(setting)
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter(service) if log_format == "json" else TextFormatter(service)
    load_formatting(formatter)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # At level info these log every request and every closed file descriptor.
    for name in ("httpx", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def load_formatting(formatter: logging.Formatter) -> None:
    """Format a record with a traceback and a character to escape, so that no module or codec has to be loaded later.

    Loading opens files. Without a free descriptor that would fail, and with it the line that says so.
    """
    try:
        raise OSError("\x1b")
    except OSError:
        record = logging.LogRecord("", logging.ERROR, "", 0, "\x1b", (), sys.exc_info())
    formatter.format(record)


def escape_control_characters(text: str) -> str:
    """Return a text with line breaks and other control characters escaped, so that it cannot forge a log line."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def redact_secrets(text: str) -> str:
    """Return a text with bearer tokens, signatures, passwords and keys redacted."""
    return _TOKENS.sub("***", _SECRETS.sub(r"\1***", text))


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z info broker: message``."""

    def __init__(self, service: str) -> None:
        super().__init__("%(message)s")
        self._service = service

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the message on one line."""
        return escape_control_characters(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback if there is one."""
        text = redact_secrets(super().format(record))
        return f"{_timestamp(record)} {record.levelname.lower()} {self._service}: {text}"


class JsonFormatter(logging.Formatter):
    """One JSON object per line, with a field for each item of the record's ``extra``."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields: dict[str, object] = {
            "timestamp": _timestamp(record),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        clean = {name: redact_secrets(value) if isinstance(value, str) else value for name, value in fields.items()}
        return json.dumps(clean, default=str, ensure_ascii=False)


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
