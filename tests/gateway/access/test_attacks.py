"""More attacks on a gateway with tokens: path traversal, excessive sizes, swapped files, pickles."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from cryomamba.testing import DEADLINE_S
from cryomamba_gateway.limits import HEADERS_MAX_BYTES
from cryomamba_gateway.live import messages
from cryomamba_gateway.live.websocket_session import MESSAGE_MAX_BYTES
from cryomamba_gateway.routers.artifacts import LocalFile, open_regular

if TYPE_CHECKING:
    from tests.gateway.access.conftest import SecuredServices

pytestmark = pytest.mark.asyncio(loop_scope="session")

UPWARDS = [
    "..",
    "../../keys/tokens.key",
    "..%2f..%2fkeys%2ftokens.key",
    "%2e%2e/%2e%2e/etc/passwd",
    "..%252f..%252fetc%252fpasswd",
    "..%5c..%5cjobs.sqlite",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "a%00.mrc",
    "%ff%fe",
    "x" * 5000,
    "~root",
    "file:%2f%2f%2fetc%2fpasswd",
]


def listing(folder: Path) -> set[str]:
    """Return the files in a folder, except those that services write all the time."""
    return {str(path) for path in folder.rglob("*") if not path.name.startswith("jobs.sqlite")}


@pytest.mark.parametrize("upwards", UPWARDS)
async def test_no_path_parameter_leads_to_a_file(secured: SecuredServices, upwards: str) -> None:
    """In every parameter of every path, a path traversal is an unknown id, and the response names no folder."""
    paths = (await secured.admin.get("/openapi.json")).json()["paths"]
    before = listing(secured.services.settings.home)
    for path, operations in paths.items():
        for place in re.findall(r"{\w+}", path):
            address = re.sub(r"{\w+}", "0", path.replace(place, upwards))
            for method in operations:
                url = httpx.URL(f"{secured.services.url}{address}")
                async with secured.admin.stream(method, url) as reply:
                    # Where ".." is taken away by the client itself, another route may answer, also without an end.
                    if ".." in upwards.split("/"):
                        continue
                    await reply.aread()
                assert 400 <= reply.status_code < 500, (method, address, reply.text)
                assert str(secured.services.settings.home) not in reply.text
                assert b"root:" not in reply.content
    assert listing(secured.services.settings.home) == before


async def raw(secured: SecuredServices, request: bytes) -> bytes:
    host, _, port = secured.services.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.read(65536)
    writer.close()
    return answer


async def test_a_raw_path_traversal_leads_nowhere(secured: SecuredServices) -> None:
    """Dots that no client library removes find nothing either."""
    head = f" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secured.token('root')}\r\nConnection: close\r\n\r\n"
    for target in ("/v1/files/../../etc/passwd", "/v1/jobs/../../../etc/passwd", "//etc/passwd", "/v1/uploads/.."):
        answer = await raw(secured, f"GET {target}{head}".encode())
        assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400"))
        assert b"root:" not in answer


@pytest.mark.parametrize("field", ["path", "file_id", "job_id"])
async def test_no_field_of_a_volume_leads_to_a_file(secured: SecuredServices, field: str) -> None:
    """Neither outside the allowed input directories, nor in the server's own folders, which are below one here."""
    settings = secured.services.settings
    own = settings.uploads / "files" / "secret.mrc"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_bytes(b"x" * 2048)
    for name in ["../../etc/passwd", "/etc/passwd", "a\0b", "..", "/proc/self/environ", str(own)]:
        reply = await secured.ada.post("/v1/jobs", json={"volume": {field: name}, "engine": "demo"})
        assert reply.status_code in {400, 403, 404}, reply.text
        assert "root:" not in reply.text
    if field == "path":
        refused = await secured.ada.post("/v1/jobs", json={"volume": {"path": str(own)}, "engine": "demo"})
        assert refused.json()["code"] == "path_forbidden"
    own.unlink()


@pytest.mark.parametrize("name", ["../../x.mrc", "/etc/cron.d/x", "..\\..\\x", "a\nb", "\0"])
async def test_a_file_name_is_a_label(secured: SecuredServices, name: str) -> None:
    """A client's file name is never a path on the server."""
    outside = listing(secured.services.settings.home.parent)
    body = {"filename": name, "total_size_bytes": 2048}
    begun = (await secured.ada.post("/v1/uploads/init", json=body)).json()
    assert not set(begun["filename"]) & {"/", "\\", "\n", "\0"}
    assert (await secured.ada.delete(f"/v1/uploads/{begun['upload_id']}")).status_code == 204
    home = str(secured.services.settings.home)
    assert all(path.startswith(home) for path in listing(secured.services.settings.home.parent) - outside)


async def test_headers_that_are_too_large(secured: SecuredServices) -> None:
    """Too large a header, request line or token is refused without being buffered."""
    line = b"GET /v1/healthz HTTP/1.1\r\nHost: localhost\r\n"
    end = b"\r\n\r\n"
    for nbytes in (200_000, HEADERS_MAX_BYTES + 1):
        filling = b"a" * nbytes
        assert (await raw(secured, line + b"X: " + filling + end)).startswith(b"HTTP/1.1 400")
        for start in (b"GET /" + filling, b"GET /?" + filling, filling + b" /"):
            assert (await raw(secured, start + b" HTTP/1.1\r\nHost: localhost" + end)).startswith(b"HTTP/1.1 400")
    many = b"".join(b"X-%d: a\r\n" % number for number in range(5000))
    assert (await raw(secured, line + many + b"\r\n")).startswith(b"HTTP/1.1 400")
    async with secured.client("e" * 20_000) as eve:
        assert (await eve.get("/v1/jobs")).status_code == 401
    assert (await secured.ada.get("/v1/healthz")).status_code == 200


