"""The page's sources: they build into exactly the files that are committed, and their own tests and types hold."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "services" / "gateway" / "web"
BUILT = ROOT / "services" / "gateway" / "cryomamba_gateway" / "web"


def node(*arguments: str) -> None:
    """Run Node in the folder of the sources."""
    found = shutil.which("node")
    if found is None or not (SOURCES / "node_modules").is_dir():
        pytest.skip("Node or the page's packages are not installed ('make web' installs them)")
    done = subprocess.run([found, *arguments], cwd=SOURCES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_committed_files_are_what_the_sources_build(tmp_path: Path) -> None:
    """Nothing is served that is not in the sources; if this fails, run `make web` and commit."""
    node("build.mjs", str(tmp_path))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {path.name for path in BUILT.iterdir()}
    assert [name for name in sorted(names) if (tmp_path / name).read_bytes() != (BUILT / name).read_bytes()] == []


def test_the_modules_without_dom_do_what_their_tests_say() -> None:
    """Their tests run in Node."""
    node("test.mjs")


def test_the_types_hold() -> None:
    """TypeScript finds no error, as strict as it can be."""
    node("node_modules/typescript/bin/tsc", "--noEmit")
