"""One try to deliver a message: resolve the host once, check what was found, and send to that address."""

from __future__ import annotations

import asyncio
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final, Literal
from urllib.parse import urlsplit

import httpcore

from cryomamba._version import __version__
from cryomamba.errors import InvalidRequestError
from cryomamba.models.webhooks import SignedDelivery
from cryomamba_gateway.webhooks.transport import webhook_connection
from cryomamba_server.webhook_addresses import Address, WebhookAddress, WebhookPolicy, parse_webhook_url

TRY_S: Final = 10.0
_GONE: Final = 410
# A name can take longer than a try, whose thread is then still at work when the next one comes.
_RESOLVERS: Final = 16


@dataclass(frozen=True, slots=True)
class TryResult:
    """What became of a try; see :class:`~cryomamba.wire.webhook_requests.DeliveryResult`."""

    outcome: Literal["delivered", "failed", "gone"]
    status: int | None = None
    error: str = ""
    retry_after_s: float = 0.0


class WebhookSender:
    """Sends messages; reading the system's certificates blocks for some milliseconds.

    Each try has a connection of its own: one that was made for another host at the same address must not be used again.
    Proxies of the environment are not used, redirects are not followed, and the body of the answer is not read.

    Parameters
    ----------
    policy : WebhookPolicy
    timeout_s : float
        For the whole try, in seconds.
    """

    def __init__(self, policy: WebhookPolicy, *, timeout_s: float = TRY_S) -> None:
        self._policy, self._timeout_s = policy, timeout_s
        self._tls = ssl.create_default_context()
        # Whoever registers a webhook may own its name server, which need not answer: nothing else may wait for it.
        self._resolvers = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="webhooks")

    def close(self) -> None:
        """Release the threads; those that wait for a name server end by themselves."""
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    async def send(self, delivery: SignedDelivery) -> TryResult:
        """Make one try."""
        try:
            async with asyncio.timeout(self._timeout_s):
                address = parse_webhook_url(delivery.url)
                found = await self._resolve(address)
                self._policy.check_resolved(address, found)
                return await self._send_to_first(found, address, delivery)
        except TimeoutError:
            return TryResult("failed", error=f"There was no answer within {self._timeout_s:g} s.")
        except InvalidRequestError as error:
            return TryResult("failed", error=error.message)
        except socket.gaierror:
            return TryResult("failed", error="The host of the URL is not known.")
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
            return TryResult("failed", error=_problem(error))

    async def _resolve(self, address: WebhookAddress) -> list[Address]:
        resolve = partial(socket.getaddrinfo, address.host, address.port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._resolvers, resolve)
        return list(dict.fromkeys(ip_address(one[4][0]) for one in found))

    async def _send_to_first(
        self, found: list[Address], address: WebhookAddress, delivery: SignedDelivery
    ) -> TryResult:
        """Send to the first address that takes a connection."""
        *others, last = found
        for one in others:
            try:
                return await self._send_to(one, address, delivery)
            except httpcore.ConnectError:
                continue
        return await self._send_to(last, address, delivery)

    async def _send_to(self, to: Address, address: WebhookAddress, delivery: SignedDelivery) -> TryResult:
        parts = urlsplit(delivery.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        url = httpcore.URL(scheme=address.scheme, host=str(to), port=address.port, target=target)
        headers = {
            "Host": address.netloc,
            "User-Agent": f"cryomamba/{__version__}",
            "Content-Type": "application/json",
            **delivery.headers,
        }
        # The certificate is checked for this name, not for the address.
        names = {"sni_hostname": address.host}
        content = delivery.body.encode()
        async with (
            webhook_connection(url.origin, self._tls) as connection,
            connection.stream("POST", url, headers=[*headers.items()], content=content, extensions=names) as response,
        ):
            return _result(response)


def _result(response: httpcore.Response) -> TryResult:
    status = response.status
    if 200 <= status < 300:
        return TryResult("delivered", status)
    known = HTTPStatus(status).phrase if status in {one.value for one in HTTPStatus} else ""
    error = f"The receiver answered {status} {known}".rstrip() + "."
    if status == _GONE:
        return TryResult("gone", status, error)
    retry_after = next(
        (value.decode("latin-1") for name, value in response.headers if name.lower() == b"retry-after"), ""
    )
    return TryResult("failed", status, error, retry_after_s(retry_after))


def retry_after_s(text: str) -> float:
    """Return the seconds in a header ``Retry-After``, which has a number or a date; 0 for anything else."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def _problem(error: Exception) -> str:
    """Return why no answer came, without what the error says of addresses and paths."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The receiver's certificate is not valid: {cause.verify_message}."
        if isinstance(cause, ssl.SSLError):
            return "The receiver does not speak TLS."
        if isinstance(cause, PermissionError):
            return "The server may not connect to this address: its system's firewall or sandbox forbids it."
        if isinstance(cause, ConnectionRefusedError):
            return "The receiver refuses connections."
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpcore.ConnectError):
        return "The receiver cannot be reached."
    if isinstance(error, httpcore.ProtocolError | httpcore.ReadError | httpcore.WriteError):
        return "The receiver closed the connection without a valid answer."
    return "The message could not be sent."
