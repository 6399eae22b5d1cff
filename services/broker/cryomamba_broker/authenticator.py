"""Who may use the bus: CURVE keys, checked at the handshake and again with each message."""

from __future__ import annotations

import logging
from typing import Any, Final

import zmq
import zmq.asyncio
from zmq.auth.asyncio import AsyncioAuthenticator

from cryomamba.access.keys import HOME_NAMES, KeyFile
from cryomamba.access.roles import Role, may_ask, may_connect
from cryomamba.access.visibility import Visibility
from cryomamba.errors import AccessError, ErrorCode
from cryomamba.settings import Settings
from cryomamba.wire.envelope import Envelope
from cryomamba_server.bus_keys import AllowedKey, BusKeys

USER: Final = "User-Id"
# The library logs every handshake.
_QUIET: Final = logging.getLogger("cryomamba_broker.zap")
_QUIET.setLevel(logging.ERROR)

logger = logging.getLogger(__name__)


class BusAuthenticator:
    """Checks the keys of connections and authorizes requests; without keys the bus is open."""

    def __init__(self, keys: BusKeys | None) -> None:
        self._keys = keys
        self._server: KeyFile | None = None if keys is None else keys.server()
        self._zap: AsyncioAuthenticator | None = None
        self._admitted: set[str] = set()
        self._banned: set[str] = set()

    @classmethod
    def of(cls, settings: Settings) -> BusAuthenticator:
        """Return the authenticator that the settings ask for.

        Raises
        ------
        InvalidRequestError
            The server's key file is damaged, or readable by other users.
        """
        keys = BusKeys(settings.keys)
        return cls(keys if keys.enabled else None)

    @property
    def locked(self) -> bool:
        """Whether connections need a key."""
        return self._keys is not None

    @property
    def public_key(self) -> str | None:
        """The broker's public key, None for an open bus."""
        return None if self._server is None else self._server.public_key

    def start(self, context: zmq.asyncio.Context) -> None:
        """Start to authenticate connections; to be called before the first socket is bound."""
        if self._keys is None:
            return
        self._zap = AsyncioAuthenticator(context, log=_QUIET)
        self._zap.start()

    def stop(self) -> None:
        """Stop to authenticate connections."""
        if self._zap is not None:
            self._zap.stop()
            self._zap = None

    def secure(self, socket: zmq.Socket[Any], domain: str) -> None:
        """Encrypt a socket with CURVE, before it is bound; `domain` distinguishes the sockets."""
        if self._server is None or self._zap is None:
            return
        socket.curve_server = True
        socket.curve_secretkey = self._server.secret_key.encode()
        socket.setsockopt_string(zmq.ZAP_DOMAIN, domain)
        self._zap.configure_curve_callback(domain, self)

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether a public key (Z85) may connect to the socket of a domain; called by pyzmq."""
        entry = self._find(key.decode("ascii", "replace"))
        refusal = self._refusal(entry, domain)
        if entry is None or refusal:
            logger.warning("A connection to %s was refused: %s.", domain, refusal)
            return False
        self._admitted.add(entry.public_key)
        return True

    def _refusal(self, entry: AllowedKey | None, domain: str) -> str:
        if entry is None:
            return "unknown key"
        if entry.public_key in self._banned:
            return f"the key '{entry.name}' sent a message that is not a subscription"
        return "" if may_connect(entry.role, domain) else f"the key '{entry.name}' is a {entry.role}'s"

    def ban(self, frame: zmq.Frame) -> None:
        """Refuse new connections of the key that a message came with, until the broker is restarted."""
        entry = self._sender(frame)
        if entry is not None:
            self._banned.add(entry.public_key)
            logger.warning("The key '%s' is banned: it sent a message that is not a subscription.", entry.name)

    def allows(self, frame: zmq.Frame) -> bool:
        """Whether the key that a message came with is still valid."""
        return self._keys is None or self._sender(frame) is not None

    def actor(self, frame: zmq.Frame, claimed: str | None) -> str | None:
        """Return who makes a request, for the audit log; what it claims is believed of an administrator's key alone."""
        if self._keys is None:
            return claimed
        entry = self._sender(frame)
        if entry is None:
            return None
        return claimed if claimed is not None and entry.role is Role.ADMIN else entry.name

    def key_of(self, frame: zmq.Frame) -> str:
        """Return the public key that a message came with; empty on an open bus, or if it was just revoked."""
        entry = self._sender(frame)
        return "" if entry is None else entry.public_key

    def visibility(self, frame: zmq.Frame) -> Visibility | None:
        """Return what the key that a message came with may see, None for a key that was just revoked."""
        if self._keys is None:
            return Visibility.everything()
        entry = self._sender(frame)
        return None if entry is None else entry.visibility

    def authorize(self, frame: zmq.Frame, request: Envelope) -> Visibility:
        """Decide what a request may see and change: the only place where this is decided.

        Parameters
        ----------
        frame : zmq.Frame
            As received; it carries the key of the connection.
        request : Envelope
            Names the owner on whose behalf the request is made. Administrators may name anyone, or ``*`` for
            everything; with any other key, ``*`` stands for the key's own owner.

        Raises
        ------
        AccessError
            ``unauthorized``: the key has been revoked; ``forbidden``: its role does not allow this type of request,
            or it belongs to another owner.
        InvalidRequestError
            The request names no owner.
        """
        if self._keys is None:
            return Visibility.from_wire(request.owner)
        entry = self._sender(frame)
        if entry is None:
            raise AccessError(
                "The key of this connection has been revoked.",
                code=ErrorCode.UNAUTHORIZED,
                hint="Ask the server's administrator for a new key; 'cryomamba keys add NAME' creates one.",
            )
        if not may_ask(entry.role, request.type):
            raise AccessError(
                f"The key '{entry.name}' is a {entry.role}'s and may not send '{request.type[:64]}'.",
                hint="Ask the server's administrator for a key with another role.",
            )
        asked = Visibility.from_wire(request.owner)
        if entry.visibility.is_everything or asked == entry.visibility:
            return asked
        if asked.is_everything:
            return entry.visibility
        raise AccessError(
            f"The key '{entry.name}' may not act on behalf of '{asked.owner}'.",
            hint="Only the key of an administrator may act for other owners.",
        )

    def has_key(self, owner: str) -> bool:
        """Whether an owner has a key that is still valid; on an open bus nobody needs one."""
        return self._keys is None or any(entry.visibility.owner == owner for entry in self._keys.list())

    def revoke(self, public_key: str) -> str:
        """Revoke a key and return its name; empty for one that came with the data directory, or that is unknown."""
        entry = self._find(public_key)
        if self._keys is None or entry is None or entry.name in HOME_NAMES.values():
            return ""
        self._keys.revoke(entry.name)
        return entry.name

    def pop_revoked(self) -> set[str]:
        """Return the public keys that were admitted and have been revoked since; each is returned once."""
        revoked = {key for key in self._admitted if self._find(key) is None}
        self._admitted -= revoked
        return revoked

    def _sender(self, frame: zmq.Frame) -> AllowedKey | None:
        try:
            return self._find(str(frame.get(USER)))
        except zmq.ZMQError:
            return None

    def _find(self, public_key: str) -> AllowedKey | None:
        return None if self._keys is None else self._keys.find(public_key)
