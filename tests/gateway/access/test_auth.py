"""Attacks on a gateway with tokens: each ends with the documented refusal and reveals nothing."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import jwt
import pytest
from websockets.asyncio.client import connect

from cryomamba.access.private_files import read_private
from cryomamba.errors import InvalidRequestError
from cryomamba.testing import DEADLINE_S
from cryomamba_gateway.server import certificate, listen
from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from tests.gateway.access.conftest import SecuredServices

pytestmark = pytest.mark.asyncio(loop_scope="session")

DEMO = {"volume": {"shape": [8, 8, 8]}}
UNKNOWN = "00000000-0000-4000-8000-000000000000"
GUARDED = ("/v1/jobs", "/jobs", "/v1/files", "/v1/server/info", "/metrics", f"/v1/jobs/{UNKNOWN}", "/v1/nothing")


def refused(reply: httpx.Response, status: int, code: str) -> None:
    assert (reply.status_code, reply.json()["code"]) == (status, code), reply.text
    assert reply.json()["request_id"] == reply.headers["X-Request-ID"]


@pytest.mark.parametrize("path", GUARDED)
async def test_no_token(secured: SecuredServices, path: str) -> None:
    """Without a token every route is closed, unknown ones too."""
    async with secured.client(None) as anonymous:
        reply = await anonymous.get(path)
    refused(reply, 401, "unauthorized")
    assert reply.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/v1/healthz", "/v1/readyz", "/openapi.json", "/docs"])
async def test_health_needs_no_token(secured: SecuredServices, path: str) -> None:
    """Health and the OpenAPI document are public."""
    async with secured.client(None) as anonymous:
        assert (await anonymous.get(path)).status_code in {200, 503}


def claims(secured: SecuredServices, **changes: object) -> dict[str, object]:
    _, info = secured.tokens.create("eve", [Scope.ADMIN], days=1)
    now = int(time.time())
    good = {"iss": "cryomamba", "sub": "eve", "jti": info.id, "iat": now, "exp": now + 60, "scope": "admin"}
    return {**good, **changes}


def unsigned(payload: dict[str, object]) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(payload)}."


async def test_private_answers_are_not_stored(secured: SecuredServices) -> None:
    """No cache keeps what one person was sent, nor gives it to another; that goes for refusals and files too."""
    job = (await secured.ada.post("/v1/jobs", json={"volume": {"shape": [8, 8, 8]}})).json()["job_id"]
    link = f"/v1/files/{job}/mask.mrc?expires=1&signature=x"
    paths = ("/v1/jobs", f"/v1/jobs/{job}", f"/v1/jobs/{job}/preview", "/v1/server/info", "/metrics", "/none", link)
    async with secured.client(None) as stranger:
        for caller in (secured.ada, stranger):
            for path in paths:
                headers = (await caller.get(path)).headers
                assert headers["Cache-Control"] == "no-store", path
                assert headers["Vary"] == "Authorization, Cookie", path
        for path in ("/v1/healthz", "/v1/readyz"):
            assert (await stranger.get(path)).headers["Cache-Control"] == "no-store"
        assert "Vary" not in (await stranger.get("/openapi.json")).headers


async def test_forged_tokens(secured: SecuredServices) -> None:
    """No signature, another key, algorithm or issuer, an unknown id, or nonsense."""
    key = read_private(secured.services.settings.keys / "tokens.key").strip()
    forged = [
        unsigned(claims(secured)),
        jwt.encode(claims(secured), "another key that is long enough for the library", algorithm="HS256"),
        jwt.encode(claims(secured), key, algorithm="HS512"),
        jwt.encode(claims(secured, iss="somebody"), key, algorithm="HS256"),
        jwt.encode(claims(secured, jti="0" * 32), key, algorithm="HS256"),
        jwt.encode(claims(secured, jti="../../jobs"), key, algorithm="HS256"),
        jwt.encode(claims(secured, sub="root"), key, algorithm="HS256"),
        "x",
        "a.b.c",
        "e" * 5000,
    ]
    for token in forged:
        async with secured.client(token) as eve:
            refused(await eve.get("/v1/jobs"), 401, "unauthorized")


async def test_an_expired_token(secured: SecuredServices) -> None:
    """An expired token is refused, also if its claims say otherwise."""
    old = TokenStore(secured.services.settings.keys, clock=lambda: time.time() - 7200)
    token, _ = old.create("eve", [Scope.ADMIN], days=1 / 24)
    async with secured.client(token) as eve:
        reply = await eve.get("/v1/jobs")
    refused(reply, 401, "unauthorized")
    assert "expired" in reply.json()["message"]


async def test_a_revoked_token(secured: SecuredServices) -> None:
    """A revoked token is refused with its next request."""
    token, info = secured.tokens.create("eve", [Scope.WRITE], days=1)
    async with secured.client(token) as eve:
        assert (await eve.get("/v1/jobs")).status_code == 200
        secured.tokens.revoke(info.id)
        refused(await eve.get("/v1/jobs"), 401, "unauthorized")


async def test_a_read_only_token(secured: SecuredServices) -> None:
    """With the scope 'read' nothing can be changed."""
    job = (await secured.ada.post("/v1/jobs", json=DEMO)).json()["job_id"]
    changing = [
        ("POST", "/v1/jobs"),
        ("DELETE", f"/v1/jobs/{job}"),
        ("POST", f"/v1/jobs/{job}/retry"),
        ("PUT", f"/v1/jobs/{job}/focus"),
        ("POST", "/v1/uploads/init"),
        ("PUT", "/v1/files"),
        ("DELETE", f"/v1/files/{UNKNOWN}"),
    ]
    for method, path in changing:
        refused(await secured.reader.request(method, path), 403, "forbidden")
    assert (await secured.reader.get(f"/v1/jobs/{job}")).json()["state"] == "pending"


async def test_a_job_of_another_owner(secured: SecuredServices) -> None:
    """It does not exist, in any request or listing; an administrator sees all jobs."""
    mine = (await secured.ada.post("/v1/jobs", json=DEMO)).json()
    job = mine["job_id"]
    assert mine["owner"] == "ada"
    missing = (await secured.bob.get(f"/v1/jobs/{UNKNOWN}")).json()
    for method, path in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/retry"),
        ("GET", "/preview"),
        ("GET", "/artifacts/mask.mrc"),
        ("HEAD", "/artifacts/mask.mrc"),
        ("POST", "/artifacts/mask.mrc/link"),
    ]:
        reply = await secured.bob.request(method, f"/v1/jobs/{job}{path}")
        assert reply.status_code == 404
        if method != "HEAD":
            found = reply.json()
            assert (found["code"], found["hint"]) == (missing["code"], missing["hint"])
            assert found["message"] == missing["message"].replace(UNKNOWN, job)
    reply = await secured.bob.put(f"/v1/jobs/{job}/focus", json={"position": [1, 1, 1]})
    refused(reply, 404, "not_found")
    assert (await secured.bob.get("/v1/jobs")).json()["jobs"] == []
    assert job in {
        found["job_id"] for found in (await secured.admin.get("/v1/jobs", params={"limit": 500})).json()["jobs"]
    }
    assert (await secured.admin.get(f"/v1/jobs/{job}")).status_code == 200
    assert (await secured.reader.get(f"/v1/jobs/{job}")).status_code == 200


async def test_an_owner_cannot_be_chosen(secured: SecuredServices) -> None:
    """A body that names an owner is refused."""
    reply = await secured.ada.post("/v1/jobs", json={**DEMO, "owner": "bob"})
    assert reply.status_code == 400
    assert (await secured.bob.get("/v1/jobs")).json()["jobs"] == []


async def test_the_same_idempotency_key_of_two_owners(secured: SecuredServices) -> None:
    """Two owners may use the same Idempotency-Key, and neither learns of the other's job."""
    key = {"Idempotency-Key": "the-same"}
    first = (await secured.ada.post("/v1/jobs", json=DEMO, headers=key)).json()
    again = (await secured.ada.post("/v1/jobs", json=DEMO, headers=key)).json()
    other = await secured.admin.post("/v1/jobs", json={"volume": {"shape": [4, 4, 4]}}, headers=key)
    assert first["job_id"] == again["job_id"] != other.json()["job_id"]
    assert other.status_code == 201


