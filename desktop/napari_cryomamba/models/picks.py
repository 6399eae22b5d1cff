"""Picked points: read from a job's table, and written for other programs."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.records import Shape, Spacing

COLUMNS = ("z", "y", "x", "z_A", "y_A", "x_A", "score", "label")

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Picks:
    """Points of a tomogram.

    Attributes
    ----------
    voxels : ndarray of float, (n, 3)
        Voxel indices (z, y, x).
    scores : ndarray of float, (n,)
    labels : ndarray of int, (n,)
    """

    voxels: Points
    scores: npt.NDArray[np.float64]
    labels: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.voxels)


def read_picks(path: Path) -> Picks:
    """Read ``picks.csv``: its columns ``z``, ``y``, ``x`` are voxel indices; ``score`` and ``label`` may be missing.

    Raises
    ------
    InvalidRequestError
        It is no such table.
    """
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        try:
            if not {"z", "y", "x"} <= set(table.fieldnames or ()):
                raise KeyError
            rows = [
                (
                    (float(row["z"]), float(row["y"]), float(row["x"])),
                    float(row.get("score") or 1.0),
                    int(float(row.get("label") or 1)),
                )
                for row in table
            ]
        except (KeyError, TypeError, ValueError, csv.Error):
            raise InvalidRequestError(
                f"{path.name} is no table of picks.",
                code=ErrorCode.VOLUME_UNREADABLE,
                hint="Its first line names the columns z, y and x, and each further line holds numbers.",
            ) from None
    voxels = np.array([row[0] for row in rows], np.float64).reshape(-1, 3)
    return Picks(voxels, np.array([row[1] for row in rows]), np.array([row[2] for row in rows], np.intp))


def write_table(path: Path, picks: Picks, voxel_size_A: Spacing) -> None:
    """Write the picks as the table that :func:`read_picks` takes."""
    aside = path.with_name(f".{path.name}.part")
    with aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for at, score, label in zip(picks.voxels, picks.scores, picks.labels, strict=True):
            place = [round(float(v) * size, 3) for v, size in zip(at, voxel_size_A, strict=True)]
            writer.writerow([*(round(float(v), 3) for v in at), *place, round(float(score), 6), int(label)])
    aside.replace(path)


def centred_A(voxels: Points, shape: Shape, voxel_size_A: Spacing) -> Points:
    """Return ångström from the tomogram's centre, which RELION puts at half its number of voxels, counted from 0."""
    centred: Points = (voxels - np.array(shape) / 2) * np.array(voxel_size_A)
    return centred
