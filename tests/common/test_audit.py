"""The audit log: one JSON object a line, appended by several programs, readable by its owner alone."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cryomamba.wire.trace_context import TraceContext, use_trace
from cryomamba_server import log_context
from cryomamba_server.audit import AUDIT, audit, audit_command, audit_download, open_audit_log


@pytest.fixture(autouse=True)
def restored_logger() -> Iterator[None]:
    """Leave the logger as it was."""
    logger = logging.getLogger(AUDIT)
    handlers, propagate = logger.handlers[:], logger.propagate
    yield
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
        handler.close()
    logger.handlers[:] = handlers
    logger.propagate = propagate


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_an_entry_says_who_did_what_to_what(tmp_path: Path) -> None:
    """Time, service, action and outcome come first, then the bound fields and those of the call."""
    path = tmp_path / "home" / "audit.jsonl"
    open_audit_log(path, service="broker")
    with use_trace(TraceContext("r-1")), log_context.bind(actor="ada/1", owner="ada"):
        audit("job.cancel", "refused", job_id="j\n1", code="not_found", nothing=None)
    (entry,) = entries(path)
    assert list(entry)[:4] == ["timestamp", "service", "action", "outcome"]
    del entry["timestamp"]
    about = {"actor": "ada/1", "owner": "ada", "job_id": "j\n1", "code": "not_found", "request_id": "r-1"}
    assert entry == {"service": "broker", "action": "job.cancel", "outcome": "refused", **about}


def test_entries_are_private_and_survive_rotation(tmp_path: Path) -> None:
    """The file is its owner's alone, and a new one is begun after it was renamed."""
    path = tmp_path / "audit.jsonl"
    open_audit_log(path, service="gateway")
    audit("file.delete", file_id="f1")
    path.rename(tmp_path / "audit.1.jsonl")
    audit("file.delete", file_id="f2")
    assert [one["file_id"] for one in entries(tmp_path / "audit.1.jsonl") + entries(path)] == ["f1", "f2"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_log_that_cannot_be_written_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The work continues, and the entries are in the service's own log."""
    (tmp_path / "file").write_text("")
    open_audit_log(tmp_path / "file" / "audit.jsonl", service="broker")
    with caplog.at_level(logging.INFO):
        audit("job.submit", job_id="j1")
        audit("job.submit", job_id="j2")
    messages = [record.getMessage() for record in caplog.records]
    assert sum("cannot be written" in message for message in messages) == 1
    assert [message for message in messages if "j2" in message] == ["Audit: job.submit j2 done."]


def test_a_full_disk_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """Writing fails after opening has succeeded: no traceback is printed."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    open_audit_log(full, service="broker")
    audit("job.submit", job_id="j1")
    audit("job.submit", job_id="j2")
    assert [record.getMessage() for record in caplog.records if "cannot" in record.getMessage()] == [
        "The audit log /dev/full cannot be written: No space left on device."
    ]


def test_a_command_names_the_account(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A command has no log of its own, so nothing is printed."""
    audit_command(tmp_path / "audit.jsonl", "token.create", token_id="t1", owner="ada")
    (entry,) = entries(tmp_path / "audit.jsonl")
    assert (entry["service"], entry["action"], entry["owner"]) == ("cli", "token.create", "ada")
    assert entry["account"]
    assert capsys.readouterr() == ("", "")


def test_no_piece_of_a_file_is_read_without_an_entry(tmp_path: Path) -> None:
    """A download in pieces has one entry, wherever it begins; each that begins with the first byte has its own."""
    path = tmp_path / "audit.jsonl"
    open_audit_log(path, service="gateway")
    for actor, from_start in (("ada", False), ("ada", False), ("bob", True), ("bob", False), ("bob", True)):
        with log_context.bind(actor=actor):
            audit_download(from_start=from_start, job_id="pieces", artifact="mask.mrc")
    audit_download("refused", from_start=False, job_id="pieces", artifact="mask.mrc")
    assert [(one.get("actor"), one["outcome"]) for one in entries(path)] == [
        ("ada", "done"),
        ("bob", "done"),
        ("bob", "done"),
        (None, "refused"),
    ]
