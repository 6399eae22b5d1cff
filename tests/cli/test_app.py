"""The program and its help."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import Result

from cryomamba import __version__
from cryomamba_cli.app import COMMANDS as TABLE
from cryomamba_cli.app import app
from cryomamba_cli.lazy_commands import LazyCommand

Cli = Callable[..., Result]
MODULES = 520
"""As many modules as a start may import at most; numpy alone is 150, and each costs a part of a millisecond."""
COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


def test_version(cli: Cli) -> None:
    """``--version`` prints the version."""
    assert cli("--version").stdout == f"cryomamba {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, cli: Cli) -> None:
    """``--help`` succeeds and shows an example of the command."""
    shown = cli(command, "--help")
    assert shown.exit_code == 0
    assert f"cryomamba {command}" in shown.stdout


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("segment",), ("segment", "a.mrc", "--nonsense"), ("jobs", "-n", "0")]
)
def test_a_wrong_command_line_ends_with_2(arguments: tuple[str, ...], cli: Cli) -> None:
    """An unknown command or option, a missing argument and a value out of range are usage errors."""
    done = cli(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.name)
def test_the_list_of_commands_shows_what_each_command_says(entry: LazyCommand) -> None:
    """Name, panel and summary are in a table, so that no command is imported for the list."""
    command: Any = get_command(app).commands[entry.name]  # type: ignore[attr-defined]
    assert (command.name, command.rich_help_panel) == (entry.name, entry.panel)
    assert " ".join(command.help.split("\n\n")[0].split()) == entry.summary


def test_the_list_of_commands_imports_none_of_them() -> None:
    """``--help`` and ``--version`` import the program's own modules alone; a command's help imports that command."""
    own: set[str] = set()
    for arguments, expected in (("--help",), own), (("--version",), own), (("engines", "--help"), {"engines"}):
        code = "import cryomamba_cli, sys\ntry: cryomamba_cli.main()\nfinally: print(*sys.modules)"
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        modules = set(done.stdout.splitlines()[-1].split())
        commands = {entry.place.partition(":")[0] for entry in TABLE}
        assert {name for name in commands if f"cryomamba_cli.{name}" in modules} == expected
        assert len(modules) < MODULES
        # Typer imports pydantic for the options of a command.
        assert modules & {"numpy", "pydantic", "zmq", "httpx"} <= ({"pydantic"} if expected else own)
