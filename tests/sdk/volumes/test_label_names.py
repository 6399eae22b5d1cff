"""Names of labels in the header of a mask."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cryomamba.volumes.label_names import name_lines, names_in, without_names

NAMES = st.dictionaries(st.integers(1, 65535), st.text(min_size=1, max_size=12).filter(str.strip), max_size=5)


@given(NAMES)
def test_names_are_read_as_they_were_written(names: dict[int, str]) -> None:
    """Any text survives lines of 80 ASCII characters; of many names or long ones those that fit are kept."""
    lines = name_lines(names)
    assert len(lines) <= 4
    assert all(len(line) <= 80 and line.isascii() and line.isprintable() for line in lines)
    found = names_in(["IMOD: something", *lines])
    assert found.items() <= {label: name.strip() for label, name in names.items()}.items()
    if all(name.isascii() and name.isalnum() for name in names.values()):
        assert len(found) == len(names)


def test_lines_are_readable_and_can_be_replaced() -> None:
    """Other programs show a header's text, so plain names stand in it as they are."""
    lines = name_lines({1: "outer membrane", 2: "Hülle; alt"})
    assert lines == ("Labels: 1=outer membrane; 2=H%C3%BClle%3B alt",)
    assert without_names(["first", *lines]) == ("first",)
    assert names_in(["Labels: x=1; 2=; 3=three; nothing"]) == {3: "three"}
