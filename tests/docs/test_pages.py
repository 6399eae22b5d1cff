"""The documentation agrees with the code."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import typer
from typer.main import get_command

from cryomamba.wire import constants
from cryomamba.wire.requests import REQUESTS
from cryomamba_cli.app import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """``docs/generate.py`` as a module."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(page: Path) -> Iterator[list[str]]:
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def test_generated_tables_are_those_of_the_code(generator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of commands, settings, routes, constants and engines are up to date; ``make docs`` updates them."""
    for name in [name for name in os.environ if name.startswith("CRYOMAMBA_")]:
        monkeypatch.delenv(name)
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert set(re.findall(r"<!-- generated: ([\w-]+) -->", text)) == set(generator.BLOCKS)
    outdated = [page.name for page in PAGES if generator.renewed(page.read_text("utf-8")) != page.read_text("utf-8")]
    assert outdated == []


def test_the_bus_page_has_all_constants_and_requests() -> None:
    """The page has every constant of the protocol with its value, and every request."""
    page = DOCS / "reference" / "bus.md"
    stated = {row[0].strip("`"): row[1].rstrip(" |") for row in rows(page)}
    numbers = {name: str(value) for name, value in vars(constants).items() if name.isupper()}
    assert numbers.items() <= stated.items()
    assert set(REQUESTS) <= set(stated)


def test_every_dependency_has_a_reason() -> None:
    """The page names exactly the packages of ``pyproject.toml`` and of the browser page's ``package.json``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    listed = list(project["project"]["dependencies"])
    for extra in project["project"]["optional-dependencies"].values():
        listed += extra
    for group in project["dependency-groups"].values():
        listed += [item for item in group if isinstance(item, str)]
    names = {re.split(r"[\[<>=~! ]", item)[0] for item in listed}
    browser = json.loads((ROOT / "services" / "gateway" / "web" / "package.json").read_text("utf-8"))
    names |= {*browser["dependencies"], *browser["devDependencies"]}
    assert {row[0].strip("`") for row in rows(DOCS / "explanations" / "dependencies.md")} == names


def test_links_of_the_readme_exist() -> None:
    """So do its pictures and make targets."""
    text = (ROOT / "README.md").read_text("utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / target).exists(), target
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", text)) <= targets


def test_command_lines_are_valid() -> None:
    """Every ``cryomamba`` line of a console example has an existing command, with valid arguments and options."""
    group = get_command(app)
    lines = []
    for page in [*PAGES, ROOT / "README.md"]:
        found = re.findall(r"^\$ .*?\bcryomamba (\w.*)$", page.read_text("utf-8"), re.MULTILINE)
        lines += [shlex.split(line, comments=True) for line in found]
    assert len(lines) > 30
    for name, *arguments in lines:
        command = group.commands[name]  # type: ignore[attr-defined]
        # An option like --list-families does its work here, and ends.
        with contextlib.suppress(typer.Exit):
            command.make_context(name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_python_examples_compile(page: Path) -> None:
    """Every Python example of a page is valid code."""
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)):
        compile(code, f"{page.name}#{number}", "exec")


def test_every_attack_of_the_table_has_a_test() -> None:
    """Each row names tests, and each of them exists."""
    page = (DOCS / "operations" / "attacks.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("| ---", "| Attack"))]
    assert len(lines) > 45
    for line in lines:
        tests = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", line.split(" | ")[2])
        assert tests, line
        for path, name in tests:
            assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), name


def test_every_log_line_of_the_guide_exists() -> None:
    """The literal parts of each line that the page on monitoring explains occur in the services' code."""
    page = (DOCS / "operations" / "monitoring.md").read_text("utf-8")
    section = page[page.index("## Log lines") : page.index("## Automatic recovery")]
    lines = [
        line for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for line in re.findall(r"`([^`]+)`", row)
    ]
    code = " ".join(path.read_text("utf-8") for path in (ROOT / "services").rglob("*.py"))
    parts = [part.strip() for line in lines for part in line.split("…")]
    assert len(lines) > 15
    assert [part for part in parts if part not in code] == []
