"""Writing into a copick project: tomograms, segmentations and picks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba.atomic import write_atomically
from cryomamba.copick.entries import INSTANCES, PICKS, SEGMENTATIONS, SPACING
from cryomamba.copick.names import Annotation, copick_name, run_name
from cryomamba.copick.project import Project
from cryomamba.errors import ConflictError, InvalidRequestError
from cryomamba.geometry import Spacing
from cryomamba.picks import Picks, TomogramInfo
from cryomamba.picks.angles import particle_angles, relion_rotations
from cryomamba.volumes import LabelVolume, Volume
from cryomamba.volumes.exports import write_ome_zarr
from cryomamba.volumes.exports.slabs import Progress

_CUBE_TOLERANCE: Final = 1e-3
_HERE: Final = (0.0, 0.0, 0.0)
# As copick writes them.
_TOMOGRAM_LEVELS: Final = 3
_SEGMENTATION_LEVELS: Final = 1
_NO_SCORE: Final = 1.0


def add_tomogram(
    project: Project,
    run: str,
    tomogram: Volume,
    tomogram_type: str,
    *,
    replace: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Add a tomogram as OME-Zarr 0.4 with three levels; its position is left out, as in all of copick.

    Parameters
    ----------
    project : Project
    run : str
    tomogram : Volume
        Open.
    tomogram_type : str
        Such as ``wbp`` or ``denoised``.
    replace : bool
        Whether a tomogram of the same run, type and voxel size is replaced.
    progress : callable, optional
        Called with the fraction written; an exception from it discards the image.

    Returns
    -------
    Path
        The new folder.

    Raises
    ------
    ConflictError
        It is there, and `replace` is not set.
    InvalidRequestError
        Its voxels are not cubes, a name is empty, or ``engine_unavailable``: zarr is not installed.
    """
    size = cubic_voxel_size(tomogram.voxel_size_A)
    folder = project.run_folder(run_name(run)) / f"{SPACING}{size:.3f}"
    path = folder / f"{copick_name(tomogram_type)}.zarr"
    _require_free(path, replace=replace)
    folder.mkdir(parents=True, exist_ok=True)
    write_ome_zarr(tomogram, path, version="0.4", placement_A=_HERE, levels=_TOMOGRAM_LEVELS, progress=progress)
    return path


