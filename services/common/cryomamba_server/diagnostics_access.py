"""The checks of ``doctor`` about access: keys, token, models and their licences, clock, and proxies."""

from __future__ import annotations

import base64
import binascii
import json
import stat
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from cryomamba.errors import CryoMambaError
from cryomamba_server.check_result import CheckResult

if TYPE_CHECKING:
    from cryomamba.settings import Settings

_CLOCK_WARN_S: Final = 30.0
_REPLY_S: Final = 5.0
_SOON_S: Final = 7 * 86400.0
_SWITCHING: Final = 101
_NGINX: Final = (
    "The proxy in front of the gateway must pass Upgrade and Connection on; in nginx: proxy_http_version 1.1; "
    'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; see deploy/nginx.conf'
)


def keys(settings: Settings) -> Iterator[CheckResult]:
    """Check that secrets are readable by their owner only, and that the key of this process can be used."""
    from cryomamba.access.keys import key_for
    from cryomamba.access.roles import Role

    if sys.platform != "win32":
        for path in sorted(settings.keys.rglob("*")) if settings.keys.is_dir() else []:
            # Public halves and lists of what is authorized are no secrets, but nobody needs to read them either.
            if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077:
                yield CheckResult("fail", "keys", f"{path} can be read by others", f"chmod 600 '{path}'")
    try:
        key = key_for(settings, Role.ADMIN)
    except CryoMambaError as error:
        yield CheckResult("fail", "keys", error.message, error.hint)
        return
    text = "the bus needs no key here" if key is None else f"this process has a key for the bus, as {key.role}"
    yield CheckResult("ok", "keys", text)
    yield from _token(settings)


def _token(settings: Settings) -> Iterator[CheckResult]:
    if settings.token is None:
        return
    expires = _expiry(settings.token.get_secret_value())
    renew = "Ask for a new token, or create one on the server: cryomamba tokens create"
    if expires is None:
        yield CheckResult("warn", "token", "CRYOMAMBA_TOKEN is no token of CryoMamba", renew)
        return
    day = datetime.fromtimestamp(expires, UTC).date()
    if expires < time.time():
        yield CheckResult("fail", "token", f"CRYOMAMBA_TOKEN expired on {day}", renew)
    elif expires < time.time() + _SOON_S:
        yield CheckResult("warn", "token", f"CRYOMAMBA_TOKEN expires on {day}", renew)
    else:
        yield CheckResult("ok", "token", f"CRYOMAMBA_TOKEN is valid until {day}")


def _expiry(token: str) -> float | None:
    """Return when a token expires, without a check of its signature; None if that cannot be read."""
    try:
        payload = token.split(".")[1]
        fields: Any = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(fields["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None


def models(settings: Settings) -> Iterator[CheckResult]:
    """Check the trained models of this data directory; reads the weights of those that are new."""
    from cryomamba_server.model_store.catalog import ModelCatalog

    catalog = ModelCatalog(settings)
    try:
        offered, problems = catalog.models(), catalog.problems()
    except (CryoMambaError, OSError) as error:
        yield CheckResult("fail", "models", str(error), "cryomamba models list")
        return
    for model in offered:
        if model.licence and not model.licence_accepted:
            hint = f"cryomamba models accept {model.name}"
            yield CheckResult("warn", "model", f"{model.name}: its licence ({model.licence}) is not accepted", hint)
        else:
            yield CheckResult("ok", "model", f"{model.name} ({model.kind})")
    for name, problem in problems.items():
        yield CheckResult("fail", "model", f"{name}: {problem}", f"cryomamba models check {name}")


def through_proxy(url: str, settings: Settings) -> Iterator[CheckResult]:
    """Check of a gateway that answers: that WebSockets reach it, and that its clock and this one agree."""
    import httpx

    token = settings.token
    headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(b"cryomamba doctor").decode(),
    }
    try:
        with httpx.stream("GET", f"{url.rstrip('/')}/v1/ws", headers=headers | upgrade, timeout=_REPLY_S) as reply:
            status, date = reply.status_code, reply.headers.get("date")
    except httpx.HTTPError as error:
        yield CheckResult("fail", "websocket", f"{url}: {type(error).__name__} during the handshake", _NGINX)
        return
    if status in {401, 403}:
        hint = "Set CRYOMAMBA_TOKEN to a valid token."
        yield CheckResult("fail", "websocket", f"{url} refuses the WebSocket (HTTP {status})", hint)
    elif status == _SWITCHING:
        yield CheckResult("ok", "websocket", f"WebSockets reach {url}")
    else:
        text = f"WebSockets do not reach {url}: instead of switching the protocol it answers HTTP {status}"
        yield CheckResult("fail", "websocket", text, _NGINX)
    yield from _clock(date)


def _clock(date: str | None) -> Iterator[CheckResult]:
    if date is None:
        return
    off_s = time.time() - parsedate_to_datetime(date).timestamp()
    if abs(off_s) <= _CLOCK_WARN_S:
        yield CheckResult("ok", "clock", "it agrees with the server's")
        return
    way = "ahead of" if off_s > 0 else "behind"
    hint = "Tokens expire by the clock. Synchronize both machines: sudo timedatectl set-ntp true"
    yield CheckResult("warn", "clock", f"this machine's is {abs(off_s):.0f} s {way} the server's", hint)
