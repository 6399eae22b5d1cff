"""Which sides of a box of nodes are borders of the volume."""

from cryomamba.geometry import Shape

Borders = tuple[tuple[bool, bool], tuple[bool, bool], tuple[bool, bool]]
"""First and last side along z, y, x."""
ALL_BORDERS: Borders = ((True, True), (True, True), (True, True))


def borders_of(first: Shape, last: Shape, whole: Shape) -> Borders:
    """Return which sides of a box are borders of a volume of `whole` nodes."""
    z, y, x = ((a == 0, b == n) for a, b, n in zip(first, last, whole, strict=True))
    return z, y, x
