"""Lengths, angles and distances that a person has measured, as rows of a table."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cryomamba.atomic import AtomicFile
from cryomamba.spreadsheet import text_cell, write_rows

COLUMNS = ("Layer", "Number", "Kind", "Value", "Unit", "z nm", "y nm", "x nm", "to z nm", "to y nm", "to x nm")
_DIGITS = 2


class Kind(StrEnum):
    """What was measured."""

    RULER = "ruler"
    ANGLE = "angle"
    PROFILE = "profile"
    DISTANCE = "distance"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement.

    Attributes
    ----------
    layer : str
        Name of the layer that holds it.
    number : int
        Its number there, from 1.
    kind : Kind
    value : float
        nm, or degrees for an angle; a distance is negative inside of the mask.
    begin, end : tuple of float
        z, y, x in nm; of an angle the apex is the beginning, and there is no end, nor is there one of a distance.
    """

    layer: str
    number: int
    kind: Kind
    value: float
    begin: tuple[float, ...]
    end: tuple[float, ...] = ()

    @property
    def unit(self) -> str:
        """``nm`` or ``°``."""
        return "°" if self.kind is Kind.ANGLE else "nm"

    @property
    def text(self) -> str:
        """The value with its unit, as it is written beside the line."""
        return f"{self.value:.1f}°" if self.kind is Kind.ANGLE else f"{self.value:.1f} nm"

    @property
    def cells(self) -> tuple[str | float | int, ...]:
        """The row, in the order of :data:`COLUMNS`."""
        numbers = [round(value, _DIGITS) for value in (self.value, *self.begin, *self.end)]
        return (
            self.layer,
            self.number,
            self.kind.value,
            numbers[0],
            self.unit,
            *numbers[1:],
            *[""] * (3 - len(self.end)),
        )


def measure_shape(layer: str, number: int, kind: Kind, vertices_nm: npt.ArrayLike) -> Measurement | None:
    """Return the measurement of a line or path (n, 3), None if it has too few points."""
    points = np.asarray(vertices_nm, np.float64)
    if kind is Kind.ANGLE and len(points) >= 3:
        return Measurement(layer, number, kind, angle_degrees(points[:3]), tuple(points[1].tolist()))
    if kind is Kind.ANGLE or len(points) < 2:
        return None
    length = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
    return Measurement(layer, number, kind, length, tuple(points[0].tolist()), tuple(points[-1].tolist()))


def angle_degrees(points: npt.NDArray[np.float64]) -> float:
    """Return the angle at the second of three points, 0 to 180, from its sine and cosine."""
    one, other = points[0] - points[1], points[2] - points[1]
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(one, other)), one @ other)))


def as_text(rows: Sequence[Measurement]) -> str:
    """Return the rows as tab-separated text, for pasting into a spreadsheet."""
    lines = [COLUMNS, *(row.cells for row in rows)]
    return "\n".join("\t".join(text_cell(str(cell)) for cell in line) for line in lines) + "\n"


def write_csv(rows: Sequence[Measurement], path: Path) -> None:
    """Write the rows with a header."""
    _write(path, [COLUMNS, *(row.cells for row in rows)])


def write_profile(position_nm: npt.NDArray[np.float64], density: npt.NDArray[np.float64], path: Path) -> None:
    """Write a line profile with a header; densities outside of the tomogram are empty."""
    pairs = zip(position_nm.tolist(), density.tolist(), strict=True)
    _write(
        path, [("position nm", "density"), *((f"{at:.3f}", "" if np.isnan(of) else f"{of:.6g}") for at, of in pairs)]
    )


def _write(path: Path, lines: Sequence[Sequence[object]]) -> None:
    with AtomicFile(path) as new, io.TextIOWrapper(new.stream(), "utf-8", newline="") as file:
        write_rows(file, lines)
