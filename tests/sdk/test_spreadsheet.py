"""Text cells of tables that people open in a spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest

from cryomamba.spreadsheet import text_cell, write_rows


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", " =1", "\uff1d1+1", "-1e", "+", '=HYPERLINK("http://a")'],
)
def test_a_formula_becomes_text(text: str) -> None:
    """It begins with an apostrophe, and is otherwise what it was."""
    assert text_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["\t=1", "\r=1", "\n=1", "\u202e=1"])
def test_characters_that_hide_a_formula_are_escaped(text: str) -> None:
    """A tab, line break or mark before it is shown as such, so the cell does not begin with the formula."""
    assert text_cell(text).startswith("\\")


@pytest.mark.parametrize("text", ["-1.5", "+2", "-1e-05", ".5", "-.5E+3", "", "t1.mrc", "a=b", "1-2", "'quoted'"])
def test_numbers_and_names_stay(text: str) -> None:
    """What no spreadsheet computes is not changed."""
    assert text_cell(text) == text


def test_no_separator_begins_a_new_cell() -> None:
    """Read with commas or semicolons, no cell begins with a formula, and with commas every cell is what was written."""
    rows = [("name", "value"), ("a;=1+1", -1.5), ("b|=1", None), ('c";=2', "-3"), ("d", 4)]
    table = io.StringIO(newline="")
    write_rows(table, rows)
    for delimiter in ",;\t":
        cells = [cell for row in csv.reader(io.StringIO(table.getvalue()), delimiter=delimiter) for cell in row]
        assert not [cell for cell in cells if cell.startswith("=")]
    read = list(csv.reader(io.StringIO(table.getvalue())))
    assert read == [["name", "value"], ["a;=1+1", "-1.5"], ["b|=1", ""], ['c";=2', "-3"], ["d", "4"]]
