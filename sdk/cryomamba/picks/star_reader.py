"""Reading of STAR files (Hall, 1991), as far as tables of particles need it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryomamba.errors import InvalidRequestError

# A value in quotes ends at a quote before a blank or the end of the line; a quote inside is doubled.
_VALUE: Final = re.compile(r"""\s*(?:"((?:[^"]|"")*)"(?=\s|$)|'((?:[^']|'')*)'(?=\s|$)|(\S+))""")

Columns = dict[str, list[str]]


def read_star(path: Path) -> dict[str, Columns]:
    """Return the data blocks of a STAR file: for each its columns by name, without the leading underscore.

    A block without a loop has columns of one value.

    Raises
    ------
    InvalidRequestError
        A row has too many or too few values; the message names the line.
    """
    blocks: dict[str, Columns] = {}
    columns: Columns = {}
    names: list[str] = []
    looping = False
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            if text.startswith("data_"):
                columns, names, looping = {}, [], False
                blocks[text[5:]] = columns
            elif text == "loop_":
                names, looping = [], True
            elif text.startswith("_"):
                name, *values = _values(text)
                columns[name[1:]] = [] if looping else values[:1]
                names.append(name[1:])
            elif looping:
                _add_row(columns, names, list(_values(text)), path, number)
    return blocks


def _add_row(columns: Columns, names: list[str], values: list[str], path: Path, number: int) -> None:
    if len(values) != len(names):
        raise InvalidRequestError(
            f"Line {number} of '{path.name}' has {len(values)} values; its table has {len(names)} columns.",
            hint="Check that the file is complete, and that names with blanks are in quotes.",
        )
    for name, value in zip(names, values, strict=True):
        columns[name].append(value)


def _values(text: str) -> Iterator[str]:
    at = 0
    while match := _VALUE.match(text, at):
        double, single, bare = match.groups()
        if bare is not None and bare.startswith("#"):
            return
        if double is not None:
            # As star_value() writes them: single quotes are doubled too, for readers that take both for one.
            yield double.replace('""', '"').replace("''", "'")
        elif single is not None:
            yield single.replace("''", "'")
        else:
            yield bare
        at = match.end()
