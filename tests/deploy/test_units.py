"""The systemd units: checked by systemd, and everything that they name exists."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.main import get_command

from cryomamba.settings import Settings
from cryomamba.testing import DEADLINE_S
from cryomamba_cli.app import app
from cryomamba_server.exit_codes import ExitCode

Program = Callable[[str], str]
SERVICES = ("cryomamba-broker.service", "cryomamba-inference@1.service", "cryomamba-gateway.service")
WATCH = ("cryomamba-watch@grid1.service",)
ONCE = ("cryomamba-backup.service", "cryomamba-gc.service")
# systemd calls this "OK"; an unconfined service has more than 9.
EXPOSURE_MAX = 2.0


@pytest.fixture
def root(tmp_path: Path, deploy: Path) -> Path:
    """A root folder with the units where an administrator puts them, and with the programs that they start."""
    units = tmp_path / "etc" / "systemd" / "system"
    for source in (deploy / "systemd").rglob("*"):
        if source.is_file() and source.suffix != ".env":
            target = units / source.relative_to(deploy / "systemd")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    for name in ("python", "cryomamba"):
        started = tmp_path / "opt" / "cryomamba" / "bin" / name
        started.parent.mkdir(parents=True, exist_ok=True)
        started.write_text("#!/bin/sh\n")
        started.chmod(0o755)
    # Units of the system that ours refer to.
    for name in ("basic", "sysinit", "shutdown", "network", "multi-user", "timers"):
        (units / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n")
    return tmp_path


def settings_of(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^([A-Z]\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def test_systemd_accepts_the_units(root: Path, program: Program) -> None:
    """No unknown option, no missing program, no missing unit."""
    units = (*SERVICES, *WATCH, *ONCE, "cryomamba.target", "cryomamba-backup.timer", "cryomamba-gc.timer")
    command = [program("systemd-analyze"), f"--root={root}", "verify", *units]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("unit", [*SERVICES, *WATCH, *ONCE])
def test_services_are_confined(root: Path, program: Program, unit: str) -> None:
    """Each unit has a low exposure by the measure of systemd."""
    command = [program("systemd-analyze"), f"--root={root}", "security", "--offline=true", "--no-pager", unit]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    exposure = re.search(rf"exposure level for {re.escape(unit)}: ([\d.]+)", done.stdout)
    assert exposure is not None, done.stdout + done.stderr
    assert float(exposure[1]) <= EXPOSURE_MAX


def test_units_start_existing_programs(deploy: Path) -> None:
    """Every module and command that a unit starts exists, with its options."""
    started = [
        value for unit in (deploy / "systemd").glob("*.service") for value in settings_of(unit.read_text())["ExecStart"]
    ]
    modules = {line.split(" -m ")[1] for line in started if " -m " in line}
    assert modules == {"cryomamba_broker", "cryomamba_inference", "cryomamba_gateway"}
    assert all(importlib.util.find_spec(module) for module in modules)
    group = get_command(app)
    commands = [line.split()[1:] for line in started if " -m " not in line]
    assert len(commands) == len(ONCE) + len(WATCH)
    example = dict(re.findall(r"^(\w+)=(.*)$", (deploy / "systemd" / "watch-example.env").read_text(), re.MULTILINE))
    for name, *words in commands:
        # As systemd replaces variables: ${NAME} is one word, $NAME as many as it has.
        arguments = [example.get(word.strip("${}"), word) for word in words if word != "$OPTIONS"]
        arguments += example["OPTIONS"].split() if "$OPTIONS" in words else []
        group.commands[name].make_context(name, arguments)  # type: ignore[attr-defined]


def test_errors_that_need_an_administrator_prevent_a_restart(deploy: Path) -> None:
    """With an invalid configuration, a conflict or a damaged store a service is not restarted; after all else it is."""
    for name in ("cryomamba-broker.service", "cryomamba-inference@.service", "cryomamba-gateway.service"):
        unit = settings_of((deploy / "systemd" / name).read_text())
        assert unit["Restart"] == ["always"]
        assert unit["Type"] == ["notify"]
        final = {ExitCode(int(code)) for code in unit["RestartPreventExitStatus"][0].split()}
        assert final == {ExitCode.USAGE, ExitCode.CONFLICT, ExitCode.DAMAGED}


def test_the_environment_file_is_valid(deploy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable is a setting, and together they make a configuration that is local to the machine."""
    text = (deploy / "systemd" / "cryomamba.env").read_text()
    named = dict(re.findall(r"^(CRYOMAMBA_\w+)=(.*)$", text, re.MULTILINE))
    assert {name.removeprefix("CRYOMAMBA_").lower() for name in named} <= set(Settings.model_fields)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    common = settings_of((deploy / "systemd" / "cryomamba-.service.d" / "10-common.conf").read_text())
    assert str(settings.home) == f"/var/lib/{common['StateDirectory'][0]}"
    assert settings.bus_jobs.startswith(f"ipc:///run/{common['RuntimeDirectory'][0]}/")
    assert common["EnvironmentFile"] == ["/etc/cryomamba/cryomamba.env"]
