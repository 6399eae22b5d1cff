"""Text values in STAR files (Hall, 1991): bare words, or quoted where a bare word would be read as something else."""

from __future__ import annotations

from typing import Final

_SPECIAL_STARTS: Final = ("_", "#", "$", "'", '"', "[", "]", ";")
_RESERVED_STARTS: Final = ("data_", "loop_", "save_", "stop_", "global_")
_QUOTES: Final = ("'", '"')


def star_value(text: str) -> str:
    """Return a text as a value in a row of a STAR file.

    Most names are bare words. Others are set in double quotes, with each quote inside doubled, as pandas and with it
    the package starfile read them. Control characters become blanks, because a row is one line; what is no valid
    Unicode (a file name in another encoding) becomes question marks. starfile reads every
    single quote as a double one, however it is written; the rest of the name and the other columns are read correctly.

    Parameters
    ----------
    text : str
        Any text, also an empty one.
    """
    line = text.encode("utf-8", "replace").decode()
    line = "".join(character if character.isprintable() else " " for character in line)
    if not _needs_quotes(line):
        return line
    for quote in _QUOTES:
        line = line.replace(quote, 2 * quote)
    return f'"{line}"'


def _needs_quotes(line: str) -> bool:
    if not line or line.startswith(_SPECIAL_STARTS) or line.lower().startswith(_RESERVED_STARTS):
        return True
    # A '#' inside a word begins a comment for some programs.
    return "#" in line or any(character.isspace() for character in line)
