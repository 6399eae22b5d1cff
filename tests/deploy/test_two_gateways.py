"""Two gateways of one broker behind nginx, which sends each request to the next one, whoever makes it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.deploy.test_proxies import NAME, Proxy, certificate, nginx, replaced
from websockets.exceptions import ConnectionClosedOK

from cryomamba.testing import DEADLINE_S, Stack, free_ports, wait_until
from cryomamba.volumes import write_volume
from cryomamba_server.tokens import Scope, TokenStore

pytestmark = pytest.mark.system

PART = 64 * 1024


class Gateways:
    """A stack whose gateway has a second one beside it, nginx in front of both, and a token.

    Attributes
    ----------
    ports : tuple of int
        Of the two gateways.
    """

    def __init__(self, proxy: Proxy, second: subprocess.Popen[bytes], log: Path, port: int) -> None:
        self.proxy, self.stack, self.second, self._log = proxy, proxy.stack, second, log
        self.ports = self.stack.ports["gateway"], port

    def direct(self, number: int, **headers: str) -> httpx.Client:
        """Return a client of one of the gateways."""
        ours = {"Authorization": f"Bearer {self.proxy.token}", **headers}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.ports[number]}", headers=ours, timeout=DEADLINE_S)

    def served(self, text: str) -> list[int]:
        """Return how many lines with a text each gateway has logged."""
        return [self.stack.log("gateway").count(text), self._log.read_text().count(text)]


@pytest.fixture
def gateways(tmp_path: Path, deploy: Path, program: Callable[[str], str]) -> Iterator[Gateways]:
    """Two gateways with one data directory, and the example's nginx with both of them."""
    binary, openssl = program("nginx"), program("openssl")
    home, folder = tmp_path / "home", tmp_path / "nginx"
    folder.mkdir()
    token, _ = TokenStore(home / "keys").create("ada", [Scope.WRITE], days=1)
    (port,) = free_ports(1)
    env = {"CRYOMAMBA_GATEWAY_HOSTS": NAME, "CRYOMAMBA_LOG": "debug"}
    with Stack(home, roots=[tmp_path], env=env) as stack, (tmp_path / "second.log").open("wb") as log:
        stack.start().wait_ready()
        second = subprocess.Popen(
            [sys.executable, "-m", "cryomamba_gateway"],
            env={**stack.env, "CRYOMAMBA_GATEWAY_PORT": str(port)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        made = Gateways(
            Proxy(stack, token, folder, certificate(folder, openssl)[0]), second, tmp_path / "second.log", port
        )
        try:
            wait_until(lambda: _answers(made.direct(1)), what="the second gateway to answer")
            command = nginx(made.proxy, deploy, folder / "fullchain.pem", folder / "privkey.pem")
            path = folder / "cryomamba.conf"
            first = f"server 127.0.0.1:{stack.ports['gateway']};"
            path.write_text(replaced(path.read_text(), {first: f"{first} server 127.0.0.1:{port};"}))
            made.proxy.start([binary, *command])
            yield made
            made.proxy.process.terminate()
            made.proxy.process.wait(DEADLINE_S)
        finally:
            second.terminate()
            second.wait(DEADLINE_S)


def _answers(client: httpx.Client) -> bool:
    try:
        with client:
            return client.get("/v1/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_it_does_not_matter_which_gateway_gets_a_request(gateways: Gateways, tmp_path: Path) -> None:
    """Uploads, cookies, jobs, streams, links and revoked tokens: what one gateway was told, the other one knows."""
    upload_through_both(gateways, tmp_path)
    watch_at_the_other(gateways)
    use_cookie_and_revoke_token(gateways)
    lose_one(gateways)


def upload_through_both(gateways: Gateways, folder: Path) -> None:
    """Send the parts of an upload through the balancer, four at a time, and complete it at the other gateway."""
    path = folder / "t1.mrc"
    write_volume(path, np.random.default_rng(1).normal(size=(32, 64, 64)).astype(np.float32), 10.0)
    content = path.read_bytes()
    wanted = {"filename": "t1.mrc", "total_size_bytes": len(content), "chunk_size_bytes": PART}
    with gateways.direct(0) as first, gateways.direct(1) as second, gateways.proxy.client() as both:
        upload = first.post("/v1/uploads/init", json=wanted).json()
        assert second.get(f"/v1/uploads/{upload['upload_id']}").json()["received_parts"] == []

        def send(index: int) -> int:
            part = content[index * PART : (index + 1) * PART]
            return both.put(f"/v1/uploads/{upload['upload_id']}/part/{index}", content=part).status_code

        with ThreadPoolExecutor(4) as threads:
            assert set(threads.map(send, range(upload["part_count"]))) == {200}
        assert min(gateways.served("/part/")) >= 2
        file = second.post(f"/v1/uploads/{upload['upload_id']}/complete").json()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert [one["file_id"] for one in first.get("/v1/files").json()["files"]] == [file["file_id"]]
        assert first.get(f"/v1/files/{file['file_id']}/content").content == content


def watch_at_the_other(gateways: Gateways) -> None:
    """Submit at one gateway, watch at the other, and resume the stream of events of one at the other."""
    with gateways.direct(0) as first, gateways.direct(1) as second:
        body = {"volume": {"shape": [64, 64, 64]}, "params": {"seconds": 1}}
        job = first.post("/v1/jobs", json=body, headers={"Idempotency-Key": "once"}).json()["job_id"]
        again = second.post("/v1/jobs", json=body, headers={"Idempotency-Key": "once"}).json()["job_id"]
        assert again == job

    async def watch() -> list[str]:
        types = []
        async with asyncio.timeout(DEADLINE_S), await gateways.proxy.socket(f"/v1/ws/jobs/{job}") as socket:
            async for message in socket:
                if isinstance(message, bytes):
                    size = int.from_bytes(message[:4], "little")
                    seq = json.loads(message[4 : 4 + size])["seq"]
                    # The job may have ended meanwhile.
                    with suppress(ConnectionClosedOK):
                        await socket.send(json.dumps({"type": "ack", "seq": seq}))
                else:
                    types.append(json.loads(message)["type"])
        return types

    for _ in range(2):
        assert asyncio.run(watch())[-1] == "job_completed"
    resume_at_the_other(gateways)
    with gateways.direct(0) as first:
        link = first.post(f"/v1/jobs/{job}/artifacts/mask.mrc/link").json()["url"]
        assert httpx.get(f"http://127.0.0.1:{gateways.ports[1]}{link}").status_code == 200


def resume_at_the_other(gateways: Gateways) -> None:
    """Read the first event of a stream at one gateway, and those after it at the other."""
    with gateways.direct(0) as first:
        job = first.post("/v1/jobs", json={"volume": {"shape": [64, 64, 64]}, "params": {"seconds": 2}}).json()[
            "job_id"
        ]
    begin = next(line for line in events(gateways.direct(0), job) if line.startswith("id: "))
    rest = list(events(gateways.direct(1), job, begin.removeprefix("id: ")))
    assert begin not in rest
    assert "event: job_completed" in rest


def events(client: httpx.Client, job: str, last: str | None = None) -> Iterator[str]:
    """Yield the lines of a job's stream of events."""
    headers = {"Accept": "text/event-stream", **({} if last is None else {"Last-Event-ID": last})}
    with client, client.stream("GET", f"/v1/jobs/{job}/events", headers=headers) as reply:
        yield from reply.iter_lines()


def use_cookie_and_revoke_token(gateways: Gateways) -> None:
    """A cookie that one gateway has set is valid at both, until its token is revoked."""
    store = TokenStore(gateways.stack.home / "keys")
    token, info = store.create("bob", [Scope.READ], days=1)
    with gateways.direct(0, Authorization=f"Bearer {token}") as first:
        cookie = first.post("/v1/session").headers["Set-Cookie"].partition(";")[0]
    before = gateways.served("/v1/session")
    with gateways.proxy.client(Cookie=cookie) as both:
        del both.headers["Authorization"]
        assert {both.get("/v1/session").json()["owner"] for _ in range(8)} == {"bob"}
        assert min(now - then for now, then in zip(gateways.served("/v1/session"), before, strict=True)) >= 2
        store.revoke(info.id)
        assert {both.get("/v1/session").status_code for _ in range(8)} == {401}


def lose_one(gateways: Gateways) -> None:
    """Without one of them, every request is answered by the other."""
    assert gateways.stack.stop("gateway") == 0
    with gateways.proxy.client() as both:
        assert {both.get("/v1/jobs").status_code for _ in range(8)} == {200}
