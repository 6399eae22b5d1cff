"""The audit log: who submitted, changed, deleted or downloaded what, and who made or revoked tokens and keys.

An entry is one JSON object a line, in a file that all programs of a data directory append to, and a record of the
service's own log. Its fields are described in ``docs/operations/monitoring.md``.
"""

from __future__ import annotations

import getpass
import logging
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Final, Literal

from cryomamba_server.log_context import ContextFilter, bound
from cryomamba_server.logs import fields_of, json_line, timestamp

Outcome = Literal["done", "refused", "failed"]

AUDIT: Final = "cryomamba.audit"
_MODE: Final = 0o600
DOWNLOAD_S: Final = 3600.0
"""Pieces of a file that follow one another faster than this are one download."""
_DOWNLOADS_KEPT: Final = 10_000

logger = logging.getLogger(AUDIT)
_problems = logging.getLogger(__name__)


def audit(action: str, outcome: Outcome = "done", **fields: object) -> None:
    """Write an entry.

    Parameters
    ----------
    action : str
        What was done, as ``thing.verb``: for example ``job.submit`` or ``token.create``.
    outcome : str
        Whether it was done, refused, or failed for another reason.
    fields
        What it was done to, besides the fields bound to the task; None is left out.
    """
    named = {name: value for name, value in fields.items() if value is not None}
    about = {**bound(), **named, "action": action, "outcome": outcome}
    subject = " ".join(str(value) for value in named.values())
    logger.info("Audit: %s %s %s.", action, subject, outcome, extra=about)


class _Downloads:
    """Which pieces of files were read lately, and by whom. Thread-safe."""

    def __init__(self) -> None:
        self._read_at: OrderedDict[tuple[object, ...], float] = OrderedDict()
        self._lock = threading.Lock()

    def is_new(self, key: tuple[object, ...]) -> bool:
        """Note a piece, and return whether it continues no download."""
        now = time.monotonic()
        with self._lock:
            before = self._read_at.pop(key, None)
            self._read_at[key] = now
            if len(self._read_at) > _DOWNLOADS_KEPT:
                self._read_at.popitem(last=False)
        return before is None or now - before > DOWNLOAD_S


_downloads = _Downloads()


def audit_download(
    outcome: Outcome = "done", *, from_start: bool, job_id: str | None, artifact: str | None, **fields: object
) -> None:
    """Write an entry for a file that somebody reads, unless it is the next piece of a download that has one.

    Parameters
    ----------
    from_start : bool
        Whether its first byte is among those that are read: then it is a new download.
    outcome, fields
        As for :func:`audit`.
    """
    about = bound()
    who = (about.get("actor"), about.get("peer"), about.get("client"))
    if _downloads.is_new((*who, outcome, job_id, artifact)) or from_start:
        audit("artifact.download", outcome, job_id=job_id, artifact=artifact, **fields)


def open_audit_log(path: Path, *, service: str) -> None:
    """Append the entries of this process to a file; a second call replaces the first.

    The file is made for its owner alone. When another program renames or removes it, a new one is begun.
    """
    for old in [one for one in logger.handlers if isinstance(one, AuditFile)]:
        logger.removeHandler(old)
        old.close()
    logger.setLevel(logging.INFO)
    logger.addHandler(AuditFile(path, service))


class AuditFile(WatchedFileHandler):
    """Appends entries to a file; while it cannot be written, the service's own log still has them."""

    def __init__(self, path: Path, service: str) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self.setFormatter(AuditFormatter(service))
        self.addFilter(ContextFilter())
        self._failing = False

    def _open(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 (as in the standard library)
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        opened = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _MODE)
        return os.fdopen(opened, "a", encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Append an entry; report once that it cannot be done."""
        try:
            super().emit(record)
            self._failing = False
        except OSError as error:
            # What could not be written would stay in the stream's buffer.
            stream, self.stream = self.stream, None
            with suppress(OSError):
                if stream is not None:
                    stream.close()
            if not self._failing:
                self._failing = True
                _problems.warning("The audit log %s cannot be written: %s.", self.baseFilename, error.strerror)

    def handleError(self, record: logging.LogRecord) -> None:
        """Let :meth:`emit` handle it, instead of printing a traceback."""
        error = sys.exception()
        if isinstance(error, OSError):
            raise error
        super().handleError(record)


class AuditFormatter(logging.Formatter):
    """One entry as JSON: time, service, action and outcome first."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields: Mapping[str, object] = fields_of(record)
        first = {"timestamp": timestamp(record), "service": self._service}
        known = {name: fields[name] for name in ("action", "outcome") if name in fields}
        return json_line({**first, **known, **fields})


def audit_command(path: Path, action: str, **fields: str) -> None:
    """Write an entry for a command line, with the name of the account that ran it."""
    open_audit_log(path, service="cli")
    # Without a handler the record would go to the last resort, which prints it.
    logger.propagate = False
    audit(action, "done", account=_account(), **fields)


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"
