"""Who a request comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryomamba.access.visibility import Visibility
from cryomamba.errors import AccessError
from cryomamba_server.tokens import Scope, TokenInfo, with_included


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller and what it may do.

    Attributes
    ----------
    owner : str
        Whose jobs and files are made; empty on an open server.
    token_id : str
        Which token it is; empty on an open server.
    scopes : frozenset of Scope
        With those included in others.
    """

    owner: str
    token_id: str
    scopes: frozenset[Scope]

    @classmethod
    def of(cls, info: TokenInfo) -> Principal:
        """Return who a token stands for."""
        return cls(info.owner, info.id, with_included(info.scopes))

    @property
    def visibility(self) -> Visibility:
        """The jobs and files that it may see and change, as far as its scopes go."""
        return Visibility.everything() if Scope.ADMIN in self.scopes else Visibility.of(self.owner)

    def require(self, scope: Scope) -> None:
        """Let a request pass that needs a scope.

        Raises
        ------
        AccessError
            ``forbidden``.
        """
        if scope not in self.scopes:
            raise AccessError(
                f"This token may not do that: it lacks the scope '{scope}'.",
                hint=f"Ask the server's owner for a token with the scope '{scope}'.",
            )


ANYBODY: Final = Principal("", "", frozenset(Scope))
