"""Text for terminals, logs and pages: characters that would command a terminal or reorder a line are escaped.

Names of files, jobs and owners, and messages that contain them, were written by others. Programs keep them as they are,
and escape them where they are shown.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, TextIO

# Control characters; marks that reorder text, or have no width; line and paragraph separators; halves of surrogate
# pairs, by which Python stands in for bytes of a file name that are not UTF-8; and tags.
_UNSAFE: Final = (
    r"\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f"
)
_UNSAFE_IN_TEXT: Final = re.compile(f"[{_UNSAFE}]")
# A line break in JSON is one of its own: within a string it is escaped already.
_UNSAFE_IN_JSON: Final = re.compile(f"(?!\n)[{_UNSAFE}]")
# What is removed from both ends of a name before it is checked.
_BLANK: Final = r"\t-\r\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_UNSAFE_16_BIT: Final = _UNSAFE.partition(r"\ud800")[0]
PRINTABLE_PATTERN: Final = f"^[{_BLANK}]*[^{_UNSAFE_16_BIT}]*[{_BLANK}]*$"
"""For JSON schemas: names that :func:`printable` would not change, with blanks around them. Tags are beyond 16 bits,
for which the languages of patterns have no common notation."""
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_BYTES: Final = range(0xDC80, 0xDD00)
_SPELT_OUT: Final[Mapping[str, str]] = {
    "Å": "A", "°": " deg", "µ": "u", "²": "^2", "³": "^3", "±": "+/-", "×": "x", "≥": ">=", "≤": "<=",
    "–": "-", "—": "-", "−": "-", "·": "-", "…": "...", "→": "->", "‘": "'", "’": "'", "“": '"', "”": '"',
}  # fmt: skip
SPELT_OUT: Final = "cryomamba.spelt_out"
"""Name of the codec error handler that spells out letters that an encoding lacks: ``nm^3`` for ``nm³``."""


def printable(text: str) -> str:
    r"""Return a text on one line, with everything that a terminal or page would not show as a character escaped.

    A line break becomes ``\n``, an escape character ``\x1b``, a mark that reverses the line ``\u202e``, and a byte of a
    file name that is not UTF-8 is ``\xff``.
    """
    return _UNSAFE_IN_TEXT.sub(_escaped, text)


def file_text(path: str | os.PathLike[str]) -> str:
    r"""Return a path as Unicode text, which every record can carry: a byte that is not UTF-8 is ``\xff``."""
    return _SURROGATE.sub(_escaped, os.fspath(path))


def without_unprintable(text: str) -> str:
    """Return a text without what :func:`printable` would escape."""
    return _UNSAFE_IN_TEXT.sub("", text)


def printable_lines(text: str) -> str:
    """Return a text of several lines, each printable."""
    return "\n".join(printable(line) for line in text.split("\n"))


def is_unicode(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is UTF-8, so that a server can be asked for it."""
    return file_text(path) == os.fspath(path)


def json_text(
    value: object,
    *,
    default: Callable[[Any], object] | None = None,
    indent: int | None = None,
    ascii_only: bool = False,
) -> str:
    """Return a value as JSON that is safe to show and still means exactly the value: unsafe characters are escaped.

    Parameters
    ----------
    default, indent
        As for :func:`json.dumps`.
    ascii_only : bool
        Escape every character beyond ASCII, for a stream whose encoding may lack it.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, default=default)
    return _UNSAFE_IN_JSON.sub(lambda match: json.dumps(match[0])[1:-1], text)


def configure_stream(stream: TextIO) -> None:
    """Let a stream spell out letters that its encoding lacks, where it would raise an error."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        codecs.register_error(SPELT_OUT, _spell_out)
        reconfigure(errors=SPELT_OUT)


def takes_unicode(stream: TextIO) -> bool:
    """Return whether a stream can write every character."""
    return (getattr(stream, "encoding", None) or sys.getdefaultencoding()).lower().replace("_", "-").startswith("utf")


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code in _BYTES:
        return f"\\x{code & 0xFF:02x}"
    return match[0].encode("unicode_escape").decode()


def _spell_out(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    spelt = "".join(_SPELT_OUT.get(one) or one.encode("ascii", "backslashreplace").decode() for one in lacking)
    return spelt, error.end
