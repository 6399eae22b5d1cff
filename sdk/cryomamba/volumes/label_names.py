"""Names of a mask's labels, kept in the text labels of its MRC header, where other programs show them too. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, unquote

PREFIX: Final = "Labels: "
_LINE_MAX: Final = 80
_LINES_MAX: Final = 4
_SEPARATOR: Final = "; "
# A header has ASCII alone; these characters separate names, or begin an escaped one.
_PLAIN: Final = "".join(chr(code) for code in range(32, 127) if chr(code) not in ";=%")


def name_lines(names: Mapping[int, str]) -> tuple[str, ...]:
    """Return names by label as text labels: ``Labels: 1=membrane; 2=vesicle``.

    There are at most four; names that do not fit are left out. Characters beyond ASCII are percent-encoded.
    """
    lines: list[str] = []
    for label in sorted(names):
        entry = f"{label}={quote(names[label].strip(), safe=_PLAIN)}"
        longer = f"{lines[-1]}{_SEPARATOR}{entry}" if lines else ""
        if longer and len(longer) <= _LINE_MAX:
            lines[-1] = longer
        elif len(PREFIX) + len(entry) <= _LINE_MAX and len(lines) < _LINES_MAX:
            lines.append(f"{PREFIX}{entry}")
    return tuple(lines)


def without_names(labels: Iterable[str]) -> tuple[str, ...]:
    """Return a header's text labels without those that hold names."""
    return tuple(label for label in labels if not label.startswith(PREFIX))


def names_in(labels: Iterable[str]) -> dict[int, str]:
    """Return the names by label that a header's text labels hold; what is damaged is left out."""
    found: dict[int, str] = {}
    for line in labels:
        if not line.startswith(PREFIX):
            continue
        for entry in line[len(PREFIX) :].split(_SEPARATOR):
            number, separator, name = entry.partition("=")
            if separator and number.isascii() and number.isdigit() and name.strip():
                found[int(number)] = unquote(name).strip()
    return found
