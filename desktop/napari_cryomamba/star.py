"""Coordinates of particles as a STAR file of RELION 5."""

from __future__ import annotations

import re
from pathlib import Path

from .models.picks import Points


def write_star(path: Path, tomogram: str, centred_A: Points, scores: Points | None = None) -> None:
    """Write points as ``rlnCenteredCoordinate{X,Y,Z}Angst``, with a figure of merit each where scores are given.

    Parameters
    ----------
    path : Path
        Appears when it is whole.
    tomogram : str
        ``rlnTomoName``.
    centred_A : ndarray, (n, 3)
        Ångström (z, y, x) from the tomogram's centre.
    scores : ndarray, (n,), optional
    """
    columns = ["TomoName", "CenteredCoordinateXAngst", "CenteredCoordinateYAngst", "CenteredCoordinateZAngst"]
    columns += ["AutopickFigureOfMerit"] if scores is not None else []
    lines = ["", "data_particles", "", "loop_", *(f"_rln{name} #{n}" for n, name in enumerate(columns, start=1))]
    name = re.sub(r"\s+", "_", tomogram)
    for number, (z, y, x) in enumerate(centred_A):
        score = "" if scores is None else f" {scores[number]:.6g}"
        lines.append(f"{name} {x:.3f} {y:.3f} {z:.3f}{score}")
    aside = path.with_name(f".{path.name}.part")
    aside.write_text("\n".join(lines) + "\n", encoding="utf-8")
    aside.replace(path)