def add_segmentation(
    project: Project,
    run: str,
    mask: LabelVolume,
    annotation: Annotation,
    *,
    instances: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Add a mask as OME-Zarr 0.4, and its object to the configuration if it is not there.

    Parameters
    ----------
    project : Project
    run : str
    mask : LabelVolume
        Of one label, 1 (:meth:`~cryomamba.volumes.LabelVolume.only`), or with `instances` of instance numbers.
    annotation : Annotation
    instances : bool
        Whether labels are numbers of instances of the object: an instance segmentation of copick.
    replace : bool
        Whether a segmentation of the same object, user and session is replaced.
    progress : callable, optional
        Called with the fraction written; an exception from it discards the mask.

    Returns
    -------
    Path
        The new folder.

    Raises
    ------
    ConflictError
        It is there, and `replace` is not set.
    InvalidRequestError
        Its voxels are not cubes, or ``engine_unavailable``: zarr is not installed.
    """
    size = cubic_voxel_size(mask.voxel_size_A)
    folder = project.run_folder(run_name(run)) / (INSTANCES if instances else SEGMENTATIONS)
    path = folder / f"{size:.3f}_{annotation.user}_{annotation.session}_{annotation.name}.zarr"
    _require_free(path, replace=replace)
    project.add_object(annotation.name, is_particle=False)
    folder.mkdir(parents=True, exist_ok=True)
    write_ome_zarr(
        mask, path, labels=True, version="0.4", placement_A=_HERE, levels=_SEGMENTATION_LEVELS, progress=progress
    )
    return path


def add_picks(
    project: Project, run: str, picks: Picks, annotation: Annotation, tomogram: TomogramInfo, *, replace: bool = False
) -> Path:
    """Add picks, and their object to the configuration if it is not there.

    Positions are Å from the centre of the first voxel, as copick multiplies indices with the voxel size. Points of
    filaments and membranes have their number as ``instance_id``, and the z axis of their transformation along the
    filament or the normal. Scores are kept; points without one have 1, copick's default.

    Raises
    ------
    ConflictError
        There are picks of the same object, user and session, and `replace` is not set.
    InvalidRequestError
        The object is in the configuration without positions.
    """
    folder = project.run_folder(run_name(run)) / PICKS
    path = folder / f"{annotation.user}_{annotation.session}_{annotation.name}.json"
    _require_free(path, replace=replace)
    project.add_object(annotation.name, is_particle=True, is_filament=picks.kind == "filaments")
    folder.mkdir(parents=True, exist_ok=True)
    axes = _axes(picks, tomogram)
    content = {
        "pickable_object_name": annotation.name,
        "user_id": annotation.user,
        "session_id": annotation.session,
        "run_name": run_name(run),
        "voxel_spacing": round(float(tomogram.voxel_size_A[2]), 3),
        "unit": "angstrom",
        "points": _points(picks, tomogram, axes),
        "trust_orientation": axes is not None,
    }
    write_atomically(path, json.dumps(content, indent=1) + "\n")
    return path


def cubic_voxel_size(voxel_size_A: Spacing) -> float:
    """Return the side of a voxel in Å.

    Raises
    ------
    InvalidRequestError
        The sides differ by more than a thousandth, which copick cannot store.
    """
    if max(voxel_size_A) > min(voxel_size_A) * (1 + _CUBE_TOLERANCE):
        listed = " × ".join(f"{side:g}" for side in voxel_size_A)
        raise InvalidRequestError(
            f"The voxels are {listed} Å (z, y, x); copick has one voxel size for all axes.",
            hint="Resample the volume to cubic voxels first.",
        )
    return float(voxel_size_A[2])


def _points(picks: Picks, tomogram: TomogramInfo, axes: npt.NDArray[np.float64] | None) -> list[dict[str, Any]]:
    positions = (picks.positions * tomogram.voxel_size_A)[:, ::-1]
    scores = np.where(np.isfinite(picks.scores), picks.scores, _NO_SCORE)
    transforms = np.tile(np.eye(4), (len(picks), 1, 1))
    if axes is not None:
        transforms[:, :3, :3] = relion_rotations(particle_angles(axes))
    ids = np.zeros(len(picks), np.int64) if picks.kind == "particles" else picks.labels
    return [
        {
            "location": dict(zip("xyz", (round(float(at), 3) for at in position), strict=True)),
            "transformation_": np.round(transform, 6).tolist(),
            "instance_id": int(number),
            "score": float(score),
        }
        for position, transform, number, score in zip(positions, transforms, ids, scores, strict=True)
    ]


def _axes(picks: Picks, tomogram: TomogramInfo) -> npt.NDArray[np.float64] | None:
    """Return the normals of membranes, or the directions of filaments (n, 3; z, y, x); None for particles."""
    if picks.kind != "filaments" or not len(picks):
        return picks.normals
    places = picks.positions * tomogram.voxel_size_A
    axes = np.zeros_like(places)
    for number in np.unique(picks.labels):
        line = np.flatnonzero(picks.labels == number)
        if len(line) > 1:
            axes[line] = np.gradient(places[line], axis=0)
    lengths = np.linalg.norm(axes, axis=1, keepdims=True)
    along_z = np.tile([1.0, 0.0, 0.0], (len(axes), 1))
    directions: npt.NDArray[np.float64] = np.divide(axes, lengths, out=along_z, where=lengths > 0)
    return directions


def _require_free(path: Path, *, replace: bool) -> None:
    if path.exists() and not replace:
        raise ConflictError(
            f"'{path}' already exists.", hint="Choose another session (--object NAME:USER/SESSION), or use --force."
        )
