"""How a file is split into parts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryomamba.errors import InvalidRequestError
from cryomamba.models.files import PARTS_MAX

CHUNK_DEFAULT: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PartPlan:
    """Parts of equal size; the last one may be shorter.

    Attributes
    ----------
    total, chunk : int
        Bytes of the file and of each part but the last.
    """

    total: int
    chunk: int

    @property
    def count(self) -> int:
        """The number of parts."""
        return -(-self.total // self.chunk)

    def offset(self, index: int) -> int:
        """Return the offset of a part in the file."""
        return index * self.chunk

    def size(self, index: int) -> int:
        """Return the number of bytes of a part.

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
    """Split `total` bytes into parts of a wanted size, or into larger ones if there would be too many."""
    return PartPlan(total, min(max(wanted or CHUNK_DEFAULT, -(-total // PARTS_MAX)), total))
