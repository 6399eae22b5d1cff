"""Errors become messages and exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from cryomamba.errors import InvalidRequestError
from cryomamba.testing import free_ports
from cryomamba_cli.app import app
from cryomamba_cli.output import print_error

Cli = Callable[..., Result]


def test_an_unreachable_server_ends_with_4(cli: Cli) -> None:
    """If nothing listens at the address, there is an error with a hint."""
    (port,) = free_ports(1)
    done = cli("jobs", "--server", f"http://127.0.0.1:{port}")
    assert done.exit_code == 4
    assert "hint:" in done.stderr


def test_an_invalid_server_address_ends_with_2(cli: Cli) -> None:
    """An unknown scheme is a usage error."""
    assert cli("jobs", "--server", "ftp://lab").exit_code == 2


def test_a_defect_ends_with_70_and_a_message(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no traceback for an unexpected exception, unless CRYOMAMBA_LOG is debug."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("cryomamba.volumes.inspect", broken)
    done = cli("info", "x.mrc")
    assert done.exit_code == 70
    assert "ZeroDivisionError: oops" in done.stderr
    assert "Traceback" not in done.stderr
    monkeypatch.setenv("CRYOMAMBA_LOG", "debug")
    assert "Traceback" in cli("info", "x.mrc").stderr


def test_too_little_memory_is_no_defect(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An allocation that fails ends with 1, says how much was wanted, and what to do."""

    def too_large(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 466. GiB")

    monkeypatch.setattr("cryomamba.volumes.inspect", too_large)
    done = cli("info", "x.mrc")
    assert done.exit_code == 1
    assert "does not have enough memory (Unable to allocate 466. GiB). (out_of_memory)" in done.stderr
    assert "hint: Close other programs, or choose a smaller volume." in done.stderr


def test_an_error_of_the_system_names_the_file(cli: Cli, tmp_path: Path) -> None:
    """A path that cannot be used ends with 2."""
    (tmp_path / "file").touch()
    done = cli("demo", "--out", "file")
    assert done.exit_code == 2
    assert "/file' cannot be written" in done.stderr


def test_json_errors_end_with_the_run_that_asked_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    """A run with ``--json`` changes nothing for what the same process prints later."""
    app(["info", "absent.mrc", "--json"], standalone_mode=False)
    assert capsys.readouterr().err.startswith("{")
    print_error(InvalidRequestError("Not valid."))
    assert capsys.readouterr().err == "error: Not valid. (bad_request)\n"
