"""Checks of the numbers in tables of picks."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from cryomamba.errors import InvalidRequestError
from cryomamba.picks.picks import Floats, Numbers

# Beyond it not every whole number is a 64-bit float, so two labels could become one.
_HIGHEST_LABEL: Final = 2**53


def require_finite(positions: Floats, path: Path) -> None:
    """Refuse coordinates that are infinite or not a number.

    Raises
    ------
    InvalidRequestError
        There are some; the message has the first.
    """
    wrong = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if wrong.size:
        z, y, x = positions[wrong[0]]
        raise InvalidRequestError(
            f"Coordinates in '{path.name}' are not finite: {z:g}, {y:g}, {x:g} (z, y, x) of pick {wrong[0] + 1}.",
            hint="Correct or remove its row, and try again.",
        )


def whole_labels(values: npt.NDArray[np.float64], path: Path) -> Numbers:
    """Return labels as whole numbers.

    Raises
    ------
    InvalidRequestError
        A label is infinite, not a number, or beyond ±2**53.
    """
    wrong = np.flatnonzero(~(np.abs(values) <= _HIGHEST_LABEL))
    if wrong.size:
        raise InvalidRequestError(
            f"A label in '{path.name}' is not a whole number: {values[wrong[0]]:g} of pick {wrong[0] + 1}.",
            hint="Number particles, filaments or components from 1.",
        )
    return values.astype(np.int64)
