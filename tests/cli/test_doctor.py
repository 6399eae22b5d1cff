"""``doctor``: checks of the installation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from cryomamba.client.address import local_gateway
from cryomamba.testing import Stack, free_ports

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


def test_doctor_finds_services_where_they_have_announced_themselves(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Services of this data directory on other ports, as set in a file .env that the services alone have read."""
    with Stack(tmp_path / "home") as stack:
        stack.start().wait_ready()
        monkeypatch.delenv("CRYOMAMBA_SERVER", raising=False)
        results = {result["what"]: result for result in json.loads(cli("doctor", "--json").stdout)}
        assert local_gateway() == stack.http_url
    for name, url in (("broker", stack.bus_url), ("gateway", stack.http_url)):
        assert results[name]["message"].startswith(f"{url} runs version")
    assert local_gateway() == "http://127.0.0.1:8000"
