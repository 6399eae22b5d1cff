"""Text for terminals and pages."""

from __future__ import annotations

import io
import json
import os
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from cryomamba.errors import InvalidRequestError, error_from_payload
from cryomamba.models.jobs import Label
from cryomamba.printable import (
    PRINTABLE_PATTERN,
    configure_stream,
    file_text,
    is_unicode,
    json_text,
    printable,
    takes_unicode,
)

HOSTILE = "a\x1b[31m\r\n\x07\x9b\u202eb\u2066\u200b\udcff"
ANY = st.text(st.characters(exclude_categories=()))


def test_what_commands_a_terminal_is_escaped() -> None:
    """Escape, carriage return, line break, bell, C1, reversing marks, zero width, and bytes that are not UTF-8."""
    assert printable(HOSTILE) == r"a\x1b[31m\r\n\x07\x9b\u202eb\u2066\u200b\xff"
    assert printable("Å nm³ 日本 é – …") == "Å nm³ 日本 é – …"


@given(ANY)
def test_every_text_becomes_one_line_that_can_be_encoded(text: str) -> None:
    """Nothing is left that is a control character, reorders text, or is half of a pair; and twice is once."""
    shown = printable(text)
    shown.encode()
    assert not {unicodedata.category(one) for one in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not any(unicodedata.bidirectional(one) in {"LRE", "RLE", "LRO", "RLO", "PDF"} for one in shown)
    assert printable(shown) == shown


def test_the_pattern_for_schemas_allows_the_names_that_are_accepted() -> None:
    """Every character of 16 bits, alone, inside of a name and at its ends, where blanks are dropped."""
    accepts = TypeAdapter(Label).validator
    for code in (*range(0xD800), *range(0xE000, 0x10000)):
        one = chr(code)
        for name in (one, f"a{one}b", f"{one}a", f"a{one}"):
            assert accepts.isinstance_python(name) == bool(re.match(PRINTABLE_PATTERN, name)), hex(code)


@given(ANY, st.booleans())
def test_json_keeps_the_value_and_is_safe_to_show(text: str, ascii_only: bool) -> None:
    """What is read back is the same text; what is shown has no unsafe character but the line breaks of the format."""
    shown = json_text({"name": [text]}, indent=2, ascii_only=ascii_only)
    assert json.loads(shown) == {"name": [text]}
    assert printable(shown.replace("\n", "")) == shown.replace("\n", "")
    assert shown.isascii() or not ascii_only


def test_a_file_name_that_is_not_utf8_becomes_text() -> None:
    """Its bytes are escaped; all other characters stay, for the text is no output yet."""
    name = os.fsdecode(b"t\xff\x1b.mrc")
    assert file_text(name) == "t\\xff\x1b.mrc"
    assert not is_unicode(name)
    assert is_unicode("日本\x1b.mrc")


def test_an_error_about_such_a_name_can_be_sent() -> None:
    """Its fields are Unicode, so the bus and HTTP can carry them."""
    payload = InvalidRequestError(f"'{HOSTILE}' is wrong.", hint=HOSTILE).payload()
    json.dumps(payload, ensure_ascii=False).encode()
    assert error_from_payload(payload).message.endswith(r"\xff' is wrong.")


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", b"nm^3 A x \\u65e5 ..."),
        ("cp1252", "nm³ Å × \\u65e5 …".encode("cp1252")),
        ("utf-8", "nm³ Å × 日 …".encode()),
    ],
)
def test_a_stream_spells_out_what_its_encoding_lacks(encoding: str, expected: bytes) -> None:
    """Letters of units become ASCII, others their number; nothing raises an error."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    configure_stream(stream)
    stream.write("nm³ Å × 日 …")
    stream.flush()
    assert stream.buffer.getvalue() == expected
    assert takes_unicode(stream) is (encoding == "utf-8")
