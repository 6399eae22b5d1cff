"""Bearer tokens: JSON Web Tokens (RFC 7519) signed with HMAC-SHA256 by a key that never leaves the home folder.

Each token that was given out has a small file with what it may do, so that it can be listed and taken back; the token
itself is shown once and kept nowhere. A token without its file is refused.
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
    """What a token allows: look, change what is one's own, or everything of everybody."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


_INCLUDED: Final = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.WRITE: frozenset({Scope.READ, Scope.WRITE}),
    Scope.ADMIN: frozenset(Scope),
}


def with_included(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Return scopes with those that they include: admin includes write, write includes read."""
    return frozenset().union(*(_INCLUDED[scope] for scope in scopes))


class TokenInfo(BaseModel):
    """What is known of a token, without the token.

    Attributes
    ----------
    id : str
        By which it is listed and revoked (the claim ``jti``).
    owner : str
        Whose it is; jobs and files belong to the owner, so a second token with the same name sees them too.
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
    """The tokens of one home folder; any process may use it, also several at once.

    Parameters
    ----------
    keys : Path
        ``<home>/keys``.
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, keys: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._key_file = keys / "tokens.key"
        self._folder = keys / "tokens"
        self._clock = clock
        self._seen = False

    @property
    def enabled(self) -> bool:
        """Whether callers need a token: there is a key, or there was one since this store was made.

        So a key that is removed under a running gateway closes it instead of opening it.
        """
        self._seen = self._seen or self._key_file.exists()
        return self._seen

    def require_private(self) -> None:
        """Refuse to begin with a key that is no secret.

        Raises
        ------
        InvalidRequestError
            Others can read it.
        """
        with suppress(FileNotFoundError):
            read_private(self._key_file)

    def create(self, owner: str, scopes: Iterable[Scope], *, days: float) -> tuple[str, TokenInfo]:
        """Give out a token, and make the key with the first one.

        Parameters
        ----------
        owner : str
            1 to 64 letters, digits and ``_.@-``.
        scopes : iterable of Scope
        days : float
            How long it is good for.

        Returns
        -------
        str
            The token; it is kept nowhere.
        TokenInfo

        Raises
        ------
        InvalidRequestError
            The name or the time does not fit.
        """
        _check_owner(owner)
        if not 0 < days <= 3660:
            raise InvalidRequestError("A token lasts for more than 0 and at most 3660 days.")
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
        """Return what a token stands for.

        Raises
        ------
        AccessError
            ``unauthorized``: it is not one of ours, has expired or was revoked.
        """
        if len(token) > TOKEN_MAX_CHARACTERS:
            raise _refused("The token is not one of this server.")
        try:
            # The list of algorithms is what refuses 'none' and keys of another kind.
            claims = jwt.decode(
                token,
                read_private(self._key_file).strip().encode(),
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                leeway=LEEWAY_S,
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False},
            )
        except (jwt.InvalidTokenError, OSError, InvalidRequestError, ValueError):
            raise _refused("The token is not one of this server.") from None
        info = self._known(claims.get("jti"))
        if info is None or info.owner != claims.get("sub"):
            raise _refused("The token is not one of this server.")
        if info.expires_at.timestamp() + LEEWAY_S < self._clock():
            raise _refused("The token has expired.")
        if info.revoked_at is not None:
            raise _refused("The token was revoked.")
        return info

    def list(self) -> list[TokenInfo]:
        """Return all tokens that were given out, the newest first."""
        infos = [self._known(path.stem) for path in self._folder.glob("*.json")]
        return sorted((info for info in infos if info is not None), key=lambda info: info.created_at, reverse=True)

    def revoke(self, token_id: str) -> TokenInfo:
        """Take a token back, at once and for every gateway of this home; twice is no error.

        Raises
        ------
        NotFoundError
            No token's id begins like this, or several do.
        """
        found = [info for info in self.list() if token_id and info.id.startswith(token_id)]
        if len(found) != 1:
            raise NotFoundError(
                f"{'No token has' if not found else 'Several tokens have'} an id that begins with '{token_id[:32]}'.",
                hint="'cryomamba tokens list' shows them all.",
            )
        info = found[0]
        if info.revoked_at is None:
            info = info.model_copy(update={"revoked_at": datetime.fromtimestamp(self._clock(), UTC)})
            write_private(self._file(info.id), info.model_dump_json(indent=2))
        return info

    def _known(self, token_id: object) -> TokenInfo | None:
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
            "The name of a token's owner does not fit.", hint="Take 1 to 64 letters, digits and _ . @ -."
        ) from None


def _refused(message: str) -> AccessError:
    return AccessError(
        message,
        code=ErrorCode.UNAUTHORIZED,
        hint="Ask the server's owner for a token: 'cryomamba tokens create NAME' makes one.",
    )
