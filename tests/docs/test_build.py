"""The build of the documentation fails on what a reader would stumble over."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

PAGES = {
    "good": "# Start\n\n[the other](other.md#part)\n",
    "dead link": "# Start\n\n[nothing](nowhere.md)\n",
    "dead anchor": "# Start\n\n[nothing](other.md#nowhere)\n",
    "missing picture": "# Start\n\n![nothing](images/nothing.png)\n",
}


def build(folder: Path, index: str, *, nav: list[str]) -> subprocess.CompletedProcess[str]:
    """Build two pages with the project's configuration and the Makefile's command."""
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    config |= {"nav": nav, "plugins": ["search"], "markdown_extensions": ["attr_list"]}
    (folder / "docs").mkdir()
    (folder / "docs" / "index.md").write_text(index)
    (folder / "docs" / "other.md").write_text("# Other\n\n## Part\n")
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(config))
    found = re.search(r"^\t.*\$\(BIN\)/mkdocs (build.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert found is not None
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", *found[1].split()]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("what", PAGES)
def test_a_dead_link_ends_the_build(what: str, tmp_path: Path) -> None:
    """Also one to a part of a page, or to a picture; good pages are built."""
    done = build(tmp_path, PAGES[what], nav=["index.md", "other.md"])
    assert (done.returncode == 0) == (what == "good"), done.stderr


def test_a_page_in_no_menu_ends_the_build(tmp_path: Path) -> None:
    """It would be found by nobody."""
    done = build(tmp_path, PAGES["good"], nav=["index.md"])
    assert done.returncode != 0
    assert "other.md" in done.stderr


@pytest.mark.parametrize(
    ("role", "shown"),
    [
        (":class:`Client`", "`Client`"),
        (":func:`~cryomamba.masks.clean.fill_holes`", "`fill_holes`"),
        (":meth:`Job.wait` and :mod:`cryomamba.picks`", "`Job.wait` and `cryomamba.picks`"),
        ("``code`` and a: `b`", "``code`` and a: `b`"),
    ],
)
def test_roles_of_docstrings_are_shown_as_names(role: str, shown: str) -> None:
    """The Python reference has no raw roles of reStructuredText."""
    spec = importlib.util.spec_from_file_location("plain_roles", ROOT / "docs" / "plain_roles.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.plain(role) == shown
