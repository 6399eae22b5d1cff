"""Letters for Alt: one for each control of a panel, no letter twice. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

_MARKED = re.compile(r"&([^&])")


def plain(text: str) -> str:
    """Return a text without the mark of its letter; a doubled ``&`` stays, since it stands for one."""
    return re.sub(r"&(&?)", lambda found: "&&" if found[1] else "", text)


def letter_of(text: str) -> str:
    """Return the upper-case letter that a text has marked, empty if it has none."""
    found = _MARKED.search(text.replace("&&", ""))
    return found[1].upper() if found else ""


def marked(text: str, letter: str) -> str:
    """Return a plain text with a letter marked where it begins a word, else where it is first."""
    if not letter:
        return text
    at = next((match.start() for match in re.finditer(rf"\b{letter}", text, re.IGNORECASE)), -1)
    at = at if at >= 0 else text.upper().find(letter)
    return text if at < 0 else f"{text[:at]}&{text[at:]}"


def choose_letters(texts: Sequence[str], taken: Collection[str]) -> list[str]:
    """Return a letter for each text, no letter twice; empty where all letters of a text are needed by others.

    As many texts as possible get one, the first ones before later ones; a letter that a text has marked is kept if
    that is possible. (Matching in a bipartite graph by augmenting paths.)

    Parameters
    ----------
    texts : sequence of str
        With or without a marked letter.
    taken : collection of str
        Upper-case letters that others have.
    """
    wanted = [_candidates(text, taken) for text in texts]
    owner: dict[str, int] = {}

    def place(number: int, seen: set[str]) -> bool:
        for letter in wanted[number]:
            if letter not in seen:
                seen.add(letter)
                if letter not in owner or place(owner[letter], seen):
                    owner[letter] = number
                    return True
        return False

    for number, text in enumerate(texts):
        if (kept := letter_of(text)) in wanted[number]:
            owner.setdefault(kept, number)
    for number in range(len(texts)):
        if number not in owner.values():
            place(number, set())
    letters = {number: letter for letter, number in owner.items()}
    return [letters.get(number, "") for number in range(len(texts))]


def _candidates(text: str, taken: Collection[str]) -> list[str]:
    """Return the letters that a text offers: the marked one, those that begin a word, all others."""
    bare = plain(text).replace("&&", " ")
    ordered = [letter_of(text), *re.findall(r"\b[A-Za-z]", bare), *re.findall(r"[A-Za-z]", bare)]
    found = dict.fromkeys(letter.upper() for letter in ordered if letter)
    return [letter for letter in found if letter not in taken and letter.isascii() and letter.isalpha()]
