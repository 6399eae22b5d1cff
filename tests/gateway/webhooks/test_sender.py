"""One try to deliver a message: which address it goes to, and how its failures are told."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.webhooks.receiver import Receiver

from cryomamba.models.webhooks import SignedDelivery
from cryomamba.testing import DEADLINE_S
from cryomamba_gateway.webhooks.sender import TryResult, WebhookSender
from cryomamba_server.webhook_addresses import WebhookPolicy

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOCAL = WebhookPolicy((ip_network("127.0.0.0/8"), ip_network("::1/128")))


def delivery(url: str) -> SignedDelivery:
    return SignedDelivery(
        delivery_id="m-1",
        claim=1,
        webhook_id="w-1",
        owner="",
        everything=True,
        registered_by="key",
        url=url,
        headers={"webhook-id": "m-1"},
        body='{"type": "webhook.test"}',
    )


async def send(url: str, policy: WebhookPolicy = LOCAL, *, timeout_s: float = 60.0) -> TryResult:
    return await WebhookSender(policy, timeout_s=timeout_s).send(delivery(url))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1"])
async def test_a_name_of_this_machine_is_refused(host: str) -> None:
    """However it is written: what it resolves to decides, and no connection is made."""
    async with Receiver().listening() as receiver:
        result = await send(receiver.url(host=host, scheme="https"), WebhookPolicy())
    assert (result.outcome, result.status) == ("failed", None)
    assert result.error == "The host of the URL has an address that is not public."
    assert receiver.received == []


async def test_a_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message goes to the address that was checked, though the name means another one a moment later."""
    resolve = socket.getaddrinfo
    asked: list[Any] = []

    def rebinding(host: Any, *args: Any, **more: Any) -> Any:
        if host != "rebinding.test":
            return resolve(host, *args, **more)
        asked.append(host)
        return resolve("127.0.0.1" if len(asked) == 1 else "127.0.0.2", *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    async with Receiver().listening() as receiver:
        result = await send(receiver.url("/a/b?c=%20d", host="rebinding.test"))
    assert result == TryResult("delivered", 204)
    (received,) = receiver.received
    assert received.headers["host"] == f"rebinding.test:{receiver.port}"
    assert received.target == "/a/b?c=%20d"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"].startswith("cryomamba/")
    assert asked == ["rebinding.test"]


async def test_a_name_server_that_does_not_answer_holds_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads that all parts of the gateway share are free, however many names are being resolved."""
    resolve, released = socket.getaddrinfo, threading.Event()

    def silent(host: Any, *args: Any, **more: Any) -> Any:
        if host == "silent.test":
            released.wait(DEADLINE_S)
        return resolve("127.0.0.1", *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    sender = WebhookSender(LOCAL, timeout_s=60.0)
    tries = [asyncio.create_task(sender.send(delivery("http://silent.test:1/"))) for _ in range(40)]
    try:
        # Each try begins before a thread is asked for.
        await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE_S / 2):
            assert await asyncio.to_thread(released.is_set) is False
        assert not any(one.done() for one in tries)
    finally:
        released.set()
        await asyncio.gather(*tries)
        sender.close()


async def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with two addresses of which one takes no connections is reached at the other."""
    resolve = socket.getaddrinfo

    def both(host: Any, *args: Any, **more: Any) -> Any:
        addresses = ("127.0.0.2", "127.0.0.1") if host == "two.test" else (host,)
        return [found for one in addresses for found in resolve(one, *args, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    async with Receiver().listening() as receiver:
        assert (await send(receiver.url(host="two.test"))).outcome == "delivered"
    assert len(receiver.received) == 1
    assert (await send(receiver.url(host="two.test"))).error == "The receiver refuses connections."


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would resolve the name again, and may reach what the server may not."""
    async with Receiver().listening() as proxy, Receiver().listening() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert (await send(receiver.url())).outcome == "delivered"
    assert proxy.received == []


async def test_a_receiver_that_does_not_answer_is_left_in_time() -> None:
    """Nor does one that takes the connection and never ends its answer hold it."""
    async with Receiver("hang").listening() as receiver:
        assert (await send(receiver.url(), timeout_s=0.3)).error == "There was no answer within 0.3 s."

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await send(f"http://127.0.0.1:{port}/") == TryResult("delivered", 200)


async def test_an_endless_head_of_an_answer_is_not_read() -> None:
    """Interim responses and header lines without end would keep the gateway busy: it reads a few and hangs up."""
    interim, header = b"HTTP/1.1 100 Continue\r\n\r\n" * 100, b"X-Name: value\r\n" * 100
    for start, rest in ((b"", interim), (b"HTTP/1.1 200 OK\r\n", header)):
        gone = asyncio.Event()

        async def flood(
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            start: bytes = start,
            rest: bytes = rest,
            gone: asyncio.Event = gone,
        ) -> None:
            writer.write(start)
            try:
                while True:
                    writer.write(rest)
                    await writer.drain()
            except OSError:
                gone.set()

        async with await asyncio.start_server(flood, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            result = await send(f"http://127.0.0.1:{port}/")
            async with asyncio.timeout(DEADLINE_S):
                await gone.wait()
        assert result.error == "The receiver closed the connection without a valid answer."


async def test_no_answer_of_http_is_an_error_in_words() -> None:
    """A connection that is refused or closed, garbage, and a name that does not exist."""

    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(garbage, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        expected = "The receiver closed the connection without a valid answer."
        assert (await send(f"http://127.0.0.1:{port}/")).error == expected
        assert (await send(f"https://127.0.0.1:{port}/")).error == "The receiver does not speak TLS."
    assert (await send(f"http://127.0.0.1:{port}/")).error == "The receiver refuses connections."
    assert (await send("https://no-such-host.invalid/")).error == "The host of the URL is not known."


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("999999999999", 999999999.0),
        ("soon", 0.0),
        ("-1", 0.0),
        ("", 0.0),
        ("Fri, 31 Dec 1999", 0.0),
        (f"Fri, 31 Dec {10**20} 23:59:59 GMT", 0.0),
        (f"Fri, 31 Dec 1999 23:59:59 +{10**17}", 0.0),
    ],
)
async def test_the_receiver_says_when_to_come_again(header: str, seconds: float) -> None:
    """In seconds; nonsense is as good as nothing."""
    async with Receiver(f"429 Slow\r\nRetry-After: {header}").listening() as receiver:
        result = await send(receiver.url())
    assert (result.outcome, result.status, result.retry_after_s) == ("failed", 429, seconds)


async def test_the_receiver_names_a_date_to_come_again() -> None:
    """The seconds until then count."""
    at = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    async with Receiver(f"503 Busy\r\nRetry-After: {at}").listening() as receiver:
        assert 0 < (await send(receiver.url())).retry_after_s <= 3600


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for the name localhost alone, which is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    made, key = folder / "localhost.pem", folder / "localhost.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(made)], check=True, capture_output=True)
    return made, key


def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


async def test_tls_is_for_the_name_in_the_url(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to the checked address, and asks for and checks the certificate of the name."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with Receiver().listening(tls=tls(certificate)) as receiver:
        by_name = await send(receiver.url(host="localhost", scheme="https"))
        by_address = await send(receiver.url(scheme="https"))
    assert by_name == TryResult("delivered", 204)
    assert receiver.names[0] == "localhost"
    assert by_address.outcome == "failed"
    assert by_address.error.startswith("The receiver's certificate is not valid: ")
    assert len(receiver.received) == 1


async def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: tuple[Path, Path]) -> None:
    """The message is not sent."""
    async with Receiver().listening(tls=tls(certificate)) as receiver:
        result = await send(receiver.url(host="localhost", scheme="https"))
    assert result.error.startswith("The receiver's certificate is not valid: ")
    assert receiver.received == []
