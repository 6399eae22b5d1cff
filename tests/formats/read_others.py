"""Print what the libraries of other programs find in a file, as JSON: ``read_others.py LIBRARY PATH``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def amira(path: str) -> dict[str, Any]:
    """ahds: header, materials and labels."""
    # Its name until NumPy 2, which ahds still uses.
    setattr(np, "string_", np.bytes_)  # noqa: B010
    from ahds import AmiraFile

    file = AmiraFile(path, load_streams=True)
    parameters = file.header.Parameters
    return {
        "lattice": [int(side) for side in file.header.Lattice.length],
        "box": [float(end) for end in parameters.BoundingBox],
        "coordinates": str(parameters.CoordType),
        "materials": {one.name: int(one.Id) for one in parameters.Materials},
        "labels": file.data_streams.Labels.data.tolist(),
    }


def imod(path: str) -> dict[str, Any]:
    """imodmodel: names and flags of objects, and their contours."""
    from imodmodel import ImodModel

    model = ImodModel.from_file(path)
    return {
        "pixel_nm": model.header.pixelsize,
        "size": [model.header.xmax, model.header.ymax, model.header.zmax],
        "objects": [
            {
                "name": str(one.header.name),
                "open": bool(one.header.flags.open),
                "scattered": bool(one.header.flags.scattered),
                "contours": [np.asarray(contour.points).tolist() for contour in one.contours],
            }
            for one in model.objects
        ],
    }


def mesh(path: str) -> dict[str, Any]:
    """meshio: points and triangles."""
    import meshio

    found = meshio.read(path)
    return {
        "points": found.points.tolist(),
        "triangles": found.cells_dict["triangle"].tolist() if "triangle" in found.cells_dict else [],
        "quads": found.cells_dict["quad"].tolist() if "quad" in found.cells_dict else [],
    }


def star(path: str, spacing: str, *centre: str) -> dict[str, Any]:
    """copick's reader of RELION's STAR files: positions in Å, z axes and filament numbers."""
    from copick.util.handlers.picks.star import STARPicksHandler

    middle = tuple(map(float, centre)) or None
    positions, transforms, _, numbers = STARPicksHandler().read(path, float(spacing), tomogram_center=middle)
    return {
        "positions": positions.tolist(),
        "z_axes": transforms[:, :3, 2].tolist(),
        "ids": None if numbers is None else numbers.tolist(),
    }


def dynamo(path: str) -> dict[str, Any]:
    """dynamotable: the columns that have values."""
    import dynamotable

    table = dynamotable.read(path)
    return {name: table[name].tolist() for name in ("x", "y", "z", "cc", "class", "reg", "tdrot", "tilt")}


READERS: dict[str, Callable[..., dict[str, Any]]] = {
    "amira": amira,
    "imod": imod,
    "mesh": mesh,
    "star": star,
    "dynamo": dynamo,
}

if __name__ == "__main__":
    json.dump(READERS[sys.argv[1]](*sys.argv[2:]), sys.stdout)
