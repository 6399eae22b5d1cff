"""IMOD models (``.mod``), in its binary format, version 1.2: of picks, and of contours.

The format is described at https://bio3d.colorado.edu/imod/doc/binspec.html. Numbers are big-endian. In x and y the
centre of the first pixel is 0.5, in z that of the first section is 0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from cryomamba.atomic import AtomicFile
from cryomamba.errors import InvalidRequestError
from cryomamba.picks.checks import require_finite
from cryomamba.picks.picks import Floats, Picks, empty_picks
from cryomamba.picks.tomogram_info import TomogramInfo

_ID: Final = b"IMODV1.2"
_MODEL: Final = struct.Struct(">128s 4i I 4i 3f 3f 5i f 2i 3f")
_OBJECT: Final = struct.Struct(">64s 16I i I 2i 3f i 8B 2i")
_CONTOUR: Final = struct.Struct(">i I 2i")
_MESH: Final = struct.Struct(">2i I 2h")
_MINX: Final = struct.Struct(">18f")
_NANOMETRES: Final = -9
_Z_FROM_HALF: Final = 1 << 10
_IMAGE_ORIGIN: Final = 1 << 14
_OPEN, _SCATTERED = 1 << 3, 1 << 9
_FLAGS: Final = {"closed": 0, "open": _OPEN, "scattered": _SCATTERED}
_NAME_NBYTES: Final = 63
_COLORS: Final = ((0.34, 0.71, 0.91), (0.9, 0.62, 0.0), (0.0, 0.62, 0.45), (0.8, 0.47, 0.65), (0.94, 0.89, 0.26))
# A centre in the model, relative to the index of its voxel, along z, y, x.
_CENTRE: Final = np.array([0.0, 0.5, 0.5])
_EDGE: Final = 0.5

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Contour:
    object_number: int
    is_open: bool
    points: Points


@dataclass(frozen=True, slots=True)
class ModelObject:
    """An object of an IMOD model.

    Attributes
    ----------
    name : str
    kind : {'scattered', 'open', 'closed'}
    contours : sequence of ndarray, each (n, 3)
        z, y, x in voxels; the centre of the first voxel is 0.0.
    """

    name: str
    kind: Literal["scattered", "open", "closed"]
    contours: Sequence[Points]


def write_imod(picks: Picks, path: Path, tomogram: TomogramInfo) -> None:
    """Write an IMOD model.

    Particles, and points on membranes, are objects of scattered points, one for each label. Filaments are open contours
    of one object. Scores and normals have no place in the format.
    """
    labels = np.unique(picks.labels)
    chosen = [picks.positions[picks.labels == label] for label in labels]
    if picks.kind == "filaments":
        objects = [ModelObject("filaments", "open", chosen)] if chosen else []
    else:
        objects = [
            ModelObject(f"label {label}", "scattered", [points]) for label, points in zip(labels, chosen, strict=True)
        ]
    write_model(path, tomogram, objects)


def write_model(path: Path, tomogram: TomogramInfo, objects: Sequence[ModelObject]) -> None:
    """Write an IMOD model with pixels of the tomogram, and its voxel size."""
    z, y, x = tomogram.shape
    size_nm = [size / 10 for size in tomogram.voxel_size_A]
    header = (b"CryoMamba", x, y, z, len(objects), _Z_FROM_HALF | 0xF000, 1, 1, 0, 255, 0, 0, 0)
    scale = (1.0, 1.0, size_nm[0] / size_nm[2], 0, -1, -1, 3, 0)
    with AtomicFile(path) as new, new.stream() as file:
        file.write(_ID + _MODEL.pack(*header, *scale, size_nm[2], _NANOMETRES, 0, 0, 0, 0))
        for number, one in enumerate(objects):
            name = one.name.encode("ascii", "replace")[:_NAME_NBYTES]
            color = _COLORS[number % len(_COLORS)]
            symbol = (1, 3, 1, 1, 0, 0, 0, 0)
            flags = _FLAGS[one.kind]
            count = len(one.contours)
            file.write(b"OBJT" + _OBJECT.pack(name, *[0] * 16, count, flags, 0, 1, *color, 3, *symbol, 0, 0))
            for points in one.contours:
                file.write(b"CONT" + _CONTOUR.pack(len(points), 0, 0, 0))
                file.write((points + _CENTRE)[:, ::-1].astype(">f4").tobytes())
        file.write(b"IEOF")


def read_imod(path: Path, tomogram: TomogramInfo) -> Picks:
    """Read the points of all objects of an IMOD model.

    If every object has open contours, each contour is a filament; otherwise each object is a label. A model that was
    drawn on a tomogram of another voxel size, or on a part of it, is placed by what it says of that.

    Raises
    ------
    InvalidRequestError
        The file is no binary IMOD model, is incomplete, or has coordinates that are not finite.
    """
    content = path.read_bytes()
    if not content.startswith(_ID[:4]):
        raise InvalidRequestError(
            f"'{path.name}' is not a binary IMOD model.", hint="Open it in 3dmod and save it there."
        )
    try:
        contours, place = _parse(content)
    except struct.error:
        raise InvalidRequestError(
            f"'{path.name}' ends too early: the model is incomplete.", hint="Copy the file again."
        ) from None
    filled = [contour for contour in contours if len(contour.points)]
    if not filled:
        return empty_picks()
    filaments = all(contour.is_open for contour in filled)
    numbers = [at if filaments else contour.object_number for at, contour in enumerate(filled, 1)]
    positions = np.concatenate([contour.points for contour in filled])
    labels = np.repeat(np.array(numbers, np.int64), [len(contour.points) for contour in filled])
    voxels = place.voxels(positions, tomogram)
    require_finite(voxels, path)
    return Picks(voxels, np.full(len(labels), np.nan), labels, "filaments" if filaments else "particles")


@dataclass(frozen=True, slots=True)
class _Place:
    """How a model relates to the image on which it was drawn: pixel size in Å and shift in pixels, along z, y, x."""

    pixel_A: Points | None = None
    shift: Points | None = None

    def voxels(self, points: Points, tomogram: TomogramInfo) -> Floats:
        found = points - _CENTRE
        if self.shift is not None:
            found = found + self.shift
        if self.pixel_A is not None:
            # Edges of the volume coincide, not the centres of the first voxels.
            found = (found + _EDGE) * (self.pixel_A / tomogram.voxel_size_A) - _EDGE
        return np.asarray(found, np.float64)


def _parse(content: bytes) -> tuple[list[_Contour], _Place]:
    flags = _MODEL.unpack_from(content, len(_ID))[5]
    contours: list[_Contour] = []
    place = _Place()
    number, is_open = 0, False
    for kind, at in _chunks(content, len(_ID) + _MODEL.size):
        if kind == b"OBJT":
            number += 1
            object_flags = _OBJECT.unpack_from(content, at)[18]
            is_open = bool(object_flags & _OPEN) and not object_flags & _SCATTERED
        elif kind == b"CONT":
            count = _count(_CONTOUR.unpack_from(content, at)[0])
            begin = at + _CONTOUR.size
            if len(content) < begin + 12 * count:
                raise struct.error
            values = np.frombuffer(content, ">f4", 3 * count, begin)
            with np.errstate(invalid="ignore"):  # of values that are not numbers; they are refused later
                points = values.reshape(-1, 3)[:, ::-1].astype(np.float64)
            contours.append(_Contour(number, is_open, points))
        elif kind == b"MINX":
            place = _placed(_MINX.unpack_from(content, at + 4), flags)
    return contours, place


def _placed(values: tuple[float, ...], flags: int) -> _Place:
    origin, scale, start = (np.array(values[at : at + 3])[::-1] for at in (3, 9, 12))
    if not (scale > 0).all() or np.allclose(scale, 1):
        return _Place()
    return _Place(scale, (origin - start) / scale if flags & _IMAGE_ORIGIN else None)


def _chunks(content: bytes, at: int) -> Iterator[tuple[bytes, int]]:
    """Yield the kind of each chunk and where its data begin."""
    while True:
        kind, at = content[at : at + 4], at + 4
        if kind == b"IEOF":
            return
        yield kind, at
        if kind == b"OBJT":
            at += _OBJECT.size
        elif kind == b"CONT":
            at += _CONTOUR.size + 12 * _count(_CONTOUR.unpack_from(content, at)[0])
        elif kind == b"MESH":
            vertices, indices, *_ = _MESH.unpack_from(content, at)
            at += _MESH.size + 12 * _count(vertices) + 4 * _count(indices)
        else:
            at += 4 + _count(struct.unpack_from(">i", content, at)[0])


def _count(number: int) -> int:
    """Return a count, which in a damaged file may be below 0 and lead back to the beginning."""
    if number < 0:
        raise struct.error
    return number
