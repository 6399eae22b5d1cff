"""The examples for reverse proxies: nginx and Caddy with a test certificate in front of a stack."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import ssl
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from cryomamba.testing import DEADLINE_S, Stack, free_ports, wait_until
from cryomamba.wire.webframe import SUBPROTOCOL
from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from _pytest.tmpdir import TempPathFactory

pytestmark = pytest.mark.system

NAME = "em.example.org"
MIB = 1024 * 1024
Program = Callable[[str], str]


class Proxy:
    """A running proxy, and how to reach the gateway through it.

    Attributes
    ----------
    folder : Path
        For everything that the proxy writes.
    https, http : int
        Its ports.
    limited : bool
        Whether it limits the requests of an address.
    """

    def __init__(self, stack: Stack, token: str, folder: Path, certificate: Path) -> None:
        self.stack = stack
        self.token = token
        self.folder = folder
        self.https, self.http = free_ports(2)
        self.context = ssl.create_default_context(cafile=str(certificate))
        self.limited = False
        self.process: subprocess.Popen[bytes]

    def start(self, command: list[str]) -> None:
        with (self.folder / "output.log").open("wb") as log:
            environment = {**os.environ, "HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder)}
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        wait_until(self._answers, what=f"{command[0]} to answer")

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "output.log").read_text()
        try:
            with self.client() as client:
                return client.get("/v1/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def client(self, **headers: str) -> httpx.Client:
        """Return a client that connects to the proxy's port under the example's host name."""
        ours = {"Host": NAME, "Authorization": f"Bearer {self.token}", **headers}
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.https}",
            headers=ours,
            verify=self.context,
            trust_env=False,
            timeout=DEADLINE_S,
            event_hooks={"request": [_with_name]},
        )

    async def socket(self, path: str, *, origin: str | None = None, token: bool = True) -> ClientConnection:
        return await connect(
            f"wss://{NAME}{path}",
            host="127.0.0.1",
            port=self.https,
            ssl=self.context,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            additional_headers={"Authorization": f"Bearer {self.token}"} if token else {},
            origin=None if origin is None else Origin(origin),
            max_size=2 * MIB,
            proxy=None,
        )

    def logged(self) -> str:
        """Return everything that the proxy has logged."""
        return "".join(path.read_text(errors="replace") for path in self.folder.rglob("*.log"))


def _with_name(request: httpx.Request) -> None:
    # The name for TLS: the certificate and the proxy's choice of a server go by it.
    request.extensions["sni_hostname"] = NAME


def certificate(folder: Path, openssl: str) -> tuple[Path, Path]:
    """Make a key and a certificate for the example's name."""
    cert, key = folder / "fullchain.pem", folder / "privkey.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


@pytest.fixture(scope="module")
def stack(tmp_path_factory: TempPathFactory) -> Iterator[tuple[Stack, str]]:
    """A stack that requires tokens and knows the proxy's host name, and a token."""
    folder = tmp_path_factory.mktemp("proxied")
    token, _ = TokenStore(folder / "home" / "keys").create("ada", [Scope.WRITE], days=1)
    with Stack(folder / "home", roots=[folder], env={"CRYOMAMBA_GATEWAY_HOSTS": NAME}) as running:
        yield running.start().wait_ready(), token


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def proxy(
    request: pytest.FixtureRequest,
    stack: tuple[Stack, str],
    tmp_path_factory: TempPathFactory,
    deploy: Path,
    program: Program,
) -> Iterator[Proxy]:
    """The example's configuration, unchanged but for ports, files and addresses."""
    binary, openssl = program(request.param), program("openssl")
    folder = tmp_path_factory.mktemp(request.param)
    cert, key = certificate(folder, openssl)
    running = Proxy(*stack, folder, cert)
    running.limited = request.param == "nginx"
    configure = nginx if request.param == "nginx" else caddy
    running.start([binary, *configure(running, deploy, cert, key)])
    yield running
    running.process.terminate()
    running.process.wait(DEADLINE_S)


def replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx(proxy: Proxy, deploy: Path, cert: Path, key: Path) -> list[str]:
    gateway = proxy.stack.http_url.removeprefix("http://")
    example = replaced(
        (deploy / "nginx" / "cryomamba.conf").read_text(),
        {
            "listen 443": f"listen 127.0.0.1:{proxy.https}",
            "listen 80": f"listen 127.0.0.1:{proxy.http}",
            "127.0.0.1:8000": gateway,
            "/etc/letsencrypt/live/em.example.org/fullchain.pem": str(cert),
            "/etc/letsencrypt/live/em.example.org/privkey.pem": str(key),
            "/var/log/nginx/cryomamba.log": str(proxy.folder / "access.log"),
        },
    )
    (proxy.folder / "cryomamba.conf").write_text(example)
    temporary = "".join(
        f"{name}_temp_path {proxy.folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = proxy.folder / "nginx.conf"
    main.write_text(
        f"daemon off; pid {proxy.folder}/pid; error_log {proxy.folder}/error.log; worker_processes 1;"
        f"events {{}} http {{ {temporary} include {proxy.folder}/cryomamba.conf; }}"
    )
    return ["-p", str(proxy.folder), "-c", str(main), "-e", str(proxy.folder / "error.log")]


def caddy(proxy: Proxy, deploy: Path, cert: Path, key: Path) -> list[str]:
    gateway = proxy.stack.http_url.removeprefix("http://")
    options = ("admin off", f"https_port {proxy.https}", f"http_port {proxy.http}", "default_bind 127.0.0.1")
    # The redirect would listen on another port.
    settings = "\n\t".join((*options, "auto_https disable_redirects"))
    example = replaced(
        (deploy / "caddy" / "Caddyfile").read_text(),
        {
            "{\n\tservers {": f"{{\n\t{settings}\n\tservers {{",
            "em.example.org} {": f"em.example.org}} {{\n\ttls {cert} {key}",
            "127.0.0.1:8000": gateway,
            "/var/log/caddy/cryomamba.log": str(proxy.folder / "access.log"),
        },
    )
    path = proxy.folder / "Caddyfile"
    path.write_text(example)
    return ["run", "--adapter", "caddyfile", "--config", str(path)]


def finished_job(proxy: Proxy) -> tuple[str, bytes]:
    with proxy.client() as client:
        job = client.post("/v1/jobs", json={"volume": {"shape": [64, 64, 64]}, "params": {"seconds": 0}}).json()[
            "job_id"
        ]
        wait_until(lambda: client.get(f"/v1/jobs/{job}").json()["state"] == "completed", what="the job")
        return job, client.get(f"/v1/jobs/{job}/artifacts/mask.mrc").content


def test_requests_and_errors_pass_unchanged(proxy: Proxy) -> None:
    """Responses, error envelopes, request ids and limits pass through; without a token nothing is allowed."""
    with proxy.client() as client:
        reply = client.get("/v1/jobs", headers={"X-Request-ID": "abc"})
        assert (reply.status_code, reply.headers["X-Request-ID"]) == (200, "abc")
        assert "X-RateLimit-Remaining" in reply.headers
        assert "max-age" in reply.headers["Strict-Transport-Security"]
        missing = client.get("/v1/jobs/nothing")
        assert missing.status_code == 404
        assert missing.json()["code"] == "not_found"
        assert client.get("/v1/jobs", headers={"Authorization": "Bearer x"}).status_code == 401


def test_the_cookie_is_secure(proxy: Proxy) -> None:
    """The gateway speaks plain HTTP to the proxy, but the browser is told to send the cookie over HTTPS only."""
    with proxy.client() as client:
        cookie = client.post("/v1/session").headers["Set-Cookie"]
    assert "Secure" in cookie
    assert "HttpOnly" in cookie


def test_only_the_configured_host_is_served(proxy: Proxy) -> None:
    """A request for another host reaches no job, whatever the certificate."""
    with proxy.client(Host="evil.example.net") as client:
        try:
            reply = client.get("/v1/jobs")
        except httpx.TransportError:
            return
    assert "jobs" not in reply.text


def test_pages_of_other_origins_change_nothing(proxy: Proxy) -> None:
    """The gateway's own page may; another origin is refused on HTTP and WebSocket."""
    with proxy.client() as client:
        assert client.post("/v1/jobs", headers={"Origin": "https://evil.example.net"}).status_code == 403
        job = client.post("/v1/jobs", headers={"Origin": f"https://{NAME}"}, json={"volume": {"shape": [8, 8, 8]}})
        assert job.status_code == 201
        client.delete(f"/v1/jobs/{job.json()['job_id']}")

    async def foreign() -> int | None:
        async with await proxy.socket("/v1/ws", origin="https://evil.example.net") as socket:
            await socket.wait_closed()
            return socket.close_code

    assert asyncio.run(foreign()) == 1008


def test_previews_come_as_binary_frames(proxy: Proxy) -> None:
    """A job is followed to its end over the proxy's WebSocket, with acknowledged binary frames."""

    async def watch() -> tuple[list[str], int]:
        with proxy.client() as client:
            job = client.post("/v1/jobs", json={"volume": {"shape": [64, 64, 64]}, "params": {"seconds": 2}}).json()
        types, frames = [], 0
        async with asyncio.timeout(DEADLINE_S), await proxy.socket(f"/v1/ws/jobs/{job['job_id']}") as socket:
            async for message in socket:
                if isinstance(message, bytes):
                    size = int.from_bytes(message[:4], "little")
                    header = json.loads(message[4 : 4 + size])
                    frames += 1
                    await socket.send(json.dumps({"type": "ack", "seq": header["seq"]}))
                else:
                    types.append(json.loads(message)["type"])
        return types, frames

    types, frames = asyncio.run(watch())
    assert types[0] == "connected"
    assert types[-1] == "job_completed"
    assert frames >= 2


def test_a_browsers_first_message_carries_the_token(proxy: Proxy) -> None:
    """Without a header, the token may be sent in the first message of the WebSocket."""

    async def talk() -> str:
        async with asyncio.timeout(DEADLINE_S), await proxy.socket("/v1/ws", token=False) as socket:
            await socket.send(json.dumps({"type": "auth", "token": proxy.token}))
            await socket.send(json.dumps({"type": "ping"}))
            while True:
                message = json.loads(await socket.recv())
                if message["type"] == "pong":
                    return str(message["type"])

    assert asyncio.run(talk()) == "pong"


def test_an_upload_reaches_the_gateway_while_it_is_sent(proxy: Proxy, tmp_path: Path) -> None:
    """The first half of a part is on the gateway's disk before the second is sent: the proxy does not buffer."""
    incoming = proxy.stack.home / "uploads" / "incoming"
    half = os.urandom(4 * MIB)
    with proxy.client() as client:
        wanted = {"filename": "big.mrc", "total_size_bytes": 8 * MIB, "chunk_size_bytes": 8 * MIB}
        upload = client.post("/v1/uploads/init", json=wanted).json()["upload_id"]

        def body() -> Iterator[bytes]:
            yield half
            wait_until(lambda: arrived(), what="the first half on the disk")
            yield half

        def arrived() -> bool:
            with (incoming / upload / "data").open("rb") as data:
                return bool(data.read(3 * MIB) == half[: 3 * MIB])

        reply = client.put(f"/v1/uploads/{upload}/part/0", content=body(), headers={"Content-Length": str(8 * MIB)})
        assert reply.status_code == 200, reply.text
        assert reply.json()["received_bytes"] == 8 * MIB
        client.delete(f"/v1/uploads/{upload}")


def test_a_large_file_costs_the_proxy_no_memory(proxy: Proxy) -> None:
    """128 MiB pass through, up to the gateway's limit, and the proxy uses less than a third of that memory."""

    def body() -> Iterator[bytes]:
        for _ in range(128):
            yield bytes(MIB)

    with proxy.client() as client:
        reply = client.put("/v1/files?filename=zeros.mrc", content=body(), headers={"Content-Length": str(128 * MIB)})
        assert (reply.status_code, reply.json()["code"]) == (422, "volume_unreadable")
    one = psutil.Process(proxy.process.pid)
    held = sum(process.memory_info().rss for process in (one, *one.children()))
    assert held < 100 * MIB
    spooled = sum(path.stat().st_size for path in proxy.folder.rglob("*") if path.is_file())
    assert spooled < MIB


def test_downloads_resume(proxy: Proxy) -> None:
    """A range of a mask has exactly those bytes, and the whole file has its checksum."""
    job, mask = finished_job(proxy)
    with proxy.client() as client:
        record = client.get(f"/v1/jobs/{job}").json()
        stated = next(one["sha256"] for one in record["artifacts"] if one["name"] == "mask.mrc")
        assert hashlib.sha256(mask).hexdigest() == stated
        part = client.get(f"/v1/jobs/{job}/artifacts/mask.mrc", headers={"Range": "bytes=1000-1999"})
        assert (part.status_code, part.content) == (206, mask[1000:2000])


def test_signatures_stay_out_of_the_log(proxy: Proxy) -> None:
    """A signed link works through the proxy, and neither its signature nor a token is logged."""
    job, mask = finished_job(proxy)
    with proxy.client() as client:
        link = client.post(f"/v1/jobs/{job}/artifacts/mask.mrc/link").json()["url"]
        del client.headers["Authorization"]
        assert client.get(link).content == mask
    signature = re.search(r"signature=(\w+)", link)
    assert signature is not None
    wait_until(lambda: "/v1/files/" in proxy.logged(), what="the request in the proxy's log")
    assert signature[1] not in proxy.logged()
    assert proxy.token not in proxy.logged()


def test_requests_of_one_address_are_limited(proxy: Proxy) -> None:
    """nginx refuses an address that sends too many requests; Caddy has no such limit."""
    # Several at once, so that a slow machine sends too many as well.
    with proxy.client() as client, ThreadPoolExecutor(16) as pool:
        statuses = set(pool.map(lambda _: client.get("/v1/healthz").status_code, range(2000)))
    assert statuses == ({200, 429} if proxy.limited else {200})
