"""Bearer tokens: JSON Web Tokens (RFC 7519), signed with HMAC-SHA256 by a key that never leaves the data directory.

Every issued token has a small file with its owner and scopes, so that it can be listed and revoked. The token itself is
shown once and stored nowhere. A token without its file is refused.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import jwt
from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from cryomamba.access.private_files import (
    make_private_folder,
    read_or_make_secret,
    read_private,
    write_private,
    write_private_once,
)
from cryomamba.errors import AccessError, ErrorCode, InvalidRequestError, NotFoundError

ALGORITHM: Final = "HS256"
ISSUER: Final = "cryomamba"
TOKEN_MAX_CHARACTERS: Final = 4096
LEEWAY_S: Final = 5
_REQUIRED: Final = ["exp", "iat", "iss", "jti", "sub"]
_ID: Final = re.compile(r"[0-9a-f]{32}")

OwnerName = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_.@-]{1,64}$")]
_OWNER: Final = TypeAdapter(OwnerName)


class Scope(StrEnum):
    """What a token permits: to read and to write what belongs to its owner, or everything of every owner."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


_INCLUDED: Final = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.WRITE: frozenset({Scope.READ, Scope.WRITE}),
    Scope.ADMIN: frozenset(Scope),
}


def with_included(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Return scopes together with those that they include: admin includes write, write includes read."""
    return frozenset().union(*(_INCLUDED[scope] for scope in scopes))


class TokenInfo(BaseModel):
    """The record of a token, without the token itself.

    Attributes
    ----------
    id : str
        Identifies it in lists and for revocation (the claim ``jti``).
    owner : str
        Jobs and files belong to the owner, so all tokens of one owner see the same ones.
    scopes : tuple of Scope
    created_at, expires_at : datetime
    revoked_at : datetime or None
    """

    model_config = ConfigDict(frozen=True)

    id: str
    owner: OwnerName
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None


class TokenStore:
    """The tokens of a data directory. Several processes may use it at the same time.

    Parameters
    ----------
    keys : Path
        Folder ``keys`` of the data directory.
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, keys: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._key_file = keys / "tokens.key"
        self._folder = keys / "tokens"
        self._clock = clock
        self._was_enabled = False

    @property
    def enabled(self) -> bool:
        """Whether requests need a token: a signing key exists, or has existed since this object was made.

        So removing the key under a running gateway does not open it to everybody.
        """
        self._was_enabled = self._was_enabled or self._key_file.exists()
        return self._was_enabled

    def require_private(self) -> None:
        """Check that only its owner can read the signing key, if there is one.

        Raises
        ------
        InvalidRequestError
            Other users can read it.
        """
        with suppress(FileNotFoundError):
            read_private(self._key_file)

    def create(self, owner: str, scopes: Iterable[Scope], *, days: float) -> tuple[str, TokenInfo]:
        """Issue a token; the first one also creates the signing key.

        Parameters
        ----------
        owner : str
            1 to 64 letters, digits and ``_.@-``.
        scopes : iterable of Scope
        days : float
            Lifetime.

        Returns
        -------
        str
            The token, which is stored nowhere.
        TokenInfo

        Raises
        ------
        InvalidRequestError
            The owner's name or the lifetime is not valid.
        """
        _check_owner(owner)
        if not 0 < days <= 3660:
            raise InvalidRequestError("The lifetime of a token must be more than 0 and at most 3660 days.")
        now = int(self._clock())
        info = TokenInfo(
            id=uuid.uuid4().hex,
            owner=owner,
            scopes=tuple(sorted(set(scopes))) or (Scope.READ,),
            created_at=datetime.fromtimestamp(now, UTC),
            expires_at=datetime.fromtimestamp(now + int(days * 86400), UTC),
        )
        claims = {
            "iss": ISSUER,
            "sub": info.owner,
            "jti": info.id,
            "iat": info.created_at,
            "exp": info.expires_at,
            "scope": " ".join(info.scopes),
        }
        make_private_folder(self._key_file.parent)
        key = read_or_make_secret(self._key_file)
        write_private_once(self._file(info.id), info.model_dump_json(indent=2))
        return jwt.encode(claims, key, algorithm=ALGORITHM), info

    def verify(self, token: str) -> TokenInfo:
        """Return the record of a valid token.

        Raises
        ------
        AccessError
            ``unauthorized``: this server has not issued it, or it has expired or was revoked.
        """
        if len(token) > TOKEN_MAX_CHARACTERS:
            raise _refused("This server did not issue the token.")
        try:
            # The list of algorithms refuses 'none' and keys of another type.
            claims = jwt.decode(
                token,
                read_private(self._key_file).strip().encode(),
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                leeway=LEEWAY_S,
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False},
            )
        except (jwt.InvalidTokenError, OSError, InvalidRequestError, ValueError):
            raise _refused("This server did not issue the token.") from None
        info = self._read(claims.get("jti"))
        if info is None or info.owner != claims.get("sub"):
            raise _refused("This server did not issue the token.")
        if info.expires_at.timestamp() + LEEWAY_S < self._clock():
            raise _refused("The token has expired.")
        if info.revoked_at is not None:
            raise _refused("The token was revoked.")
        return info

    def list(self) -> list[TokenInfo]:
        """Return the records of all issued tokens, newest first."""
        infos = [self._read(path.stem) for path in self._folder.glob("*.json")]
        return sorted((info for info in infos if info is not None), key=lambda info: info.created_at, reverse=True)

    def has_valid(self, owner: str, scope: Scope) -> bool:
        """Whether an owner has a token with a scope that has neither expired nor been revoked."""
        now = self._clock()
        return any(
            info.owner == owner
            and info.revoked_at is None
            and info.expires_at.timestamp() > now
            and scope in with_included(info.scopes)
            for info in self.list()
        )

    def revoke(self, token_id: str) -> TokenInfo:
        """Revoke a token, at once and for every gateway with this data directory; a second time has no effect.

        Parameters
        ----------
        token_id : str
            The id or its first characters.

        Raises
        ------
        NotFoundError
            No token has an id that begins like this, or several have.
        """
        found = [info for info in self.list() if token_id and info.id.startswith(token_id)]
        if len(found) != 1:
            raise NotFoundError(
                f"{'Several tokens have' if found else 'No token has'} an id that begins with '{token_id[:32]}'.",
                hint="'cryomamba tokens list' lists all tokens.",
            )
        info = found[0]
        if info.revoked_at is None:
            info = info.model_copy(update={"revoked_at": datetime.fromtimestamp(self._clock(), UTC)})
            write_private(self._file(info.id), info.model_dump_json(indent=2))
        return info

    def _read(self, token_id: object) -> TokenInfo | None:
        if not isinstance(token_id, str) or not _ID.fullmatch(token_id):
            return None
        try:
            return TokenInfo.model_validate_json(read_private(self._file(token_id)))
        except (OSError, InvalidRequestError, ValidationError):
            return None

    def _file(self, token_id: str) -> Path:
        return self._folder / f"{token_id}.json"


def _check_owner(owner: str) -> None:
    try:
        _OWNER.validate_python(owner)
    except ValidationError:
        raise InvalidRequestError(
            "The name of the token's owner is not valid.", hint="Use 1 to 64 letters, digits and _ . @ -."
        ) from None


def _refused(message: str) -> AccessError:
    return AccessError(
        message,
        code=ErrorCode.UNAUTHORIZED,
        hint="Ask the server's administrator for a token ('cryomamba tokens create NAME').",
    )
