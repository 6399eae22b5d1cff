"""Tables of picks: CSV, RELION 5 STAR, Dynamo."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba._version import __version__
from cryomamba.atomic import AtomicFile, write_atomically
from cryomamba.errors import InvalidRequestError
from cryomamba.geometry import Shape, Spacing
from cryomamba.picks.angles import PRIOR, dynamo, relion_subtomogram, turns
from cryomamba.picks.picks import Kind, Picks, no_picks

HEADS: Final = ("z", "y", "x", "z_A", "y_A", "x_A", "score", "label")
NORMAL_HEADS: Final = ("normal_z", "normal_y", "normal_x")
TRACK_HEAD: Final = "track_A"
_DYNAMO_COLUMNS: Final = 35


@dataclass(frozen=True, slots=True)
class Frame:
    """The tomogram that picks lie in: its ZYX shape, voxel size in Å (z, y, x), and the name that tables give it."""

    shape: Shape
    voxel_size_A: Spacing
    name: str


def write_csv(picks: Picks, path: Path, frame: Frame) -> None:
    """Write one row per pick.

    ``z``, ``y``, ``x`` are voxels, 0.0 at the centre of the first one; ``z_A``, ``y_A``, ``x_A`` are the same times
    the voxel size, without the header's origin. ``score`` and ``label`` are those of :class:`Picks`. Of membranes,
    ``normal_z``, ``normal_y``, ``normal_x`` follow; of filaments ``track_A``, how far along it a point lies.
    """
    heads: tuple[str, ...] = ()
    more = np.empty((len(picks), 0))
    if picks.normals is not None:
        more, heads = picks.normals, NORMAL_HEADS
    elif picks.kind == "filaments":
        more, heads = picks.track_lengths_A(frame.voxel_size_A)[:, None], (TRACK_HEAD,)
    with AtomicFile(path) as new, io.TextIOWrapper(new.stream(), "utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*HEADS, *heads))
        for place, score, label, rest in zip(picks.positions, picks.scores, picks.labels, more, strict=True):
            physical = place * frame.voxel_size_A
            places = (f"{at:.3f}" for at in (*place, *physical))
            writer.writerow([*places, f"{score:.2f}", int(label), *(f"{value:.5f}" for value in rest)])


def read_csv(path: Path, kind: Kind = "particles") -> Picks:
    """Read what :func:`write_csv` wrote; further columns are left alone, ``score`` and ``label`` may be missing.

    A table with normals is one of membranes and one with track lengths one of filaments, whatever `kind` says.

    Raises
    ------
    InvalidRequestError
        A column is missing, or a cell is no number; the message names the line.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        missing = [name for name in HEADS[:3] if name not in (rows.fieldnames or ())]
        if missing:
            raise InvalidRequestError(
                f"'{path.name}' is no table of picks: it has no column {', '.join(missing)}.",
                hint=f"Its first line should be: {','.join(HEADS)}",
            )
        oriented = NORMAL_HEADS if all(name in (rows.fieldnames or ()) for name in NORMAL_HEADS) else ()
        kind = "membranes" if oriented else "filaments" if TRACK_HEAD in (rows.fieldnames or ()) else kind
        values = []
        for row in rows:
            try:
                cells = [float(row[name]) for name in (*HEADS[:3], *oriented)]
                values.append([*cells, float(row.get("score") or 0), int(float(row.get("label") or 1))])
            except (TypeError, ValueError):
                raise InvalidRequestError(
                    f"Line {rows.line_num} of '{path.name}' holds something that is not a number.",
                    hint="Columns are separated by commas, and decimals written with a point.",
                ) from None
    if not values:
        return no_picks(kind)
    table = np.array(values, np.float64)
    normals = table[:, 3:6] if oriented else None
    return Picks(table[:, :3], table[:, -2], table[:, -1].astype(np.int64), kind, normals)


