"""``doctor``: checks of the installation."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import Result

from cryomamba.client.address import local_gateway
from cryomamba.testing import Stack, free_ports, wait_until
from cryomamba_server.tokens import Scope, TokenStore

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


def checks(cli: Cli, *arguments: object) -> dict[str, dict[str, str]]:
    return {one["what"]: one for one in json.loads(cli("doctor", "--json", *arguments).stdout)}


NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {target}; proxy_set_header Host $http_host; {more} }} }}
}}
"""
PASSES = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'


@pytest.fixture
def proxied(server: Stack, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Start nginx in front of the gateway, with further directives, and return its address."""
    nginx = shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))
    if nginx is None:
        pytest.skip("nginx is not installed")
    started = []

    def start(more: str) -> str:
        (port,) = free_ports(1)
        folder = tmp_path / f"nginx{port}"
        folder.mkdir()
        text = NGINX.format(folder=folder, port=port, target=server.http_url, more=more)
        (folder / "nginx.conf").write_text(text)
        started.append(subprocess.Popen([nginx, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL))
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(url), what="nginx to answer")
        return url

    yield start
    for process in started:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v1/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_a_proxy_that_drops_websockets_is_found(cli: Cli, proxied: Callable[[str], str]) -> None:
    """HTTP works through nginx either way; the WebSocket only if it passes Upgrade on, and the hint has the lines."""
    dropping = checks(cli, "--server", proxied(""))
    assert dropping["server"]["level"] == "ok"
    assert dropping["websocket"]["level"] == "fail"
    assert "proxy_set_header Upgrade" in dropping["websocket"]["hint"]
    passing = checks(cli, "--server", proxied(PASSES))
    assert (passing["websocket"]["level"], passing["clock"]["level"]) == ("ok", "ok")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_keys_that_others_can_read_are_found(cli: Cli, tmp_path: Path) -> None:
    """With the command that mends it, which does."""
    assert cli("keys", "init").exit_code == 0
    assert checks(cli)["keys"]["level"] == "ok"
    path = next(one for one in (tmp_path / "home" / "keys").rglob("*") if one.is_file())
    path.chmod(0o644)
    found = next(one for one in json.loads(cli("doctor", "--json").stdout) if one["what"] == "keys")
    assert found["level"] == "fail"
    subprocess.run(found["hint"], shell=True, check=True)
    assert checks(cli)["keys"]["level"] == "ok"


def test_an_expired_token_is_found(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A valid one is fine; what is no token is named."""
    store = TokenStore(tmp_path / "keys")
    monkeypatch.setenv("CRYOMAMBA_TOKEN", store.create("ann", [Scope.READ], days=90)[0])
    assert checks(cli)["token"]["level"] == "ok"
    past = TokenStore(tmp_path / "old", clock=lambda: 1e9)
    monkeypatch.setenv("CRYOMAMBA_TOKEN", past.create("ann", [Scope.READ], days=1)[0])
    assert checks(cli)["token"]["level"] == "fail"
    monkeypatch.setenv("CRYOMAMBA_TOKEN", "nonsense")
    assert checks(cli)["token"]["level"] == "warn"


def test_a_report_has_no_secrets_and_no_names(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the token, nor keys, nor the home folder, nor the names of user and machine; but all checks."""
    home = tmp_path / "people" / "ann.researcher"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("LOGNAME", "ann.researcher")
    monkeypatch.setenv("CRYOMAMBA_HOME", str(home / "data"))
    assert cli("keys", "init").exit_code == 0
    token = TokenStore(tmp_path / "tokens").create("ann.researcher", [Scope.READ], days=90)[0]
    monkeypatch.setenv("CRYOMAMBA_TOKEN", token)
    Path("cryomamba.toml").write_text(
        f'server = "http://ann:hunter2@lab.example.org"\n[watch-folder]\nwebhook = "https://x.example/?token=s3cret"\n'
        f'webhook-secret = "{home}/secret"\n'
    )
    (port,) = free_ports(1)
    done = cli("doctor", "--report", "report.md", "--server", f"http://127.0.0.1:{port}")
    assert done.exit_code == 1, done.stderr
    report = Path("report.md").read_text()
    assert "ok: packages" in report
    assert "CRYOMAMBA_TOKEN=[redacted]" in report
    assert "lab.example.org" in report
    assert "numpy " in report
    secrets = [token, *token.split("."), "hunter2", "s3cret", "ann.researcher", str(home)]
    for path in (home / "data" / "keys").rglob("*"):
        if path.is_file():
            secrets += [word for word in path.read_text().replace('"', " ").split() if len(word) >= 40]
    assert len(secrets) > 10
    for secret in secrets:
        assert secret not in report, secret
    for name in (socket.gethostname(), getpass.getuser()):
        assert not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", report), name


def test_a_configuration_file_that_is_not_valid_is_a_result(cli: Cli) -> None:
    """Other commands refuse it; the check lists it, and says what is wrong."""
    Path("cryomamba.toml").write_text("procesess = 2\n")
    found = checks(cli)["configuration"]
    assert found["level"] == "fail"
    assert "processes" in found["hint"]
