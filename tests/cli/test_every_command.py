"""What all commands have in common: options, exit codes, errors as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import Result

from cryomamba_cli.app import app
from cryomamba_server.exit_codes import ExitCode

Cli = Callable[..., Result]


def commands(group: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *names, name)
        else:
            yield (*names, name), command


ALL = dict(commands(get_command(app)))
# The desktop hands its options on.
OWN = {names: command for names, command in ALL.items() if names != ("desktop",)}


def options(command: Any) -> set[str]:
    return {text for one in command.params for text in one.opts}


def arguments_of(command: Any) -> list[str]:
    """Return a value for each argument that is needed, of a file or job that does not exist."""
    found = []
    for one in command.params:
        if one.required:
            value = "200" if "--high" in one.opts else "https://example.org" if one.name == "url" else "nothing.mrc"
            found += [value] if one.param_type_name == "argument" else [one.opts[0], value]
    return found


@pytest.mark.parametrize("names", OWN, ids=" ".join)
def test_every_command_has_quiet_and_verbose(names: tuple[str, ...]) -> None:
    """By the same letters everywhere, which mean nothing else."""
    owners = {text: one.name for one in OWN[names].params for text in one.opts}
    assert (owners["-q"], owners["--quiet"]) == ("quiet", "quiet")
    assert (owners["-v"], owners["--verbose"]) == ("verbose", "verbose")
    for letter, option in (("-o", "out"), ("-s", "server"), ("-p", "param"), ("-f", "force")):
        assert owners.get(letter, option).split("_")[0] == option
    assert ("--force" in owners) <= ("-f" in owners)
    assert ("--server" in owners) <= ("-s" in owners)


@pytest.mark.parametrize("names", OWN, ids=" ".join)
def test_an_unknown_option_is_a_usage_error_of_every_command(cli: Cli, names: tuple[str, ...]) -> None:
    """Exit code 2, one sentence and a hint; with --json an object."""
    done = cli(*names, "--no-such-option")
    assert done.exit_code == ExitCode.USAGE
    assert done.stdout == ""
    assert done.stderr.startswith("error: No such option: --no-such-option. (bad_request)\nhint: ")
    done = cli(*names, "--no-such-option", "--json")
    assert json.loads(done.stderr)["code"] == "bad_request"


# One waits for its server, and says so; the other reports it among its results.
WAITING = {("watch-folder",), ("doctor",)}
WITH_SERVER = [names for names, one in OWN.items() if "--server" in options(one) and names not in WAITING]


@pytest.mark.parametrize("names", WITH_SERVER, ids=" ".join)
def test_a_server_that_is_away_ends_every_command_with_4(cli: Cli, names: tuple[str, ...]) -> None:
    """Unless what was asked for is refused before the server is asked. No command waits for it in silence."""
    done = cli(*names, *arguments_of(OWN[names]), "--server", "http://127.0.0.1:1")
    refused = {ExitCode.VOLUME, ExitCode.USAGE, ExitCode.NOT_FOUND}
    assert done.exit_code in {ExitCode.UNAVAILABLE, *refused}, done.stderr
    assert done.stderr.startswith("error: ")
    assert "hint: " in done.stderr


def test_quiet_prints_results_only(cli: Cli, tomogram: object) -> None:
    """The name of the mask on standard output, nothing on standard error; an error is still printed."""
    done = cli("segment", tomogram, "-e", "threshold", "-q")
    assert (done.stdout, done.stderr) == ("ball__threshold.mrc\n", "")
    assert cli("segment", tomogram, "-e", "threshold", "-q").stderr.startswith("error: ")


def test_verbose_prints_the_traceback_of_an_error(cli: Cli) -> None:
    """Also for an error of the user."""
    done = cli("info", "nothing.mrc", "-v")
    assert done.exit_code == ExitCode.VOLUME
    assert "Traceback" in done.stderr
