"""Exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryomamba.errors import ErrorCode, error_from_payload
from cryomamba_server.exit_codes import MEANINGS, ExitCode, exit_code

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "exit-codes.md"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCode.VOLUME_NOT_FOUND, 5),
        (ErrorCode.INVALID_PARAMETERS, 2),
        (ErrorCode.PATH_FORBIDDEN, 2),
        (ErrorCode.NOT_FOUND, 3),
        (ErrorCode.UNAVAILABLE, 4),
        (ErrorCode.PROTOCOL, 4),
        (ErrorCode.JOB_FINAL, 6),
        (ErrorCode.UNAUTHORIZED, 7),
        (ErrorCode.OUT_OF_MEMORY, 1),
        (ErrorCode.INTERNAL, 70),
    ],
)
def test_each_kind_of_error_has_its_exit_code(code: ErrorCode, status: int) -> None:
    """Scripts can tell the kinds of errors apart."""
    assert exit_code(error_from_payload({"code": code, "message": "x"})) == status


def test_every_code_is_mapped() -> None:
    """Every error code has an exit code that is documented and does not mean success."""
    found = {exit_code(error_from_payload({"code": code, "message": "x"})) for code in ErrorCode}
    assert ExitCode.OK not in found
    assert found <= set(MEANINGS)


def test_the_reference_lists_all_exit_codes() -> None:
    """The page has every exit code with its meaning."""
    page = PAGE.read_text(encoding="utf-8")
    rows = [f"| {code.value} | {MEANINGS[code]} |" for code in ExitCode]
    stated = [line for line in page.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert stated[: len(rows)] == rows
