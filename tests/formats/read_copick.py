"""Print what copick itself finds in a project, as JSON; run by the Python of the environment that has copick."""

from __future__ import annotations

import json
import sys
from typing import Any

import copick
import numpy as np


def described(project: str) -> dict[str, Any]:
    """Return all objects, tomograms, segmentations and picks; arrays as sums and values of some voxels."""
    root = copick.from_file(project)
    runs: dict[str, Any] = {}
    for run in root.runs:
        tomograms = {
            f"{tomogram.tomo_type}@{spacing.voxel_size}": volume(tomogram.numpy())
            for spacing in run.voxel_spacings
            for tomogram in spacing.tomograms
        }
        segmentations = [
            {
                "name": one.name,
                "user": one.user_id,
                "session": one.session_id,
                "size": one.voxel_size,
                "instance": one.is_instance,
                "labels": one.numpy().tolist(),
            }
            for one in run.get_segmentations(is_multilabel=None, is_instance=None)
        ]
        picks = []
        for one in run.picks:
            positions, transforms = one.numpy()
            picks.append(
                {
                    "name": one.pickable_object_name,
                    "user": one.user_id,
                    "session": one.session_id,
                    "positions": positions.tolist(),
                    "z_axes": transforms[:, :3, 2].tolist(),
                    "ids": one.instance_ids().tolist(),
                    "scores": one.scores().tolist(),
                    "trust": one.trust_orientation,
                }
            )
        runs[run.name] = {"tomograms": tomograms, "segmentations": segmentations, "picks": picks}
    objects = {one.name: [one.is_particle, one.label, one.meta.is_filament] for one in root.pickable_objects}
    return {"objects": objects, "runs": runs}


def volume(array: np.ndarray) -> dict[str, Any]:
    """Return shape, type and content."""
    return {"shape": array.shape, "dtype": str(array.dtype), "values": array.tolist()}


if __name__ == "__main__":
    json.dump(described(sys.argv[1]), sys.stdout)
