"""Printing of numbers, errors and tables."""

from __future__ import annotations

import pytest

from cryomamba.errors import InvalidRequestError
from cryomamba_cli import output


@pytest.mark.parametrize(("value", "text"), [(0, "0 s"), (59.4, "59 s"), (125, "2 min 5 s"), (7500, "2 h 5 min")])
def test_durations(value: float, text: str) -> None:
    """Seconds become minutes and hours from 60 on."""
    assert output.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_340_000_000, "2.34 GB"), (5e15, "5e+03 TB")]
)
def test_sizes(value: int, text: str) -> None:
    """Bytes get a decimal unit."""
    assert output.nbytes(value) == text


def test_an_error_is_printed_with_code_fields_and_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """Message, code, further invalid fields and hint go to stderr."""
    fields = [{"field": "a", "problem": "too small"}, {"field": "b", "problem": "too large"}]
    output.print_error(InvalidRequestError("The size is not valid.", hint="Use another.", details={"fields": fields}))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "error: The size is not valid. (bad_request)",
        "       b: too large",
        "hint: Use another.",
    ]


def test_tables_are_plain_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Long cells are not wrapped, brackets are not markup, and lines have no trailing spaces."""
    output.table(("A", "B"), [("[red]x", "y " * 300), ("1", "")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("[red]x")
    assert all(line == line.rstrip() for line in lines)
