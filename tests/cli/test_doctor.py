"""``doctor``: checks of the installation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from cryomamba.testing import free_ports

Cli = Callable[..., Result]


def test_doctor_runs_all_checks(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a working installation no check fails, and services that do not run are a warning."""
    jobs, gateway = free_ports(2)
    monkeypatch.setenv("CRYOMAMBA_BUS_JOBS", f"tcp://127.0.0.1:{jobs}")
    monkeypatch.setenv("CRYOMAMBA_GATEWAY_PORT", str(gateway))
    monkeypatch.setenv("CRYOMAMBA_ROOTS", str(tmp_path))
    done = cli("doctor", "--json")
    results = {result["what"]: result for result in json.loads(done.stdout)}
    assert done.exit_code == (1 if results["disk"]["level"] == "fail" else 0)
    assert {
        "version",
        "packages",
        "data directory",
        "disk",
        "input directory",
        "broker",
        "gateway",
        "engine",
        "gpu",
    } <= set(results)
    assert results["broker"]["level"] == results["gateway"]["level"] == "warn"
    assert results["data directory"]["level"] == "ok"
    assert str(tmp_path) in results["input directory"]["message"]


def test_doctor_reports_failures(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalid setting and a server that does not respond are failures with a hint."""
    monkeypatch.setenv("CRYOMAMBA_GATEWAY_PORT", "many")
    (port,) = free_ports(1)
    done = cli("doctor", "--server", f"http://127.0.0.1:{port}")
    assert done.exit_code == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("fail")]
    assert any("CRYOMAMBA_GATEWAY_PORT" in line for line in failed)
    assert any("server" in line for line in failed)