async def test_foreign_origins(secured: SecuredServices) -> None:
    """A page of another origin changes nothing, whatever cookie the browser sends, and gets no WebSocket."""
    token = secured.token("ada")
    headers = {"Origin": "https://evil.example", "Cookie": f"cryomamba_token={token}"}
    async with secured.client(None) as page:
        refused(await page.post("/v1/jobs", json=DEMO, headers=headers), 403, "forbidden")
    async with secured.services.socket("/v1/ws", additional_headers=headers) as socket:
        assert await socket.closed() == 1008


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", ""])
async def test_foreign_hosts(secured: SecuredServices, host: str) -> None:
    """A name that was rebound to this address is refused, with or without a token."""
    reply = await secured.admin.get("/v1/jobs", headers={"Host": host})
    assert reply.status_code in {400, 403}
    assert "jobs" not in reply.json()


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "em.example.org", "EM.example.org:443"])
async def test_own_hosts(secured: SecuredServices, host: str) -> None:
    """Addresses, this machine's names and configured names are accepted."""
    assert (await secured.admin.get("/v1/jobs", headers={"Host": host})).status_code == 200


async def test_a_cookie_is_a_token(secured: SecuredServices) -> None:
    """A session stores the token where no script reads it, for requests and WebSockets of the own origin."""
    reply = await secured.reader.post("/v1/session")
    cookie = reply.headers["Set-Cookie"]
    assert reply.status_code == 204
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    sent = {"Cookie": cookie.split(";")[0]}
    async with secured.client(None) as page:
        assert (await page.get("/v1/jobs", headers=sent)).status_code == 200
    async with secured.services.socket("/v1/ws", additional_headers=sent) as socket:
        await socket.send({"type": "ping"})
        await socket.read_type("pong")


