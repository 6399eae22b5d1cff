"""Addresses: the endpoints of the bus, the connection file, loopback, and the checks of URLs."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from cryomamba.atomic import remove_parts, write_atomically
from cryomamba.errors import InvalidRequestError, UnavailableError
from cryomamba.settings import Settings, ipc_problem
from cryomamba.system_errors import system_error
from cryomamba.wire.constants import PROTOCOL_VERSION


class BusEndpoints(BaseModel):
    """The four sockets of a broker, as ZeroMQ endpoints."""

    model_config = ConfigDict(frozen=True)

    jobs: str
    preview_in: str
    preview_out: str
    events: str

    @classmethod
    def from_settings(cls, settings: Settings) -> BusEndpoints:
        """Return the endpoints of the settings."""
        return cls(**{name: getattr(settings, f"bus_{name}") for name in cls.model_fields})


def announce(path: Path, text: str) -> None:
    """Write a file that tells local programs how to reach a service, readable by its owner alone (mode 0600).

    Raises
    ------
    UnavailableError
        ``insufficient_storage``: the disk is full.
    OSError
        It could not be written for another reason.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_parts(path)
    write_atomically(path, text, durable=False, private=True)


class ConnectionFile(BaseModel):
    """The content of ``bus.json``: how to reach the broker that wrote it."""

    model_config = ConfigDict(frozen=True)

    protocol: int = PROTOCOL_VERSION
    epoch: int
    pid: int
    endpoints: BusEndpoints
    public_key: str | None = None

    def write(self, path: Path) -> None:
        """Write the file, as :func:`announce` does."""
        announce(path, self.model_dump_json(indent=2))

    @classmethod
    def read(cls, path: Path) -> ConnectionFile:
        """Read a connection file.

        Raises
        ------
        UnavailableError
            There is no such file, or it is damaged.
        """
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UnavailableError(
                "There is no connection file of a broker in the data directory.",
                hint="Start the services with 'cryomamba run', or set CRYOMAMBA_HOME to their data directory.",
            ) from None
        except (ValueError, ValidationError, OSError) as error:
            raise system_error(error) or UnavailableError(
                "The broker's connection file cannot be read.", hint="Restart the broker; it writes the file again."
            ) from None


def announced_gateway(path: Path) -> str | None:
    """Return the URL that a gateway wrote into its file when it started; None without such a file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    url = content.get("url") if isinstance(content, dict) else None
    return url if isinstance(url, str) else None


def is_loopback_host(host: str) -> bool:
    """Whether a host is a loopback address, or ``localhost``; other names are not resolved."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_local_endpoint(endpoint: str) -> bool:
    """Whether a ZeroMQ endpoint stays on this machine (``ipc://``, ``inproc://`` or loopback TCP)."""
    scheme, separator, rest = endpoint.partition("://")
    if not separator:
        return False
    if scheme in {"ipc", "inproc"}:
        return True
    return scheme == "tcp" and is_loopback_host(rest.rpartition(":")[0])


def require_loopback(where: str, *, variable: str, keys: str = "cryomamba keys init") -> None:
    """Refuse an address that other machines could reach; for services without keys.

    Parameters
    ----------
    where : str
        A host, or a ZeroMQ endpoint.
    variable : str
        The setting it came from, named in the message.
    keys : str
        The command that creates the keys with which the address is allowed.

    Raises
    ------
    InvalidRequestError
        The address is not on loopback.
    """
    local = is_local_endpoint(where) if "://" in where else is_loopback_host(where)
    if not local:
        raise InvalidRequestError(
            f"{variable} is '{where}', which other machines could reach.",
            hint=f"Create keys with '{keys}' first; or use 127.0.0.1, localhost, [::1] or an ipc:// endpoint, and an "
            "SSH tunnel to reach it from elsewhere.",
        )


def check_bus_url(url: str) -> str:
    """Return a ``tcp://host:port`` or ``ipc://path`` endpoint as it is.

    Raises
    ------
    InvalidRequestError
        The text is not such an endpoint.
    """
    try:
        parts = urlsplit(url)
        usable = bool(parts.path) if parts.scheme == "ipc" else bool(parts.hostname and parts.port)
    except ValueError:
        usable = False
    if not usable or parts.scheme not in {"tcp", "ipc"}:
        raise InvalidRequestError(
            f"'{url}' is not an address of a bus.",
            hint="Write tcp://HOST:PORT (the broker's jobs socket, 5560 by default) or ipc://PATH.",
        )
    problem = ipc_problem(url)
    if problem:
        raise InvalidRequestError(f"'{url}' cannot be used: {problem}.", hint="Choose a shorter path.")
    return url


def check_http_url(url: str) -> str:
    """Return the address of a gateway without a slash at its end.

    Raises
    ------
    InvalidRequestError
        The text is not such an address.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InvalidRequestError(
            f"'{url}' is not an address of a gateway.",
            hint="Write http://HOST:PORT, for example http://127.0.0.1:8000.",
        )
    return url.rstrip("/")
