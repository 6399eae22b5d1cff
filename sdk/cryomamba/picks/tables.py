"""Tables of picks: CSV, STAR of RELION 4 and 5 and WarpTools, IMOD models, and Dynamo. All are written atomically."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba._version import __version__
from cryomamba.atomic import AtomicFile, write_atomically
from cryomamba.errors import InvalidRequestError, NotFoundError
from cryomamba.picks.angles import PRIOR, dynamo_angles, golden_angles, particle_angles, relion_angles
from cryomamba.picks.checks import require_finite, whole_labels
from cryomamba.picks.imod import read_imod, write_imod
from cryomamba.picks.picks import Kind, Picks, empty_picks
from cryomamba.picks.relion import CENTRED, PARTICLE, PIXELS, SUBTOMOGRAM, read_relion
from cryomamba.picks.star_values import star_value
from cryomamba.picks.tomogram_info import TomogramInfo

COLUMNS: Final = ("z", "y", "x", "z_A", "y_A", "x_A", "score", "label")
NORMAL_COLUMNS: Final = ("normal_z", "normal_y", "normal_x")
TRACK_COLUMN: Final = "track_A"
_DYNAMO_COLUMNS: Final = 35


def write_csv(picks: Picks, path: Path, tomogram: TomogramInfo) -> None:
    """Write one row per pick.

    ``z``, ``y``, ``x`` are in voxels, 0.0 at the centre of the first one; ``z_A``, ``y_A``, ``x_A`` are multiplied by
    the voxel size, without the header's origin. ``score`` and ``label`` are those of :class:`Picks`. Tables of
    membranes also have ``normal_z``, ``normal_y``, ``normal_x``; those of filaments ``track_A``, the arc length.
    """
    heads: tuple[str, ...] = ()
    more = np.empty((len(picks), 0))
    if picks.normals is not None:
        more, heads = picks.normals, NORMAL_COLUMNS
    elif picks.kind == "filaments":
        more, heads = picks.track_lengths_A(tomogram.voxel_size_A)[:, None], (TRACK_COLUMN,)
    with AtomicFile(path) as new, io.TextIOWrapper(new.stream(), "utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*COLUMNS, *heads))
        for position, score, label, rest in zip(picks.positions, picks.scores, picks.labels, more, strict=True):
            physical = position * tomogram.voxel_size_A
            coordinates = (f"{at:.3f}" for at in (*position, *physical))
            number = "" if np.isnan(score) else f"{score:.2f}"
            writer.writerow([*coordinates, number, int(label), *(f"{value:.5f}" for value in rest)])


def read_csv(path: Path, kind: Kind = "particles") -> Picks:
    """Read a table of :func:`write_csv`; other columns are ignored, and ``score`` and ``label`` are optional.

    A table with normals contains membranes and one with arc lengths filaments, whatever `kind` is.

    Raises
    ------
    InvalidRequestError
        The file is not text in UTF-8, a column is missing, or a cell is not a number; the message names the line.
    """
    try:
        return _read_rows(path, kind)
    except (UnicodeDecodeError, csv.Error):
        raise InvalidRequestError(
            f"'{path.name}' is not a table of picks: it is not text in UTF-8 with values separated by commas.",
            hint="Save it as CSV in UTF-8.",
        ) from None


def _read_rows(path: Path, kind: Kind) -> Picks:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        missing = [name for name in COLUMNS[:3] if name not in (rows.fieldnames or ())]
        if missing:
            raise InvalidRequestError(
                f"'{path.name}' is not a table of picks: it lacks the column {', '.join(missing)}.",
                hint=f"Its first line should be: {','.join(COLUMNS)}",
            )
        oriented = NORMAL_COLUMNS if all(name in (rows.fieldnames or ()) for name in NORMAL_COLUMNS) else ()
        kind = "membranes" if oriented else "filaments" if TRACK_COLUMN in (rows.fieldnames or ()) else kind
        values = []
        for row in rows:
            try:
                cells = [float(row[name]) for name in (*COLUMNS[:3], *oriented)]
                values.append([*cells, float(row.get("score") or 0), float(row.get("label") or 1)])
            except (TypeError, ValueError):
                raise InvalidRequestError(
                    f"Line {rows.line_num} of '{path.name}' contains a cell that is not a number.",
                    hint="Separate columns with commas and write decimals with a point.",
                ) from None
    if not values:
        return empty_picks(kind)
    table = np.array(values, np.float64)
    positions, normals = table[:, :3], table[:, 3:6] if oriented else None
    require_finite(positions, path)
    return Picks(positions, table[:, -2], whole_labels(table[:, -1], path), kind, normals)


def write_star(picks: Picks, path: Path, tomogram: TomogramInfo, *, relion: int = 5, warp: bool = False) -> None:
    """Write a STAR file of particles for RELION 5, or for RELION 4, or for WarpTools.

    With ``relion=4`` there are ``rlnCoordinate{X,Y,Z}`` in voxels of this tomogram (as wide as along x), the first
    being 0, in place of centred Å. RELION 4 expects pixels of the tilt series, so each is multiplied by the binning
    of the tomogram when it is imported there; ``rlnDetectorPixelSize`` has the voxel size.

    With ``warp=True`` there are the same coordinates, for ``ts_export_particles`` with the voxel size along x as
    ``--coords_angpix``; ``rlnMicrographName`` is the name of the tomogram with ``.tomostar``, as WarpTools names tilt
    series, and normals become ``rlnAngle{Rot,Tilt,Psi}`` of the particle in the tomogram.

    ``rlnCenteredCoordinate{X,Y,Z}Angst`` is (voxel − size / 2) · voxel size, as in RELION's ``particle_set.cpp``, where
    the first voxel is 0; it does not depend on the binning. ``rlnTomoName`` must match the tilt series' name in RELION;
    it is quoted if it has to be (:func:`~cryomamba.picks.star_values.star_value`). The score is
    ``rlnAutopickFigureOfMerit``; membranes, and picks without scores, have none. Particles have ``rlnClassNumber``;
    filaments have ``rlnHelicalTubeID`` and ``rlnHelicalTrackLengthAngst``; membranes have ``rlnTomoManifoldIndex``, the
    component. Normals become angles, see :mod:`cryomamba.picks.angles`.
    """
    heads, coordinates = _coordinates(picks, tomogram, 4 if warp else relion)
    if warp:
        heads[0] = "rlnMicrographName"
    name = tomostar_name(tomogram.name) if warp else tomogram.name
    columns: list[Iterable[str]] = [
        [star_value(name)] * len(picks),
        *([f"{at:.3f}" for at in values] for values in coordinates),
    ]
    if picks.kind != "membranes" and not np.isnan(picks.scores).all():
        heads.append("rlnAutopickFigureOfMerit")
        columns.append(f"{score:.3f}" for score in picks.scores)
    columns.append(str(label) for label in picks.labels)
    if picks.kind == "filaments":
        heads += ["rlnHelicalTubeID", "rlnHelicalTrackLengthAngst"]
        columns.append(f"{length:.3f}" for length in picks.track_lengths_A(tomogram.voxel_size_A))
    else:
        heads += ["rlnTomoManifoldIndex" if picks.kind == "membranes" else "rlnClassNumber"]
    for head, values in _angle_columns(picks, warp=warp).items():
        heads.append(head)
        columns.append(f"{value:.3f}" for value in values)
    # The only table of a file for WarpTools has no name in its documentation.
    lines = [f"# written by CryoMamba {__version__}", "", "data_" if warp else "data_particles", "", "loop_"]
    lines += [f"_{head} #{number}" for number, head in enumerate(heads, 1)]
    lines += [" ".join(row) for row in zip(*columns, strict=True)]
    write_atomically(path, "\n".join(lines) + "\n\n")


def _coordinates(picks: Picks, tomogram: TomogramInfo, relion: int) -> tuple[list[str], list[npt.NDArray[np.float64]]]:
    """Return the heads of name and coordinates, and the values of the latter."""
    if relion >= 5:
        centred = (picks.positions - np.array(tomogram.shape) / 2) * tomogram.voxel_size_A
        return ["rlnTomoName", *CENTRED[::-1]], list(centred[:, ::-1].T)
    heads = ["rlnTomoName", *PIXELS[::-1], "rlnDetectorPixelSize"]
    pixel = tomogram.voxel_size_A[2]
    pixels = picks.positions * (np.array(tomogram.voxel_size_A) / pixel)
    return heads, [*pixels[:, ::-1].T, np.full(len(picks), pixel)]


def tomostar_name(name: str) -> str:
    """Return the name of a tilt series in WarpTools, given that of its tomogram.

    WarpTools names tomograms by their tilt series and their pixel size, such as ``TS_01_10.00Apx``.
    """
    return f"{re.sub(r'_[0-9]+[.][0-9]+Apx$', '', name.removesuffix('.tomostar'))}.tomostar"


def _angle_columns(picks: Picks, *, warp: bool) -> dict[str, npt.NDArray[Any]]:
    if picks.normals is None:
        return {}
    if warp:
        return dict(zip(PARTICLE, particle_angles(picks.normals).T, strict=True))
    held, straight = np.full(len(picks), PRIOR[0]), np.full(len(picks), PRIOR[1])
    return {
        **dict(zip(SUBTOMOGRAM, relion_angles(picks.normals).T, strict=True)),
        **dict(zip(PARTICLE, (golden_angles(len(picks)), held, straight), strict=True)),
        "rlnAngleTiltPrior": held,
        "rlnAnglePsiPrior": straight,
    }


def write_dynamo(picks: Picks, path: Path, tomogram: TomogramInfo) -> None:
    """Write a Dynamo table: 35 columns, a row per particle.

    Columns 24 to 26 are x, y, z in voxels, counted from 1 as in MATLAB. Column 10 is the score, 20 the number of the
    tomogram (1; Dynamo identifies tomograms by number), 21 (region) the filament or membrane component, and 22 (class)
    the label of a particle. Columns 7 to 9 are angles that align a particle's z axis with the normal; 0 without
    normals. Shifts are 0, and no tilt range is given.
    """
    del tomogram
    table = np.zeros((len(picks), _DYNAMO_COLUMNS))
    table[:, 0] = np.arange(1, len(picks) + 1)
    table[:, 1] = 1
    table[:, 9] = np.nan_to_num(picks.scores)
    table[:, 19] = 1
    table[:, 21 if picks.kind == "particles" else 20] = picks.labels
    if picks.normals is not None:
        table[:, 6:8], table[:, 8] = dynamo_angles(picks.normals), golden_angles(len(picks))
    table[:, 23:26] = picks.positions[:, ::-1] + 1
    with AtomicFile(path) as new, io.TextIOWrapper(new.stream(), "utf-8", newline="") as file:
        for row in table:
            file.write(" ".join(f"{value:.6g}" if value < 1e4 else f"{value:.2f}" for value in row) + "\n")


_WRITERS: Final[Mapping[str, Callable[[Picks, Path, TomogramInfo], None]]] = {
    ".csv": write_csv,
    ".star": write_star,
    ".tbl": write_dynamo,
    ".mod": write_imod,
}
_READERS: Final[Mapping[str, Callable[[Path, TomogramInfo], Picks]]] = {
    ".csv": lambda path, _tomogram: read_csv(path),
    ".star": read_relion,
    ".mod": read_imod,
}
EXTENSIONS: Final = tuple(_WRITERS)
READABLE: Final = tuple(_READERS)


def write_picks(picks: Picks, path: Path, tomogram: TomogramInfo, *, relion: int = 5, warp: bool = False) -> None:
    """Write picks in the format of the file extension: ``.csv``, ``.star``, ``.tbl`` or ``.mod``.

    Parameters
    ----------
    relion : int
        The version of RELION that a STAR file is for, 4 or 5.
    warp : bool
        Whether a STAR file is for WarpTools instead.

    Raises
    ------
    InvalidRequestError
        The extension is unknown.
    """
    writers = dict(_WRITERS) | {".star": partial(write_star, relion=relion, warp=warp)}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise InvalidRequestError(
            f"Unknown output format: '{path.name}'.",
            hint=f"Picks can be written to {', '.join(EXTENSIONS[:-1])} or {EXTENSIONS[-1]} files.",
        )
    writer(picks, path, tomogram)


def read_picks(path: Path, tomogram: TomogramInfo) -> Picks:
    """Read picks in the format of the file extension: ``.csv``, ``.star`` (RELION 4 or 5) or ``.mod``.

    Raises
    ------
    InvalidRequestError
        The extension is unknown, or the file is damaged.
    NotFoundError
        There is no such file, or it has picks of other tomograms only.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidRequestError(
            f"Unknown format: '{path.name}'.",
            hint=f"Picks can be read from {', '.join(READABLE[:-1])} and {READABLE[-1]} files.",
        )
    if not path.is_file():
        raise NotFoundError(f"There is no file '{path}'.", hint="Check the spelling of its name.")
    return reader(path, tomogram)
