"""The caller of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryomamba.access.visibility import Visibility
from cryomamba.errors import AccessError
from cryomamba_server.tokens import Scope, TokenInfo, with_included


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller and its permissions.

    Attributes
    ----------
    owner : str
        Owner of the jobs and files that it creates; empty on a server without tokens.
    token_id : str
        Id of its token; empty on a server without tokens.
    scopes : frozenset of Scope
        Including those that others imply.
    """

    owner: str
    token_id: str
    scopes: frozenset[Scope]

    @classmethod
    def of(cls, info: TokenInfo) -> Principal:
        """Return the principal of a token."""
        return cls(info.owner, info.id, with_included(info.scopes))

    @classmethod
    def of_link(cls, grant: str) -> Principal:
        """Return the principal of somebody with a link: it owns nothing and may read what the link is for."""
        return cls("link", f"link-{grant[-16:]}", frozenset({Scope.READ}))

    @property
    def visibility(self) -> Visibility:
        """The jobs and files that it may see and change, as far as its scopes go."""
        return Visibility.everything() if Scope.ADMIN in self.scopes else Visibility.of(self.owner)

    @property
    def actor(self) -> str | None:
        """Who this is, for the audit log: owner and token."""
        return f"{self.owner}/{self.token_id}" if self.token_id else None

    @property
    def log_fields(self) -> dict[str, object]:
        """What log records about its requests carry."""
        return {"owner": self.owner or None, "token_id": self.token_id or None, "actor": self.actor}

    def require(self, scope: Scope) -> None:
        """Check that a scope is granted.

        Raises
        ------
        AccessError
            ``forbidden``.
        """
        if scope not in self.scopes:
            raise AccessError(
                f"This token lacks the scope '{scope}'.",
                hint=f"Ask whoever runs the server for a token with the scope '{scope}'.",
            )


ANYBODY: Final = Principal("", "", frozenset(Scope))
