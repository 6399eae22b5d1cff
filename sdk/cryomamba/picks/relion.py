"""Picks from STAR files of RELION: pixel coordinates (RELION 4 and earlier) and centred ångström (RELION 5)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba.errors import InvalidRequestError, NotFoundError
from cryomamba.picks.angles import relion_normals, relion_rotations
from cryomamba.picks.checks import require_finite, whole_labels
from cryomamba.picks.picks import Floats, Kind, Picks, empty_picks
from cryomamba.picks.star_reader import Columns, read_star
from cryomamba.picks.tomogram_info import TomogramInfo

CENTRED: Final = tuple(f"rlnCenteredCoordinate{axis}Angst" for axis in "ZYX")
PIXELS: Final = tuple(f"rlnCoordinate{axis}" for axis in "ZYX")
_ORIGINS: Final = tuple(f"rlnOrigin{axis}Angst" for axis in "ZYX")
SUBTOMOGRAM: Final = tuple(f"rlnTomoSubtomogram{name}" for name in ("Rot", "Tilt", "Psi"))
PARTICLE: Final = tuple(f"rlnAngle{name}" for name in ("Rot", "Tilt", "Psi"))
_NAMES: Final = ("rlnTomoName", "rlnMicrographName")
_SCORES: Final = ("rlnAutopickFigureOfMerit", "ptmLCCmax")
# In the order of preference: the pixel of the coordinates, where a program gives it, is that of the tilt series.
_PIXEL_SIZES: Final = ("rlnTomoTiltSeriesPixelSize", "rlnDetectorPixelSize", "rlnMicrographOriginalPixelSize")
_LABELS: Final[tuple[tuple[str, Kind], ...]] = (
    ("rlnHelicalTubeID", "filaments"),
    ("rlnTomoManifoldIndex", "membranes"),
    ("rlnClassNumber", "particles"),
)


def read_relion(path: Path, tomogram: TomogramInfo, *, pixel_size_A: float | None = None) -> Picks:
    """Read the particles of one tomogram.

    Positions are those of the coordinates minus the refined origins. Of several tomograms in the file, that with the
    name of `tomogram` is read.

    Parameters
    ----------
    path : Path
    tomogram : TomogramInfo
        Its shape and voxel size turn coordinates into voxels.
    pixel_size_A : float, optional
        Of the coordinates, if they are pixels; by default that in the file, or else the voxel size.

    Raises
    ------
    InvalidRequestError
        There are no coordinates, or a value is not a number.
    NotFoundError
        The file has particles of other tomograms only.
    """
    blocks = read_star(path)
    table = next(
        (columns for columns in blocks.values() if set(columns) >= set(CENTRED) or set(columns) >= set(PIXELS)), None
    )
    if table is None:
        raise InvalidRequestError(
            f"'{path.name}' has no coordinates.",
            hint=f"A table of particles has the columns {', '.join(CENTRED[::-1])} or {', '.join(PIXELS[::-1])}.",
        )
    table = _of_tomogram(table, tomogram.name, path)
    label, kind = next(((name, kind) for name, kind in _LABELS if name in table), ("", "particles"))
    count = len(next(iter(table.values())))
    if not count:
        return empty_picks(kind if kind != "membranes" else "particles")
    pixel = pixel_size_A or _pixel_size(table, blocks, path)
    positions = _positions(table, tomogram, pixel, path)
    require_finite(positions, path)
    scores = next((_numbers(table, (name,), path)[:, 0] for name in _SCORES if name in table), np.full(count, np.nan))
    labels = whole_labels(_numbers(table, (label,), path)[:, 0], path) if label else np.ones(count, np.int64)
    normals: Floats | None = None
    if kind == "membranes" and set(table) >= {*PARTICLE}:
        particle = _numbers(table, PARTICLE, path)
        # WarpTools has no rotation of the subtomogram.
        subtomogram = _numbers(table, SUBTOMOGRAM, path) if set(table) >= {*SUBTOMOGRAM} else np.zeros_like(particle)
        normals = np.asarray(relion_normals(subtomogram, particle), np.float64)
    return Picks(
        positions, scores, labels, kind if normals is not None or kind != "membranes" else "particles", normals
    )


def _positions(table: Columns, tomogram: TomogramInfo, pixel_A: float | None, path: Path) -> Floats:
    size = np.array(tomogram.voxel_size_A, np.float64)
    if set(table) >= set(CENTRED):
        positions = _numbers(table, CENTRED, path) / size + np.array(tomogram.shape) / 2
    else:
        positions = _numbers(table, PIXELS, path) * ((pixel_A / size) if pixel_A else 1.0)
    if set(table) >= set(_ORIGINS):
        origins = _numbers(table, _ORIGINS, path)
        if set(table) >= set(SUBTOMOGRAM):
            rotations = relion_rotations(_numbers(table, SUBTOMOGRAM, path))
            origins = np.einsum("nij,nj->ni", rotations, origins[:, ::-1])[:, ::-1]
        positions = positions - origins / size
    return np.asarray(positions, np.float64)


def _of_tomogram(table: Columns, name: str, path: Path) -> Columns:
    key = next((key for key in _NAMES if key in table), None)
    names = sorted(set(table[key])) if key is not None else []
    if key is None or len(names) < 2:
        return table
    matching = [one for one in names if _stem(one) == _stem(name)]
    if not matching:
        listed = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        raise NotFoundError(
            f"'{path.name}' has no particles of '{name}'; it has those of {listed}.",
            hint="Give the tomogram's name as it is in the file.",
        )
    rows = [row for row, one in enumerate(table[key]) if one in matching]
    return {column: [values[row] for row in rows] for column, values in table.items()}


def _stem(name: str) -> str:
    stem = PurePosixPath(name).name
    return stem.rpartition(".")[0] if stem.lower().endswith((".mrc", ".rec", ".tomostar", ".st")) else stem


def _pixel_size(table: Columns, blocks: dict[str, Columns], path: Path) -> float | None:
    for columns in (table, blocks.get("optics", {})):
        for name in _PIXEL_SIZES:
            if columns.get(name):
                return float(_numbers(columns, (name,), path)[0, 0])
    return None


def _numbers(table: Columns, names: tuple[str, ...], path: Path) -> npt.NDArray[np.float64]:
    try:
        found: Any = np.array([table[name] for name in names], np.float64)
    except ValueError:
        raise InvalidRequestError(
            f"A value of {', '.join(names)} in '{path.name}' is not a number.", hint="Correct the file, and try again."
        ) from None
    return np.asarray(found.T, np.float64)
