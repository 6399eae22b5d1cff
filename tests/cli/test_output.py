"""Numbers and errors as people read them."""

from __future__ import annotations

import pytest

from cryomamba.errors import InvalidRequestError
from cryomamba_cli import output


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 s"), (59.4, "59 s"), (125, "2 min 5 s"), (7500, "2 h 5 min")],
)
def test_durations(value: float, text: str) -> None:
    """Seconds become minutes and hours where they are many."""
    assert output.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_340_000_000, "2.34 GB"), (5e15, "5e+03 TB")]
)
def test_sizes(value: int, text: str) -> None:
    """Bytes get the unit that fits."""
    assert output.nbytes(value) == text


def test_every_field_of_an_error_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """An error prints its sentence with its code, further fields, and the hint, all on stderr."""
    fields = [{"field": "a", "problem": "too small"}, {"field": "b", "problem": "too large"}]
    output.complain(InvalidRequestError("It does not fit.", hint="Look.", details={"fields": fields}))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "error: It does not fit. (bad_request)",
        "       b: too large",
        "hint: Look.",
    ]


def test_tables_are_plain_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Long cells are not wrapped, brackets are not markup, and nothing trails."""
    output.table(("A", "B"), [("[red]x", "y " * 300), ("1", "")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("[red]x")
    assert all(line == line.rstrip() for line in lines)
