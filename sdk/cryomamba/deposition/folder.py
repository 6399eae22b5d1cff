"""Annotations in the layout of the CryoET Data Portal.

``RUN/Reconstructions/VoxelSpacing10.000/Annotations/100/`` has an annotation: ``NAME-1.0.json`` with its metadata, and
the files that these list: ``…_segmentationmask.mrc`` and ``.zarr``, ``…_point.ndjson``, ``…_orientedpoint.ndjson`` or
``…_instancesegmentation.ndjson``.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from cryomamba._version import __version__
from cryomamba.atomic import write_atomically
from cryomamba.copick.names import run_name
from cryomamba.copick.write import cubic_voxel_size
from cryomamba.deposition.about import DepositedObject, DepositionAbout
from cryomamba.errors import ConflictError
from cryomamba.masks.slabs import LabelSource, Progress, write_labels
from cryomamba.picks import Picks, TomogramInfo
from cryomamba.picks.angles import particle_angles, relion_rotations
from cryomamba.volumes import LabelVolume
from cryomamba.volumes.exports import write_ome_zarr

_FIRST_NUMBER: Final = 100
_HERE: Final = (0.0, 0.0, 0.0)


class AnnotationFolder:
    """Writes annotations into a folder for a deposition.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    about : DepositionAbout

    Attributes
    ----------
    missing : list of str
        What the portal requires and is not there, in words.
    """

    def __init__(self, folder: Path, about: DepositionAbout) -> None:
        self._folder, self._about = folder, about
        self.missing = about.missing()

    def add_mask(
        self,
        run: str,
        mask: LabelVolume,
        name: str,
        *,
        method: str,
        replace: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """Add a mask of one label, 1, as MRC and OME-Zarr 0.4.

        Parameters
        ----------
        run : str
            Name of the tilt series in the portal.
        mask : LabelVolume
        name : str
            Of the object; a key of the ``objects`` of the TOML file.
        method : str
            How it was made, unless the TOML file says it.
        replace : bool
            Whether an annotation of that name is replaced.
        progress : callable, optional
            Called with the fraction of the OME-Zarr written; an exception from it ends the export.

        Returns
        -------
        Path
            The metadata.

        Raises
        ------
        ConflictError
            The annotation is there, and `replace` is not set.
        InvalidRequestError
            Its voxels are not cubes.
        """
        stem = self._begin(run, cubic_voxel_size(mask.voxel_size_A), name, replace=replace)
        mrc, zarr = (stem.with_name(f"{stem.name}_segmentationmask.{ending}") for ending in ("mrc", "zarr"))
        write_labels(LabelSource.of_volume(mask), mrc, mask.header, labels=1, engine=name)
        write_ome_zarr(mask, zarr, labels=True, version="0.4", placement_A=_HERE, progress=progress)
        files = [self._file(path, "SegmentationMask") for path in (mrc, zarr)]
        return self._describe(stem, name, files, method, count=None)

    def add_picks(
        self, run: str, picks: Picks, tomogram: TomogramInfo, name: str, *, method: str, replace: bool = False
    ) -> Path:
        """Add picks as NDJSON, a point per line, in voxels: x, y, z, the centre of the first voxel being 0.

        Points on membranes have a rotation whose z axis is the normal, those of filaments the number of their filament.

        Raises
        ------
        ConflictError
            The annotation is there, and `replace` is not set.
        InvalidRequestError
            The tomogram's voxels are not cubes.
        """
        stem = self._begin(run, cubic_voxel_size(tomogram.voxel_size_A), name, replace=replace)
        shape = "Point" if picks.normals is None else "OrientedPoint"
        shape = "InstanceSegmentation" if picks.kind == "filaments" else shape
        path = stem.with_name(f"{stem.name}_{shape.lower()}.ndjson")
        write_atomically(path, "".join(json.dumps(point) + "\n" for point in _points(picks, shape)))
        return self._describe(stem, name, [self._file(path, shape)], method, count=picks.objects)

    def _begin(self, run: str, size_A: float, name: str, *, replace: bool) -> Path:
        """Return the folder of an annotation and the beginning of its files' names."""
        plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "object"
        stem = f"{plain}-{self._about.version:.1f}"
        parent = self._folder / run_name(run) / "Reconstructions" / f"VoxelSpacing{size_A:.3f}" / "Annotations"
        numbers = {int(path.name): path for path in parent.glob("*") if path.name.isdigit()}
        there = next((path for path in numbers.values() if (path / f"{stem}.json").exists()), None)
        if there is not None and not replace:
            raise ConflictError(
                f"'{there / stem}.json' already exists.", hint="Choose another folder, or replace it with --force."
            )
        folder = there or parent / str(max([*numbers, _FIRST_NUMBER - 1]) + 1)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / stem

    def _file(self, path: Path, shape: str) -> dict[str, Any]:
        return {
            "format": path.suffix.removeprefix("."),
            "path": path.relative_to(self._folder).as_posix(),
            "shape": shape,
            "is_visualization_default": False,
        }

    def _describe(self, stem: Path, name: str, files: list[dict[str, Any]], method: str, count: int | None) -> Path:
        about = self._about
        known = about.objects.get(name, DepositedObject())
        if known.id is None:
            # A key of TOML with other characters is quoted.
            key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
            self.missing.append(f"objects.{key}.id, a term of GO (GO:0016020) or UniProtKB")
        metadata = {
            "annotation_object": {
                "id": known.id,
                "name": known.name or name,
                "description": known.description,
                "state": known.state,
            },
            "annotation_method": about.method or method,
            "annotation_software": f"CryoMamba {__version__}",
            "annotation_publications": about.publications,
            "method_type": about.method_type,
            "method_links": [link.model_dump(exclude_none=True) for link in about.links],
            "authors": [author.model_dump(exclude_none=True) for author in about.authors],
            "dates": {
                key: None if value is None else value.isoformat()
                for key, value in (
                    ("deposition_date", about.deposition_date),
                    ("release_date", about.release_date),
                    ("last_modified_date", about.last_modified_date),
                )
            },
            "ground_truth_status": about.ground_truth_status,
            "object_count": count,
            "version": about.version,
            "files": files,
            "deposition_id": about.deposition_id,
            "last_updated_at": time.time(),
        }
        path = stem.with_name(f"{stem.name}.json")
        # Fields without a value are left out, as the schema wants it for all that it requires.
        write_atomically(path, json.dumps(_without_none(metadata), indent=2) + "\n")
        return path


def _points(picks: Picks, shape: str) -> Iterator[dict[str, Any]]:
    kinds = {"Point": "point", "OrientedPoint": "orientedPoint", "InstanceSegmentation": "instancePoint"}
    rotations = None if picks.normals is None else relion_rotations(particle_angles(picks.normals))
    for number, place in enumerate(picks.positions):
        point: dict[str, Any] = {
            "type": kinds[shape],
            "location": dict(zip("xyz", (round(float(at), 4) for at in place[::-1]), strict=True)),
        }
        if rotations is not None:
            point["xyz_rotation_matrix"] = np.round(rotations[number], 6).tolist()
        if shape == "InstanceSegmentation":
            point["instance_id"] = int(picks.labels[number])
        yield point


def _without_none(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value
