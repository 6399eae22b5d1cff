"""Language: retired names and phrases stay retired."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
# Identifiers, or parts of identifiers between underscores and capitals, that the field's terms have replaced.
RETIRED_CLASSES: Final = frozenset(
    """
    Desk Runs Watching Sending KeepPanel Solid Aside AsideFile Notices Told LinkModel LinkEvent Portions Shelves Incoming
    Ticket Doorkeeper PatientReceive EnvelopeNet Lobby Guest Turnstile Translator Mailbox Outbox Ledger BusHub BusChannel
    Stamp Guard Fence WaitingRoom Room Held Scene Finding ScoreCut LookAhead PreviewFeed FrameTitle Beside Crew ALONE BlockFile
    Beads Election Crests Faces Places Visible Way
    """.split()
)
RETIRED_WORDS: Final = frozenset(
    """
    aside crest crests crew desk doorkeeper heard heed ledger lobby mailbox outbox portions sees shelves strangers told
    turnstile twin
    """.split()
)
# Phrases that read like a translation, in any text that people see.
RETIRED_PHRASES: Final = (
    r"hand(ed|s)? in (a|the) job",
    r"\bgo(es)? on where\b",
    r"joining pieces",
    r"only looks on",
    r"blotted out",
    r"middle surface",
    r"bank of oriented plates",
    r"needs no weights",
    r"for everybody's eyes",
    r"cryomamba mask'",
    r"seeds that tuned nothing",
    r"the house\b",
)
SOURCES: Final = ("sdk", "services", "cli", "desktop")


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in listed.stdout.splitlines()]


def identifiers(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a module defines: classes, functions, parameters, variables, attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def parts(name: str) -> set[str]:
    return {part.lower() for part in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


@pytest.mark.parametrize("folder", SOURCES)
def test_no_retired_name_comes_back(folder: str) -> None:
    """No class, function, parameter, variable or attribute has a name that the glossary has replaced."""
    found = []
    for path in tracked(f"{folder}/**/*.py", f"{folder}/*.py"):
        for name in set(identifiers(ast.parse(path.read_text("utf-8")))):
            if name.strip("_") in RETIRED_CLASSES or parts(name) & RETIRED_WORDS:
                found.append(f"{path.relative_to(ROOT)}: {name}")
    assert found == []


@pytest.mark.parametrize("folder", [*SOURCES, "docs", "benchmarks", "README.md", "SECURITY.md", "CONTRIBUTING.md"])
def test_no_retired_phrase_comes_back(folder: str) -> None:
    """No text says what the glossary says in other words."""
    pattern = re.compile("|".join(RETIRED_PHRASES), re.IGNORECASE)
    found = []
    for path in tracked(folder):
        if path.suffix in {".py", ".md", ".html", ".js", ".yaml"}:
            text = " ".join(path.read_text("utf-8").split())
            found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in pattern.finditer(text)]
    assert found == []
