"""Misspelt names and settings that are not valid: a sentence with a suggestion, exit code 2; errors as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Cli = Callable[..., Result]

SETTINGS = [
    ("CRYOMAMBA_PROCESES", "2", "Did you mean 'CRYOMAMBA_PROCESSES'?"),
    ("CRYOMAMBA_PROCESSES", "-1", "CRYOMAMBA_PROCESSES is invalid"),
    ("CRYOMAMBA_LOG", "loud", "CRYOMAMBA_LOG is invalid: 'loud' is not a level"),
    ("CRYOMAMBA_DISK_RESERVE", "4 parsecs", "such as 500 MB, 4GB or 2GiB"),
    ("CRYOMAMBA_BUS_JOBS", f"ipc:///tmp/{'x' * 103}", "the path has 108 bytes"),
    ("CRYOMAMBA_GATEWAY_PORT", "99999", "CRYOMAMBA_GATEWAY_PORT is invalid"),
]


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (("segment", "t.mrc", "-e", "membrnae"), "Did you mean 'membrane'?"),
        (("engines", "Threshhold"), "Did you mean 'threshold'?"),
        (("segment", "t.mrc", "-e", "threshold", "-p", "sigma=3"), "Did you mean 'sigma_A'?"),
        (("synth", "t.mrc", "-p", "vesicle=3"), "Did you mean 'vesicles'?"),
        (("synth", "t.mrc", "--family", "gyriod"), "Did you mean 'gyroid'?"),
        (("segment", "t.mrc", "--format", "xyz"), "Unknown format 'xyz'."),
        (("segmnt", "t.mrc"), "segment"),
        (("segment", "t.mrc", "--engin", "x"), "--engine"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_right_one(cli: Cli, arguments: tuple[str, ...], suggestion: str) -> None:
    """Engines, parameters, commands and options; exit code 2."""
    done = cli(*arguments)
    assert done.exit_code == 2
    assert suggestion in done.stderr


@pytest.mark.parametrize(("name", "value", "sentence"), SETTINGS)
def test_a_setting_that_is_not_valid_ends_every_command(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    """Also one that does not use it; the installation check reports it as a result."""
    monkeypatch.setenv(name, value)
    done = cli("engines")
    assert done.exit_code == 2
    assert sentence in done.stderr


def test_a_service_refuses_a_setting_that_is_not_valid(tmp_path: Path) -> None:
    """In a sentence on standard error, with exit code 2."""
    for service, (name, value, sentence) in zip(("broker", "inference", "gateway"), SETTINGS, strict=False):
        env = {**os.environ, "CRYOMAMBA_HOME": str(tmp_path), name: value}
        command = [sys.executable, "-m", f"cryomamba_{service}"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (("info", "missing.mrc", "--json"), 5, "volume_not_found"),
        (("segment", "t.mrc", "-e", "membrnae", "--json"), 2, "unknown_engine"),
        (("jobs", "--server", "nowhere", "--json"), 2, "bad_request"),
        (("jobs", "--server", f"ipc:///tmp/{'x' * 103}", "--json"), 2, "bad_request"),
        (("jobs", "--limit", "0", "--json"), 2, "bad_request"),
        (("jobs", "--no-such-option", "--json"), 2, "bad_request"),
        (("no-such-command", "--json"), 2, "bad_request"),
        (("clean", "mask.mrc", "-o", "x.mrc", "--json"), 2, "bad_request"),
    ],
)
def test_with_json_an_error_is_json(cli: Cli, arguments: tuple[str, ...], status: int, code: str) -> None:
    """The last line of standard error has the five fields of every error; standard output has nothing."""
    done = cli(*arguments)
    assert done.exit_code == status
    assert done.stdout == ""
    error = json.loads(done.stderr.splitlines()[-1])
    assert error.keys() == {"code", "message", "hint", "retryable", "details"}
    assert error["code"] == code
    assert error["message"]
