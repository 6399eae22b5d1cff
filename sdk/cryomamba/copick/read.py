"""Reading picks of a copick project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cryomamba.errors import InvalidRequestError
from cryomamba.picks import Kind, Picks, TomogramInfo, empty_picks
from cryomamba.picks.checks import require_finite


def read_copick_picks(path: Path, tomogram: TomogramInfo, *, kind: Kind = "particles") -> Picks:
    """Read a file of copick picks.

    The shift in a point's transformation is added to its position. Instance numbers become labels where they are not 0;
    with the kind ``filaments`` each is a filament, with ``membranes`` the z axes are normals.

    Parameters
    ----------
    path : Path
    tomogram : TomogramInfo
        Its voxel size turns Å into voxels.
    kind : {'particles', 'filaments', 'membranes'}
        Meaning of the instance numbers, which copick's file does not have.

    Raises
    ------
    InvalidRequestError
        The file is not one of picks, or a coordinate is not a number.
    """
    try:
        points: list[dict[str, Any]] = json.loads(path.read_text("utf-8")).get("points") or []
        if not points:
            return empty_picks(kind)
        places = np.array([[float(point["location"][axis]) for axis in "zyx"] for point in points])
        transforms = np.array([point.get("transformation_") or np.eye(4) for point in points], np.float64)
        numbers = np.array([int(point.get("instance_id") or 0) for point in points], np.int64)
        scores = np.array([np.nan if point.get("score") is None else float(point["score"]) for point in points])
        if transforms.shape[1:] != (4, 4):
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise InvalidRequestError(
            f"'{path.name}' is not a file of copick picks.", hint="Check that it is complete; copick writes it as JSON."
        ) from None
    positions = (places + transforms[:, :3, 3][:, ::-1]) / tomogram.voxel_size_A
    require_finite(positions, path)
    order = np.argsort(numbers, kind="stable") if kind == "filaments" else np.arange(len(points))
    normals = transforms[:, :3, 2][:, ::-1] if kind == "membranes" else None
    return Picks(positions, scores, np.maximum(numbers, 1), kind, normals).select(order)
