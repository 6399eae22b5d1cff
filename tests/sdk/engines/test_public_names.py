"""What a package needs to offer an engine is in one place, and the examples need nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import cryomamba.engines

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(path for path in (ROOT / "examples").rglob("*.py") if ".venv" not in path.parts)
PUBLIC = {"cryomamba", "cryomamba.engines", "cryomamba.errors"}
LINES_MAX = 30


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield module and name of everything that is imported from CryoMamba."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.startswith("cryomamba"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cryomamba"):
            yield from ((node.module or "", alias.name) for alias in node.names)


def test_every_public_name_is_there() -> None:
    """Each name that the package lists can be had, and no other."""
    for name in cryomamba.engines.__all__:
        assert getattr(cryomamba.engines, name)
    assert cryomamba.engines.__all__ == sorted(cryomamba.engines.__all__)
    assert not hasattr(cryomamba.engines, "no_such_name")


def test_examples_import_public_names_alone() -> None:
    """No example looks behind ``cryomamba.engines`` and ``cryomamba.errors``."""
    used = {(path.name, *each) for path in EXAMPLES for each in imports(path)}
    assert len(used) > 10
    assert {module for _, module, _ in used} <= PUBLIC
    assert {name for _, module, name in used if module == "cryomamba.engines"} <= set(cryomamba.engines.__all__)


def test_each_of_the_three_ways_takes_thirty_lines() -> None:
    """The engine of each example, with its imports and parameters, is at most thirty lines of code."""
    for package in ("spots/cryomamba_spots.py", "spotnet/cryomamba_spotnet/__init__.py", "kmeans/cryomamba_kmeans.py"):
        lines = (ROOT / "examples" / f"cryomamba-{package}").read_text("utf-8").splitlines()
        assert len([line for line in lines if line.strip()]) <= LINES_MAX, package
