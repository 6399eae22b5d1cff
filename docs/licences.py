"""The licences of what is installed with CryoMamba, from the packages' own metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

REQUIREMENTS: Final = Path(__file__).parents[1] / "requirements"
_NAME: Final = re.compile(r"^([a-z0-9][\w.-]*)==", re.MULTILINE)
_FREE_TEXT_MAX: Final = 60


def names(lock: str) -> list[str]:
    """Return the packages of a lock file, those for other systems included."""
    return sorted(set(_NAME.findall((REQUIREMENTS / f"{lock}.txt").read_text(encoding="utf-8"))))


def licence(package: str) -> str | None:
    """Return what a package says of its licence; None if it is not installed, as those for other systems are not."""
    try:
        found = distribution(package)
    except PackageNotFoundError:
        return None
    return _expression(found) or "not stated"


def _expression(found: Distribution) -> str:
    fields = found.metadata
    if expression := fields.get("License-Expression"):
        return str(expression)
    classifiers = [text.rpartition(" :: ")[2] for text in fields.get_all("Classifier") or () if "License ::" in text]
    named = [text for text in classifiers if text != "OSI Approved"]
    if named:
        return ", ".join(named)
    text = str(fields.get("License") or "").strip().partition("\n")[0]
    return text if len(text) <= _FREE_TEXT_MAX else "its own text"


def is_strong_copyleft(text: str) -> bool:
    """Whether a licence asks that a program which contains the package is licensed likewise."""
    # An `OR` is the user's choice; where brackets make it less plain, every licence in the text counts.
    choices = [text] if "(" in text else text.split(" OR ")
    return all(_is_strong(choice) for choice in choices)


def _is_strong(text: str) -> bool:
    lesser = re.sub(r"(?i)\bLGPL[\w.+-]*|lesser general public licen[cs]e[^,]*|library general public[^,]*", "", text)
    return bool(re.search(r"(?i)\bA?GPL|general public licen[cs]e", lesser))


def table() -> Iterator[tuple[str, str, str]]:
    """Yield package, licence and with which extra it comes."""
    server, desktop = set(names("server")), set(names("desktop"))
    for package in sorted(server | desktop):
        found = licence(package)
        if found is not None:
            yield f"`{package}`", found, "`server`" if package in server else "`desktop`"
