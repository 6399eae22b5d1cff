"""A stack with bus keys and tokens: each process finds its own, and an upload survives a killed gateway."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

import cryomamba
from cryomamba.access.roles import Role
from cryomamba.errors import AccessError
from cryomamba.models.events import PreviewEvent
from cryomamba.testing import DEADLINE_S, Stack
from cryomamba_server.bus_keys import BusKeys
from cryomamba_server.tokens import Scope, TokenStore

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, str]]:
    """A running stack with CURVE on the bus and tokens at the gateway, and a token."""
    home = tmp_path_factory.mktemp("protected") / "home"
    BusKeys(home / "keys").init()
    token, _ = TokenStore(home / "keys").create("ada", [Scope.WRITE], days=1)
    env = {"CRYOMAMBA_LEASE_S": "5", "CRYOMAMBA_LOG": "debug,json"}
    with Stack(home, roots=[home / "nowhere"], env=env) as stack:
        yield stack.start().wait_ready(), token


def test_a_protected_stack_segments_an_upload(
    protected: tuple[Stack, str], tomogram: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upload, segment, watch and download through the gateway; a viewer on the bus gets previews and may not submit."""
    stack, token = protected
    BusKeys(stack.home / "keys").add("vera", Role.VIEWER, file=tmp_path / "vera.key", owner="ada")
    with cryomamba.connect(stack.http_url, token=token) as client:
        file = client.upload(tomogram)
        job = client.submit(file_id=file.file_id, engine="threshold")
        kinds = {type(event) for event in client.watch(job.job_id)}
        assert PreviewEvent in kinds
        assert client.record(job.job_id).state == "completed"
        assert client.download(job.job_id, to=tmp_path / "mask.mrc").stat().st_size > 1024
    monkeypatch.setenv("CRYOMAMBA_KEY", str(tmp_path / "vera.key"))
    with cryomamba.connect(stack.bus_url) as viewer:
        assert viewer.preview(job.job_id).final
        with pytest.raises(AccessError):
            viewer.submit(shape=(8, 8, 8))
        with pytest.raises(AccessError):
            viewer.retry(job.job_id)
    assert exposures(stack, use_secrets(stack, token, job.job_id)) == []


def use_secrets(stack: Stack, token: str, job_id: str) -> list[str]:
    """Use a signed link, an invalid token and an invalid signature; return all secrets of the data directory."""
    bearer = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=stack.http_url, timeout=DEADLINE_S) as http:
        link = http.post(f"/v1/jobs/{job_id}/artifacts/mask.mrc/link", headers=bearer).json()["url"]
        assert http.get(link).status_code == 200
        signature = link.rpartition("=")[2]
        bad = token[:-4] + "AAAA"
        assert http.get(link[:-1]).status_code == 403
        assert http.get(f"/v1/jobs?token={token}").status_code == 401
        assert http.get("/v1/jobs", headers={"Authorization": f"Bearer {bad}"}).status_code == 401
        assert http.get("/v1/jobs", headers={"Cookie": f"cryomamba_token={token}"}).status_code == 200
    keys = stack.home / "keys"
    stored = [(keys / name).read_text().strip() for name in ("tokens.key", "urls.key")]
    paired = [json.loads(path.read_text())["secret_key"] for path in (keys / "bus").glob("*.key")]
    assert len(paired) == 3
    return [token, token.rpartition(".")[2], signature, bad.rpartition(".")[2], *stored, *paired]


def exposures(stack: Stack, secrets: list[str]) -> list[str]:
    """Return the logs and command lines that contain a secret."""
    shown = {service: stack.log(service) for service in ("broker", "inference", "gateway")}
    assert all(shown.values())
    for service in stack.processes.values():
        parent = psutil.Process(service.pid)
        for process in (parent, *parent.children(recursive=True)):
            shown[f"process {process.name()} {process.pid}"] = " ".join(process.cmdline())
    return [where for where, text in shown.items() if any(secret in text for secret in secrets)]


def test_an_upload_survives_a_killed_gateway(
    protected: tuple[Stack, str], tomogram: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload continues after SIGKILL of the gateway, from the parts that had arrived."""
    monkeypatch.setattr("cryomamba.client.upload.PART_BYTES", 4096)
    stack, token = protected
    total, half = tomogram.stat().st_size, threading.Event()
    sent: list[int] = []
    digests: list[str] = []

    def note(done: int, _: int) -> None:
        sent.append(done)
        if done > total // 2:
            half.set()

    def send() -> None:
        with cryomamba.connect(stack.http_url, token=token) as client:
            digests.append(client.upload(tomogram, progress=note, parallel=2).sha256)

    sending = threading.Thread(target=send)
    sending.start()
    assert half.wait(DEADLINE_S)
    stack.kill("gateway")
    stack.start("gateway").wait_ready()
    sending.join(DEADLINE_S)
    assert digests == [hashlib.sha256(tomogram.read_bytes()).hexdigest()]
    assert sorted(sent) == sent