async def test_a_session_tells_what_its_token_allows(secured: SecuredServices) -> None:
    """Owner and scopes; nothing without a token."""
    for person, owner, scopes in (
        (secured.reader, "ada", ["read"]),
        (secured.ada, "ada", ["read", "write"]),
        (secured.admin, "root", ["read", "write", "admin"]),
    ):
        found = (await person.get("/v1/session")).json()
        assert found["scopes"] == scopes
        assert found["owner"] == owner
    async with secured.client(None) as stranger:
        assert (await stranger.get("/v1/session")).status_code == 401


async def test_a_websocket_without_a_token(secured: SecuredServices) -> None:
    """Any first message but a token closes the connection, and nothing is revealed."""
    for sent in ({"type": "ping"}, {"type": "subscribe", "job_id": "*"}, {"type": "auth", "token": "x"}, "{", b"\0"):
        async with secured.services.socket("/v1/ws") as socket:
            await socket.send(sent)
            assert await socket.read_all() == []
            assert await socket.closed() == 1008


async def test_a_websocket_sends_its_token_first(secured: SecuredServices) -> None:
    """The token in the first message opens a WebSocket."""
    async with secured.services.socket("/v1/ws") as socket:
        await socket.send({"type": "auth", "token": secured.token("ada")})
        await socket.send({"type": "ping"})
        await socket.read_type("pong")


async def test_a_websocket_reveals_no_jobs_of_others(secured: SecuredServices) -> None:
    """Neither a job's id nor the stream of all jobs shows jobs of another owner."""
    theirs = (await secured.ada.post("/v1/jobs", json=DEMO)).json()["job_id"]
    bearer = {"Authorization": f"Bearer {secured.token('bob')}"}
    async with secured.services.socket(f"/v1/ws/jobs/{theirs}", additional_headers=bearer) as socket:
        assert await socket.closed() == 4404
    async with secured.services.socket("/v1/ws", additional_headers=bearer) as socket:
        await socket.send({"type": "subscribe", "job_id": "*", "since": 0})
        await socket.send({"type": "subscribe", "job_id": theirs})
        assert (await socket.read_type("error"))["data"]["code"] == "not_found"
        assert (await secured.ada.delete(f"/v1/jobs/{theirs}")).status_code == 200
        mine = (await secured.bob.post("/v1/jobs", json=DEMO)).json()["job_id"]
        seen = await socket.read_until(lambda message: message["job_id"] == mine)
        assert {message["job_id"] for message in seen} <= {mine, None}


