"""The configuration file: settings and defaults of options, below environment and command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def own_user_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the file in a user's configuration folder of its own."""
    path = tmp_path / "config" / "cryomamba" / "cryomamba.toml"
    path.parent.mkdir(parents=True)
    monkeypatch.setattr("cryomamba_cli.configuration_file.user_file", lambda: path)
    return path


def engine_of(cli: Cli, *arguments: object) -> str:
    done = cli("segment", "ball.mrc", "--dry-run", *arguments)
    assert done.exit_code == 0, done.stderr
    return done.stdout.partition("with '")[2].partition("'")[0]


def test_an_option_wins_over_the_file_of_the_folder_and_that_over_the_users(
    cli: Cli, tomogram: Path, own_user_file: Path
) -> None:
    """The engine of a dry run is that of the user's file, then of the current folder's, then of the command line."""
    assert engine_of(cli) == "membrane"
    own_user_file.write_text('[segment]\nengine = "particles"\nparam = "diameter_A=120"\n')
    assert engine_of(cli) == "particles"
    Path("cryomamba.toml").write_text('[segment]\nengine = "threshold"\nparam = []\n')
    assert engine_of(cli) == "threshold"
    assert engine_of(cli, "-e", "filaments") == "filaments"


def test_an_environment_variable_wins_over_the_file(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting is taken from the file if the variable is not set or empty, and the environment is as before after."""
    Path("cryomamba.toml").write_text('server = "http://127.0.0.1:1"\n')
    assert "http://127.0.0.1:1" in cli("jobs").stderr
    assert "CRYOMAMBA_SERVER" not in os.environ
    monkeypatch.setenv("CRYOMAMBA_SERVER", "http://127.0.0.1:2")
    assert "http://127.0.0.1:2" in cli("jobs").stderr
    assert "http://127.0.0.1:3" in cli("jobs", "-s", "http://127.0.0.1:3").stderr


def test_the_help_shows_defaults_of_the_file(cli: Cli) -> None:
    """Also for a boolean option and for a command of a group."""
    Path("cryomamba.toml").write_text('[segment]\nengine = "threshold"\n[slurm.submit]\nengine = "particles"\n')
    assert "[default: threshold]" in cli("segment", "--help").stdout
    assert "[default: particles]" in cli("slurm", "submit", "--help").stdout


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("procesess = 2", "Did you mean 'processes'?"),
        ('engine = "membrane"', "It is an option: write it below [segment]"),
        ('[segmnt]\nengine = "x"', "Did you mean 'segment'?"),
        ('[segment]\nengin = "x"', "Did you mean 'engine'?"),
        ('[slurm]\nengine = "x"', "write it below [slurm.COMMAND]".capitalize()),
        ("server = ", "is not valid TOML"),
        ("a = " + "[" * 20_000, "is not valid TOML"),
        ("a = " + "9" * 10_000, "is not valid TOML"),
        ('token = "s"', "Set CRYOMAMBA_TOKEN in the environment instead."),
        ("gateway_port = -1", "CRYOMAMBA_GATEWAY_PORT is invalid"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(cli: Cli, text: str, sentence: str) -> None:
    """With exit code 2 and a suggestion; the installation check reports it among its results instead."""
    Path("cryomamba.toml").write_text(text)
    done = cli("engines")
    assert done.exit_code == 2
    assert sentence.lower() in done.stderr.lower()


def test_an_invalid_value_of_an_option_is_refused_like_one_that_was_typed(cli: Cli) -> None:
    """A number that is out of range."""
    Path("cryomamba.toml").write_text("[jobs]\nlimit = 0\n")
    done = cli("jobs")
    assert done.exit_code == 2
    assert "--limit" in done.stderr


def test_another_file_or_none_can_be_chosen(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By CRYOMAMBA_CONFIG, which must then exist; empty means none."""
    Path("cryomamba.toml").write_text("nonsense = 1\n")
    monkeypatch.setenv("CRYOMAMBA_CONFIG", "")
    assert cli("engines").exit_code == 0
    monkeypatch.setenv("CRYOMAMBA_CONFIG", str(tmp_path / "none.toml"))
    assert "There is no file" in cli("engines").stderr


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_file_of_another_user_is_refused(cli: Cli) -> None:
    """In a folder that others can write, it could send this user's token to their server."""
    Path("cryomamba.toml").write_text('server = "http://127.0.0.1:1"\n')
    os.chown("cryomamba.toml", 12345, 12345)
    done = cli("jobs")
    assert done.exit_code == 2
    assert "belongs to another user" in done.stderr
