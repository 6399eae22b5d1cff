"""Which jobs and files a request may see and change: everything, or what belongs to one owner."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from cryomamba.errors import InvalidRequestError

ALL_OWNERS: Final = "*"
_OWNER: Final = re.compile(r"[0-9A-Za-z_.@-]{1,64}")


@dataclass(frozen=True, slots=True)
class Visibility:
    """What a caller may see and change; made with :meth:`everything` or :meth:`of`.

    Attributes
    ----------
    owner : str or None
        The one owner whose jobs and files are visible; None if all are.
    """

    owner: str | None

    @classmethod
    def everything(cls) -> Self:
        """Return the visibility of an administrator or a worker: jobs and files of all owners."""
        return cls(None)

    @classmethod
    def of(cls, owner: str) -> Self:
        """Return the visibility of one owner.

        Raises
        ------
        InvalidRequestError
            No owner can have this name.
        """
        if not _OWNER.fullmatch(owner):
            raise InvalidRequestError(
                "The request names no valid owner.",
                hint="Owners' names have 1 to 64 letters, digits and characters of '_.@-'; '*' stands for all owners.",
            )
        return cls(owner)

    @classmethod
    def from_wire(cls, text: str | None) -> Self:
        """Read the field `owner` of a request's envelope.

        Raises
        ------
        InvalidRequestError
            The field is missing, or not a valid name.
        """
        return cls.everything() if text == ALL_OWNERS else cls.of(text or "")

    def to_wire(self) -> str:
        """Return the field `owner` of a request's envelope."""
        return ALL_OWNERS if self.owner is None else self.owner

    @property
    def is_everything(self) -> bool:
        """Whether jobs and files of all owners are visible."""
        return self.owner is None

    def includes(self, owner: str) -> bool:
        """Whether jobs and files of an owner are visible."""
        return self.owner is None or self.owner == owner