@pytest.mark.parametrize(
    "lengths", ["Content-Length: 4\r\nTransfer-Encoding: chunked", "Content-Length: 2\r\ncontent-length: 3"]
)
async def test_a_request_with_two_lengths_is_refused(secured: SecuredServices, lengths: str) -> None:
    """A proxy may have believed the other length: nothing after it is taken for a request, and the connection ends."""
    head = f"Host: localhost\r\nAuthorization: Bearer {secured.token('ada')}\r\n"
    hidden = f"GET /v1/healthz HTTP/1.1\r\n{head}\r\n"
    head += f"Content-Type: application/json\r\n{lengths}\r\n"
    request = f"POST /v1/jobs HTTP/1.1\r\n{head}\r\n0\r\n\r\n{hidden}"
    host, _, port = secured.services.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.encode())
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer.lower()


async def test_a_websocket_message_that_is_too_large(secured: SecuredServices) -> None:
    """It closes the connection, before authentication and after."""
    bearer = {"Authorization": f"Bearer {secured.token('dora')}"}
    for headers in ({}, bearer):
        async with secured.services.socket("/v1/ws", additional_headers=headers) as socket:
            with contextlib.suppress(ConnectionClosed):
                await socket.send("x" * (MESSAGE_MAX_BYTES + 1))
            assert await socket.closed() == 1009


def masked(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """Return a frame of a client, with the mask 0."""
    return bytes([0x80 * final | opcode, 0x80 | len(payload)]) + bytes(4) + payload


async def open_websocket(
    secured: SecuredServices, token: str | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = secured.services.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    writer.write(f"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\n{bearer}{upgrade}{key}\r\n".encode())
    async with asyncio.timeout(DEADLINE_S):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    return reader, writer


@pytest.mark.parametrize("with_token", [False, True])
@pytest.mark.parametrize(
    "flood",
    [
        masked(9, b"x" * 125) * 5000,
        masked(10, b"") * 5000,
        masked(1, b"", final=False) + masked(0, b"", final=False) * 5000,
    ],
    ids=["pings", "pongs", "fragments"],
)
async def test_a_flood_of_control_frames_ends_its_connection(
    secured: SecuredServices, flood: bytes, *, with_token: bool
) -> None:
    """With a token and without: of thousands of pings, few are answered."""
    reader, writer = await open_websocket(secured, secured.token("frieda") if with_token else None)
    writer.write(flood)
    got = b""
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(OSError):
            while part := await reader.read(65536):
                got += part
    writer.close()
    # A pong has 127 bytes.
    assert len(got) < 1000 * 127
    assert (await secured.ada.get("/v1/jobs")).status_code == 200


async def test_messages_of_a_websocket_leave_others_their_turns(
    secured: SecuredServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many messages have arrived at once, between two turns of another task few of them are handled."""
    handled = 0
    parse = messages.parse_inbound

    def counted(text: str) -> messages.Inbound:
        nonlocal handled
        handled += 1
        return parse(text)

    monkeypatch.setattr(messages, "parse_inbound", counted)
    reader, writer = await open_websocket(secured, secured.token("georg"))
    writer.write(masked(1, b'{"type":"ping"}') * 5000)
    most = before = 0
    async with asyncio.timeout(DEADLINE_S):
        while handled < 5000:
            most, before = max(most, handled - before), handled
            await asyncio.sleep(0)
    assert most <= 10
    writer.close()
    assert b"pong" in await reader.read(65536)


async def test_a_file_swapped_after_the_check_is_not_sent(tmp_path: Path) -> None:
    """The checked file is the one that is sent, whatever takes its place before the response starts."""
    secret, folder = tmp_path / "secret", tmp_path / "artifacts"
    (folder / "job").mkdir(parents=True)
    secret.write_bytes(b"SECRET")
    path = folder / "job" / "mask.mrc"
    path.write_bytes(b"public")
    opened = open_regular(path, (folder,), size=6)
    assert opened is not None
    path.unlink()
    path.symlink_to(secret)
    transport = httpx.ASGITransport(LocalFile(opened, path))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        assert (await client.get("/")).content == b"public"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened)
    assert open_regular(path, (folder,), size=6) is None
    path.unlink()
    path.parent.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mask.mrc").write_bytes(b"SECRET")
    path.parent.symlink_to(elsewhere)
    assert open_regular(path, (folder,), size=6) is None


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


async def test_a_pickle_is_only_bytes(secured: SecuredServices, tmp_path: Path) -> None:
    """As a body, parameter, upload or WebSocket message it is refused, and never loaded."""
    mark = tmp_path / "loaded"
    bomb = pickle.dumps(Bomb(mark))
    content = {"Content-Type": "application/python-pickle"}
    assert (await secured.ada.post("/v1/jobs", content=bomb, headers=content)).status_code == 415
    text = bomb.decode("latin-1")
    assert (await secured.ada.post("/v1/jobs", json={"params": {"seconds": text}})).status_code == 422
    assert (await secured.ada.put("/v1/files", content=bomb)).status_code == 422
    bearer = {"Authorization": f"Bearer {secured.token('ada')}"}
    async with secured.services.socket("/v1/ws", additional_headers=bearer) as socket:
        await socket.send(bomb)
        assert (await socket.read_type("error"))["data"]["code"] == "bad_request"
    assert not mark.exists()
    pickle.loads(bomb)
    assert mark.exists()
