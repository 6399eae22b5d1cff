"""Text in tables that people open in a spreadsheet, which would compute a cell that looks like a formula.

A name of a tomogram, layer or label, and a message that contains one, may have been written by somebody else. The rules
are those of OWASP ("CSV Injection"): such a cell begins with an apostrophe, and a text in which another separator could
begin a new cell is quoted.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from cryomamba.printable import printable

# Some programs also take the full-width forms of these characters, and ignore blanks before them.
_FORMULA: Final = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_OTHER_SEPARATOR: Final = re.compile("[;\t|]")


def text_cell(text: str) -> str:
    """Return a text as a spreadsheet may show it: printable, with an apostrophe before what would be a formula.

    A number stays as it is.
    """
    shown = printable(text)
    return f"'{shown}" if _FORMULA.match(shown) and not _NUMBER.fullmatch(shown) else shown


def write_rows(file: TextIO, rows: Iterable[Sequence[object]]) -> None:
    """Write the rows of a CSV table; texts are those of :func:`text_cell`.

    Parameters
    ----------
    file : TextIO
        Opened with ``newline=""``.
    rows : iterable of sequence
        None is an empty cell.
    """
    plain = csv.writer(file, lineterminator="\n")
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        cells = [text_cell(cell) if isinstance(cell, str) else cell for cell in row]
        # In many countries the separator of a spreadsheet is the semicolon.
        has_other = any(isinstance(cell, str) and _OTHER_SEPARATOR.search(cell) for cell in cells)
        (quoted if has_other else plain).writerow(cells)
