"""Logging: one line per record, as text or JSON, without secrets."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cryomamba.testing import DEADLINE_S
from cryomamba.wire.trace_context import TraceContext, use_trace
from cryomamba_server import log_context
from cryomamba_server.logs import configure_logging, redact_secrets

logger = logging.getLogger("test.logs")

FORGED = (
    "a\n2026-01-01T00:00:00Z error broker: all is lost\r\x1b[2J\u2028\x9b31m\u202e\u200b\U000e0041\ud800 "
    '{"level": "error"}'
)


@pytest.fixture(autouse=True)
def restored_root() -> Iterator[None]:
    """Leave the root logger as it was."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


NO_DESCRIPTOR = """
import logging, os, resource
from cryomamba_server.logs import configure_logging
configure_logging("info", service="test")
lowest = os.open(os.devnull, os.O_RDONLY)
os.close(lowest)
resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, lowest))
try:
    open(os.devnull)
except OSError:
    logging.getLogger("test").exception("Too many \\x1b[31m files.")
"""


def test_a_line_is_logged_without_a_free_descriptor() -> None:
    """Also the first one, with a traceback and with characters that are escaped: nothing has to be loaded for it."""
    done = subprocess.run([sys.executable, "-c", NO_DESCRIPTOR], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert lines[0].endswith("error test: Too many \\x1b[31m files.")
    assert lines[-1] == "    OSError: [Errno 24] Too many open files: '/dev/null'"
    assert "Logging error" not in done.stderr


def test_json_lines_carry_extra_fields_and_exceptions(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line is one JSON object with its time in UTC, whatever the record contains."""
    configure_logging("info,json", service="broker")
    logger.debug("not shown")
    logger.info("A job of %d tiles", 3, extra={"job": "j1", "odd": object()})
    try:
        raise ValueError("bad")
    except ValueError:
        logger.exception("It broke\nin two lines")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["service"], first["level"], first["message"]) == ("broker", "info", "A job of 3 tiles")
    assert first["job"] == "j1"
    assert first["timestamp"].endswith("Z")
    assert "ValueError: bad" in second["exception"]


def test_a_file_name_cannot_forge_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Line breaks and control characters are escaped."""
    configure_logging("info", service="broker")
    logging.getLogger("x").info("The file %s.", "a\n2026-01-01T00:00:00Z error broker: all is lost\r\x1b[2J\u2028")
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "\\n2026" in err
    assert "\x1b" not in err


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_user_text_forges_a_line(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    """In messages, fields and exceptions, a line break or an escape sequence is escaped, and the record is not lost."""
    configure_logging(f"info,{log_format}", service="broker")
    with log_context.bind(job_name=FORGED):
        logger.info("The file %s.", FORGED, extra={"file_name": FORGED})
        try:
            raise ValueError(FORGED)
        except ValueError:
            logger.exception("Failed")
    err = capsys.readouterr().err
    assert not {"\r", "\x1b", "\u2028", "\x9b", "\u202e", "\u200b", "\U000e0041", "\ud800"} & set(err)
    records = [line for line in err.split("\n") if line and not line.startswith("    ")]
    assert len(records) == 2
    if log_format == "json":
        first, second = (json.loads(record) for record in records)
        assert first["file_name"] == first["job_name"] == second["job_name"] == FORGED
        assert FORGED in second["exception"]


async def test_fields_follow_a_task_and_its_children(capsys: pytest.CaptureFixture[str]) -> None:
    """What is bound is in the records of the task, its subtasks and its threads, and of no other task."""
    configure_logging("info,json", service="broker")

    async def work(number: int) -> None:
        with use_trace(TraceContext(f"r-{number}")), log_context.bind(job_id=f"j-{number}", owner=None):
            await asyncio.sleep(0)
            await asyncio.create_task(asyncio.to_thread(logger.info, "in a thread"))
            log_context.add(attempt=number)
            logger.info("later", extra={"job_id": "its own"})
        logger.info("after")

    await asyncio.gather(work(1), work(2))
    records = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    for number in (1, 2):
        (thread,) = (one for one in records if one.get("job_id") == f"j-{number}")
        assert (thread["request_id"], "owner" in thread, "attempt" in thread) == (f"r-{number}", False, False)
    later = [one for one in records if one["message"] == "later"]
    assert sorted((one["attempt"], one["job_id"], one["request_id"]) for one in later) == [
        (1, "its own", "r-1"),
        (2, "its own", "r-2"),
    ]
    assert [set(one) & {"job_id", "request_id"} for one in records if one["message"] == "after"] == [set(), set()]


def test_a_text_line_has_the_fields_that_its_message_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    """A person reads the message first; a value that it names is not repeated."""
    configure_logging("info", service="broker")
    with log_context.bind(job_id="j-123", note="two words"):
        logger.info("Job %s is completed.", "j-123")
    assert capsys.readouterr().err.endswith('info broker: Job j-123 is completed. [note="two words"]\n')


def test_text_lines_name_the_service_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A second configuration replaces the first, so a record is still one line."""
    for _ in range(2):
        configure_logging("info", service="gateway")
    logger.warning("Slow.")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("warning gateway: Slow.")


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.def.ghi",
        "GET /v1/files/x?expires=1&signature=abc.def.ghi",
        "token=abc.def.ghi rest",
        "password: abc.def.ghi",
    ],
)
def test_secrets_are_redacted(text: str) -> None:
    """Tokens, signatures and passwords are replaced, and the rest of the line is kept."""
    clean = redact_secrets(text)
    assert "abc.def.ghi" not in clean
    assert clean.startswith(text.partition("abc")[0])
