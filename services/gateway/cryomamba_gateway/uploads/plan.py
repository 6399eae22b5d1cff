"""How a file is cut into parts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryomamba.errors import InvalidRequestError
from cryomamba.models.files import PARTS_MAX

CHUNK_DEFAULT: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PartPlan:
    """Equal parts, of which the last may be shorter.

    Attributes
    ----------
    total, chunk : int
        Bytes of the file and of a part.
    """

    total: int
    chunk: int

    @property
    def count(self) -> int:
        """How many parts there are."""
        return -(-self.total // self.chunk)

    def offset(self, index: int) -> int:
        """Return where a part begins."""
        return index * self.chunk

    def size(self, index: int) -> int:
        """Return how many bytes a part has.

        Raises
        ------
        InvalidRequestError
            There is no such part.
        """
        if not 0 <= index < self.count:
            raise InvalidRequestError(
                f"There is no part {index}; this upload has {self.count}.",
                hint="Parts are numbered from 0.",
                details={"part_count": self.count},
            )
        return min(self.chunk, self.total - self.offset(index))


def plan_parts(total: int, wanted: int | None = None) -> PartPlan:
    """Cut `total` bytes into parts of the wanted size, or of larger ones where there would be too many."""
    return PartPlan(total, min(max(wanted or CHUNK_DEFAULT, -(-total // PARTS_MAX)), total))