def write_star(picks: Picks, path: Path, frame: Frame) -> None:
    """Write a RELION 5 STAR file of particles, as its own pickers do.

    ``rlnCenteredCoordinate{X,Y,Z}Angst`` is (voxel − size / 2) · voxel size, as in RELION's ``particle_set.cpp``,
    where the first voxel is 0; so it does not depend on the binning. ``rlnTomoName`` must be the tilt series' name in
    RELION. The score is ``rlnAutopickFigureOfMerit``; membranes have none. Particles have ``rlnClassNumber``;
    filaments have ``rlnHelicalTubeID`` and ``rlnHelicalTrackLengthAngst``; membranes have ``rlnTomoManifoldIndex``, the
    number of the piece. Where there are normals, a particle's z axis lies along them: :mod:`cryomamba.picks.angles`.
    """
    heads = ["rlnTomoName", *(f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ")]
    centred = (picks.positions - np.array(frame.shape) / 2) * frame.voxel_size_A
    columns: list[Iterable[str]] = [
        [_word(frame.name)] * len(picks),
        *([f"{at:.3f}" for at in centred[:, axis]] for axis in (2, 1, 0)),
    ]
    if picks.kind != "membranes":
        heads.append("rlnAutopickFigureOfMerit")
        columns.append(f"{score:.3f}" for score in picks.scores)
    columns.append(str(label) for label in picks.labels)
    if picks.kind == "filaments":
        heads += ["rlnHelicalTubeID", "rlnHelicalTrackLengthAngst"]
        columns.append(f"{length:.3f}" for length in picks.track_lengths_A(frame.voxel_size_A))
    else:
        heads += ["rlnTomoManifoldIndex" if picks.kind == "membranes" else "rlnClassNumber"]
    for head, values in _relion_angles(picks).items():
        heads.append(head)
        columns.append(f"{value:.3f}" for value in values)
    lines = [f"# written by CryoMamba {__version__}", "", "data_particles", "", "loop_"]
    lines += [f"_{head} #{number}" for number, head in enumerate(heads, 1)]
    lines += [" ".join(row) for row in zip(*columns, strict=True)]
    write_atomically(path, "\n".join(lines) + "\n\n")


def _relion_angles(picks: Picks) -> dict[str, npt.NDArray[Any]]:
    """Return columns of angles; none where there are no normals."""
    if picks.normals is None:
        return {}
    rot, tilt, psi = relion_subtomogram(picks.normals).T
    held, straight = np.full(len(picks), PRIOR[0]), np.full(len(picks), PRIOR[1])
    return {
        "rlnTomoSubtomogramRot": rot,
        "rlnTomoSubtomogramTilt": tilt,
        "rlnTomoSubtomogramPsi": psi,
        "rlnAngleRot": turns(len(picks)),
        "rlnAngleTilt": held,
        "rlnAnglePsi": straight,
        "rlnAngleTiltPrior": held,
        "rlnAnglePsiPrior": straight,
    }


def write_dynamo(picks: Picks, path: Path, frame: Frame) -> None:
    """Write a Dynamo table: 35 columns, a row per particle.

    Columns 24 to 26 are x, y, z in voxels, counted from 1 as MATLAB does. Column 10 is the score, 20 the number of
    the tomogram (1; Dynamo knows tomograms by number), 21 (region) the filament or piece of membrane, and 22 (class)
    the label of a particle. Columns 7 to 9 are angles that lay a particle's z axis along the normal; without
    normals they are 0. Shifts are 0, and no tilt range is given.
    """
    del frame
    table = np.zeros((len(picks), _DYNAMO_COLUMNS))
    table[:, 0] = np.arange(1, len(picks) + 1)
    table[:, 1] = 1
    table[:, 9] = picks.scores
    table[:, 19] = 1
    table[:, 21 if picks.kind == "particles" else 20] = picks.labels
    if picks.normals is not None:
        table[:, 6:8], table[:, 8] = dynamo(picks.normals), turns(len(picks))
    table[:, 23:26] = picks.positions[:, ::-1] + 1
    with AtomicFile(path) as new, io.TextIOWrapper(new.stream(), "utf-8", newline="") as file:
        for row in table:
            file.write(" ".join(f"{value:.6g}" if value < 1e4 else f"{value:.2f}" for value in row) + "\n")


_WRITERS: Final[Mapping[str, Callable[[Picks, Path, Frame], None]]] = {
    ".csv": write_csv,
    ".star": write_star,
    ".tbl": write_dynamo,
}
ENDINGS: Final = tuple(_WRITERS)


def write_picks(picks: Picks, path: Path, frame: Frame) -> None:
    """Write picks in the format that the name's ending says: ``.csv``, ``.star`` or ``.tbl``.

    Raises
    ------
    InvalidRequestError
        It is none of them.
    """
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise InvalidRequestError(
            f"'{path.name}' has no ending that says what to write.",
            hint=f"Picks go to {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} files.",
        )
    writer(picks, path, frame)


def _word(name: str) -> str:
    """Return a name without blanks, which would end a column of a STAR file."""
    return "_".join(name.split()) or "tomogram"
