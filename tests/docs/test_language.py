"""Names and phrases that the glossary has replaced are not used again."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
RETIRED: Final = tomllib.loads((Path(__file__).parent / "retired.toml").read_text("utf-8"))
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
    names, words = set(RETIRED["names"]), set(RETIRED["words"])
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in tracked(f"{folder}/**/*.py", f"{folder}/*.py")
        for name in set(identifiers(ast.parse(path.read_text("utf-8"))))
        if name.strip("_") in names or parts(name) & words
    ]
    assert found == []


@pytest.mark.parametrize("folder", [*SOURCES, "docs", "benchmarks", "README.md", "SECURITY.md", "CONTRIBUTING.md"])
def test_no_retired_phrase_comes_back(folder: str) -> None:
    """No text says what the glossary says in other words."""
    pattern = re.compile("|".join(RETIRED["phrases"]), re.IGNORECASE)
    found = []
    for path in tracked(folder):
        if path.suffix in {".py", ".md", ".html", ".js", ".yaml"}:
            text = " ".join(path.read_text("utf-8").split())
            found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in pattern.finditer(text)]
    assert found == []
