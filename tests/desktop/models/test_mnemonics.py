"""Letters of controls."""

from __future__ import annotations

from napari_cryomamba.models.mnemonics import choose_letters, letter_of, marked, plain


def test_marks_are_added_and_removed() -> None:
    """A letter is marked where it begins a word; a doubled mark is no mark."""
    assert marked("Save to job", "J") == "Save to &job"
    assert marked("Save && export", "E") == "Save && &export"
    assert letter_of("Save && &export") == "E"
    assert letter_of("Save && export") == ""
    assert plain("Save && &export") == "Save && export"


def test_every_text_gets_a_letter_of_its_own_if_that_is_possible() -> None:
    """Greedy choices are revised: 'A' has one letter, so 'AB' takes its second one."""
    assert choose_letters(["AB", "A"], ()) == ["B", "A"]
    letters = choose_letters(["Apply", "Cancel", "Copy", "Clear", "CSV…"], ("C",))
    assert "C" not in letters
    assert len(set(letters)) == 5
    assert "" not in letters


def test_a_letter_is_kept_and_the_first_go_first() -> None:
    """What was marked stays marked if it may; without enough letters, the later ones have none."""
    assert choose_letters(["Copy", "&Paste"], ()) == ["C", "P"]
    assert choose_letters(["&Copy"], ("C",)) == ["O"]
    assert choose_letters(["A", "A"], ()) == ["A", ""]
