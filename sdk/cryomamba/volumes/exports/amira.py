"""AmiraMesh label fields (``.am``), for Amira and Avizo, and programs that read their files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from cryomamba.atomic import AtomicFile
from cryomamba.errors import InvalidRequestError
from cryomamba.volumes.exports.slabs import Progress, content_of, slabs, stored_dtype
from cryomamba.volumes.header_encoder import own_label
from cryomamba.volumes.label_names import names_in
from cryomamba.volumes.labels import LabelVolume
from cryomamba.volumes.mrc import Volume

_TYPES: Final = {"u1": "byte", "u2": "ushort", "i2": "short", "f4": "float", "i1": "short"}
# Amira lists each material; a mask of numbered instances has its labels without names beyond this one.
_MATERIALS_MAX: Final = 255
_COLORS: Final = (
    (0.34, 0.71, 0.91),
    (0.9, 0.62, 0.0),
    (0.0, 0.62, 0.45),
    (0.8, 0.47, 0.65),
    (0.94, 0.89, 0.26),
    (0.0, 0.45, 0.7),
    (0.84, 0.37, 0.0),
)


def write_amira(
    volume: Volume | LabelVolume,
    path: str | os.PathLike[str],
    *,
    labels: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write a volume as AmiraMesh 3D, binary, little-endian, with uniform coordinates.

    Masks are label fields, with a material for each label up to 255. Lengths are ångström: the bounding box goes from
    the centre of the first voxel to that of the last, as in Amira. Memory is bounded by one slab. The same volume gives
    the same bytes.

    Parameters
    ----------
    volume : Volume or LabelVolume
        Open.
    path : path-like
        ``.am``.
    labels : bool
        Write a label field.
    progress : callable, optional
        Called with the fraction written; an exception from it discards the file.

    Raises
    ------
    InvalidRequestError
        An axis has one voxel only: the format has no voxel size for it.
    """
    volume = content_of(volume, labels=labels)
    if min(volume.shape) < 2:
        raise InvalidRequestError(
            "An AmiraMesh file needs at least two voxels along each axis.", hint="Use .nrrd or .tif for a single plane."
        )
    dtype = stored_dtype(volume)
    dtype = np.dtype("<i2") if dtype == np.dtype(np.int8) else dtype
    with AtomicFile(Path(path)) as new, new.stream() as output:
        output.write(_header(volume, dtype, labels=labels).encode("ascii"))
        for slab in slabs(volume, dtype, progress):
            output.write(slab.data)
        output.write(b"\n")


def _header(volume: Volume | LabelVolume, dtype: np.dtype[np.generic], *, labels: bool) -> str:
    sides = volume.shape[::-1]
    kind = _TYPES[dtype.str[1:]]
    box = " ".join(
        f"{start!r} {start + (side - 1) * size!r}"
        for start, side, size in zip(
            map(float, volume.header.placement_A[::-1]), sides, map(float, volume.voxel_size_A[::-1]), strict=True
        )
    )
    size = "x".join(map(str, sides))
    text = own_label(volume.meta.name).encode("ascii", "replace").decode().replace('"', "'")
    parameters = [
        *(_materials(volume) if isinstance(volume, LabelVolume) else []),
        f'    Description "{text}, lengths in angstrom",',
        f'    Content "{size} {kind}, uniform coordinates",',
        f"    BoundingBox {box},",
        '    CoordType "uniform"',
    ]
    return "\n".join(
        [
            "# AmiraMesh BINARY-LITTLE-ENDIAN 2.1",
            "",
            "",
            f"define Lattice {' '.join(map(str, sides))}",
            "",
            "Parameters {",
            *parameters,
            "}",
            "",
            f"Lattice {{ {kind} {'Labels' if labels else 'Data'} }} @1",
            "",
            "# Data section follows",
            "@1\n",
        ]
    )


def _materials(mask: LabelVolume) -> list[str]:
    lines = ["    Materials {", *_material("Exterior", 0, (0, 0, 0))]
    names = _unique(names_in(mask.meta.labels), min(mask.highest, _MATERIALS_MAX))
    for label, name in names.items():
        lines[-1] += ","
        lines += _material(name, label, _COLORS[(label - 1) % len(_COLORS)])
    return [*lines, "    }"]


def _unique(names: Mapping[int, str], highest: int) -> dict[int, str]:
    """Return a name of letters, digits and underscores for each label."""
    found: dict[int, str] = {}
    for label in range(1, highest + 1):
        name = re.sub(r"[^A-Za-z0-9_]", "_", names.get(label, ""))
        name = name if name[:1].isalpha() and name not in {*found.values(), "Exterior"} else f"label_{label}"
        found[label] = name
    return found


def _material(name: str, number: int, color: tuple[float, float, float]) -> list[str]:
    return [
        f"        {name} {{",
        f"            Id {number},",
        f"            Color {' '.join(f'{part:g}' for part in color)}",
        "        }",
    ]
