"""The program and its help."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from typer.main import get_command
from typer.testing import Result

from cryomamba import __version__
from cryomamba_cli.app import app

Cli = Callable[..., Result]
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
