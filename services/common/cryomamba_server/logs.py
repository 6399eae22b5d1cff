"""Logging of all services: one line per record on standard error, as text or JSON, times in UTC."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Final

from cryomamba.printable import json_text, printable
from cryomamba.settings import parse_log_setting
from cryomamba_server.log_context import ContextFilter

# What a record has besides its fields, including what uvicorn adds.
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_RESERVED: Final = _OWN | {"timestamp", "level", "service", "logger", "exception"}
_PLAIN: Final = re.compile(r"[\w.:/@+*-]+")
_TOKENS: Final = re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
_SECRETS: Final = re.compile(r"(?i)\b(bearer\s+|(?:token|signature|secret|password|api[_-]?key)\s*[=:]\s*)[^\s&\"',;]+")


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
    ValueError
        The setting is not valid; :class:`~cryomamba.settings.Settings` accepts valid ones only.
    """
    level, log_format = parse_log_setting(setting)
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter(service) if log_format == "json" else TextFormatter(service)
    load_formatting(formatter)
    handler.setFormatter(formatter)
    handler.addFilter(ContextFilter())
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


def redact_secrets(text: str) -> str:
    """Return a text with bearer tokens, signatures, passwords and keys redacted."""
    return _TOKENS.sub("***", _SECRETS.sub(r"\1***", text))


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Return the fields of a record: those bound to its task, and its ``extra``."""
    return {name: value for name, value in vars(record).items() if name not in _RESERVED}


def json_line(fields: dict[str, object]) -> str:
    """Return fields as one line of JSON, without secrets; control characters in it are escaped as JSON escapes them."""
    clean = {name: redact_secrets(value) if isinstance(value, str) else value for name, value in fields.items()}
    return json_text(clean, default=str)


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z info broker: message [job_id=… request_id=…]``; tracebacks follow, indented."""

    def __init__(self, service: str) -> None:
        super().__init__("%(message)s")
        self._service = service

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return message and fields on one line; fields that the message names are not repeated."""
        message = super().formatMessage(record)
        named = [(name, str(value)) for name, value in fields_of(record).items()]
        listed = " ".join(f"{name}={_quoted(value)}" for name, value in named if not _says(message, value))
        return printable(message + (f" [{listed}]" if listed else ""))

    def formatException(self, ei: object) -> str:
        """Return a traceback with each line indented, so that none looks like a record."""
        return _indented(super().formatException(ei))  # type: ignore[arg-type]

    def formatStack(self, stack_info: str) -> str:
        """Return a stack with each line indented."""
        return _indented(super().formatStack(stack_info))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback if there is one."""
        # The standard formatter would keep the traceback for other handlers, whose format may differ.
        record.exc_text = None
        text = redact_secrets(super().format(record))
        record.exc_text = None
        return f"{timestamp(record)} {record.levelname.lower()} {self._service}: {text}"


def _says(message: str, value: str) -> bool:
    return len(value) > 1 and value in message


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)


def _indented(text: str) -> str:
    return "\n".join(f"    {printable(line)}" for line in text.split("\n"))


class JsonFormatter(logging.Formatter):
    """One JSON object per line, with a field for each item that is bound to the task or in the record's ``extra``."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields: dict[str, object] = {
            "timestamp": timestamp(record),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json_line(fields)


def timestamp(record: logging.LogRecord) -> str:
    """Return the time of a record in UTC, to the millisecond."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