async def test_the_websockets_of_a_token_are_limited(secured: SecuredServices) -> None:
    """One token may open a limited number; another token is not affected."""
    bearer = {"Authorization": f"Bearer {secured.token('carol')}"}

    async def pinged(headers: dict[str, str], *, inner: bool) -> None:
        async with secured.services.socket("/v1/ws", additional_headers=headers) as socket:
            if inner:
                assert await socket.closed() == 1013
                return
            await socket.send({"type": "ping"})
            await socket.read_type("pong")
            depth.append(1)
            await pinged(headers, inner=len(depth) == 3)

    depth: list[int] = []
    await pinged(bearer, inner=False)
    depth.clear()
    await pinged(bearer, inner=False)


async def test_too_many_requests(secured: SecuredServices) -> None:
    """A token that sends too many requests gets Retry-After; every response has the remaining rate."""
    other = secured.services.settings.model_copy(update={"requests_per_minute": 3})
    async with secured.services.running(other) as url, secured.client(secured.token("ada")) as ada:
        for left in ("2", "1", "0"):
            reply = await ada.get(f"{url}/v1/jobs")
            assert (reply.status_code, reply.headers["X-RateLimit-Remaining"]) == (200, left)
        reply = await ada.get(f"{url}/v1/jobs")
        refused(reply, 429, "rate_limited")
        assert 0 < int(reply.headers["Retry-After"]) <= 20
        assert reply.headers["X-RateLimit-Limit"] == "3"
        async with secured.client(secured.token("bob")) as bob:
            assert (await bob.get(f"{url}/v1/jobs")).status_code == 200


async def finished(secured: SecuredServices) -> str:
    """Let Ada's job be finished by a worker, and return its id."""
    worker = await secured.services.start_worker()
    job = (await secured.ada.post("/v1/jobs", json={**DEMO, "priority": 100})).json()["job_id"]
    # Jobs of earlier tests may be before it.
    while (claimed := await worker.claim()).job_id != job:
        await worker.finish(claimed, {})
    await worker.finish(claimed, {"mask.mrc": b"0123456789", "stats.json": b"{}"})
    return str(job)


async def test_signed_links(secured: SecuredServices) -> None:
    """A link needs no token, and is valid for its file, for reading, and for its lifetime only."""
    job = await finished(secured)
    link = (await secured.ada.post(f"/v1/jobs/{job}/artifacts/mask.mrc/link", params={"lifetime_s": 60})).json()["url"]
    signer = secured.services.signer()
    old, _ = signer.sign(f"/v1/files/{job}/mask.mrc", lifetime_s=-1)
    query = link.partition("?")[2]
    expires = int(query.partition("=")[2].partition("&")[0])
    async with secured.client(None) as anonymous:
        assert (await anonymous.get(link)).content == b"0123456789"
        assert (await anonymous.head(link)).headers["Content-Length"] == "10"
        assert (await anonymous.get(link, headers={"Range": "bytes=2-3"})).content == b"23"
        for forged in (
            link[:-1] + ("0" if link[-1] != "0" else "1"),
            link.replace(f"expires={expires}", f"expires={expires + 3600}"),
            f"/v1/files/{job}/stats.json?{query}",
            f"/v1/files/{UNKNOWN}/mask.mrc?{query}",
            f"/v1/files/{job}/mask.mrc?expires=9&signature=%00",
            signer.sign(f"/v1/files/{job}/mask.mrc", method="DELETE")[0],
            old,
        ):
            refused(await anonymous.get(forged), 403, "forbidden")
        assert (await anonymous.get(f"/v1/files/{job}/mask.mrc")).status_code == 400
        for method in ("DELETE", "PUT", "POST"):
            assert (await anonymous.request(method, link)).status_code in {401, 405}
        assert (await anonymous.get(f"/v1/jobs/{job}/artifacts/mask.mrc?{query}")).status_code == 401
        assert (await anonymous.get(f"/v1/jobs?{query}")).status_code == 401


