"""Logging: one line per record, in text or JSON, and nothing secret in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from cryomamba.errors import InvalidRequestError
from cryomamba_server.logs import configure_logging, parse_log_setting, without_secrets

logger = logging.getLogger("test.logs")


@pytest.fixture(autouse=True)
def restored_root() -> Iterator[None]:
    """Leave the root logger as it was."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("info", ("info", "text")), ("debug,json", ("debug", "json")), ("WARNING, Text", ("warning", "text"))],
)
def test_level_and_form_are_read_from_one_setting(setting: str, expected: tuple[str, str]) -> None:
    """The setting is a level, and optionally a form."""
    assert parse_log_setting(setting) == expected


@pytest.mark.parametrize("setting", ["", "loud", "info,xml", "json"])
def test_a_setting_that_is_neither_is_refused_by_name(setting: str) -> None:
    """The error names the variable."""
    with pytest.raises(InvalidRequestError, match="CRYOMAMBA_LOG"):
        parse_log_setting(setting)


def test_json_lines_carry_extra_fields_and_exceptions(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line is one object with its time in UTC, whatever the record holds."""
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


def test_a_name_forges_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Line breaks in what others chose are written out."""
    configure_logging("info", service="broker")
    logging.getLogger("x").info("The file %s.", "a\n2026-01-01T00:00:00Z error broker: all is lost\r\x1b[2J\u2028")
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "\\n2026" in err
    assert "\x1b" not in err


def test_text_lines_name_the_service_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Configured twice, a record still gives one line."""
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
def test_secrets_are_blotted_out(text: str) -> None:
    """What gives access is not in any line, and the rest of the line stays."""
    clean = without_secrets(text)
    assert "abc.def.ghi" not in clean
    assert clean.startswith(text.partition("abc")[0])