async def test_secrets_are_not_logged(secured: SecuredServices, caplog: pytest.LogCaptureFixture) -> None:
    """Neither valid nor invalid tokens or signatures are in any log record."""
    token = secured.token("ada")
    with caplog.at_level(logging.DEBUG):
        async with secured.client(token) as ada:
            await ada.get("/v1/jobs")
        async with secured.client(token + "x") as eve:
            await eve.get("/v1/jobs")
            await eve.get(f"/v1/files/{UNKNOWN}/mask.mrc?expires=1&signature=deadbeef")
    reported = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("cryomamba"))
    assert token not in reported
    assert "deadbeef" not in reported


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "em.example.org"])
async def test_no_public_address_without_keys(host: str) -> None:
    """A gateway without tokens does not listen on a public address, and its hint names the remedy."""
    with pytest.raises(InvalidRequestError) as caught:
        listen(host, 0)
    assert "cryomamba tokens create" in caught.value.hint


async def test_a_public_address_with_keys(secured: SecuredServices) -> None:
    """With a token key it listens there."""
    listen("0.0.0.0", 0, guarded=True).close()


async def test_slow_headers_are_cut_off(secured: SecuredServices, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that never completes its headers is disconnected, also after an answered request."""
    monkeypatch.setattr("cryomamba_gateway.access.connections.REQUEST_S", 0.05)
    host, _, port = secured.services.url.removeprefix("http://").partition(":")
    begun = b"GET /v1/healthz HTTP/1.1\r\nHost: localhost\r\n"
    for sent, answer in ((b"", b""), (begun + b"X-Slow", b""), (begun + b"\r\n" + begun, b"HTTP/1.1 200 OK")):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        async with asyncio.timeout(DEADLINE_S):
            assert (await reader.read()).splitlines()[:1] == [answer][: bool(answer)]
        writer.close()
        await writer.wait_closed()


async def test_a_websocket_ends_with_its_token(secured: SecuredServices, monkeypatch: pytest.MonkeyPatch) -> None:
    """A WebSocket is closed when its token is revoked."""
    monkeypatch.setattr("cryomamba_gateway.access.auth.RECHECK_S", 0.02)
    token, info = secured.tokens.create("eve", [Scope.READ], days=1)
    async with secured.services.socket("/v1/ws", additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        await socket.send({"type": "ping"})
        await socket.read_type("pong")
        secured.tokens.revoke(info.id)
        assert await socket.closed() == 1008


async def test_a_silent_websocket_is_closed(secured: SecuredServices, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that connects and sends no token is disconnected."""
    monkeypatch.setattr("cryomamba_gateway.routers.websocket.AUTH_S", 0.02)
    async with secured.services.socket("/v1/ws") as socket:
        assert await socket.closed() == 1008


async def test_the_gateway_serves_tls_itself(secured: SecuredServices, pem_files: tuple[Path, Path]) -> None:
    """With a certificate it speaks TLS, on WebSockets too; a mismatched key is an error at the start."""
    cert, key = pem_files
    trust = ssl.create_default_context(cafile=str(cert))
    bearer = {"Authorization": f"Bearer {secured.token('ada')}"}
    settings = secured.services.settings.model_copy(update={"gateway_certfile": cert, "gateway_keyfile": key})
    async with secured.services.running(settings) as url:
        assert url.startswith("https://")
        async with httpx.AsyncClient(
            base_url=url, headers=bearer, verify=trust, trust_env=False, timeout=DEADLINE_S
        ) as ada:
            assert (await ada.get("/v1/jobs")).status_code == 200
            assert "Secure" in (await ada.post("/v1/session")).headers["Set-Cookie"]
            clear = {"Origin": url.replace("https", "http")}
            refused(await ada.post("/v1/jobs", json=DEMO, headers=clear), 403, "forbidden")
            assert (await ada.post("/v1/jobs", json=DEMO, headers={"Origin": url})).status_code == 201
        address = url.replace("https", "wss", 1) + "/v1/ws"
        async with connect(address, ssl=trust, additional_headers={**bearer, **clear}, proxy=None) as socket:
            await socket.wait_closed()
            assert socket.close_code == 1008
        async with connect(address, ssl=trust, additional_headers=bearer, proxy=None) as socket:
            await socket.send('{"type": "ping"}')
            assert json.loads(await socket.recv())["type"] == "pong"
    with pytest.raises(InvalidRequestError):
        certificate(settings.model_copy(update={"gateway_keyfile": cert}))
