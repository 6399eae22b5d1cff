"""Meshes as files: STL, OBJ, PLY and binary glTF, written part by part."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba.atomic import AtomicFile
from cryomamba.errors import InvalidRequestError
from cryomamba.masks.mesh import Indices, MeshPart, Points
from cryomamba.volumes.header_encoder import own_label

ANGSTROM: Final = "angstrom"
NANOMETRE: Final = "nm"
MESH_UNITS: Final = {ANGSTROM: 1.0, NANOMETRE: 0.1}
"""Length of an ångström in each unit."""
_TRIANGLE: Final = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_FACE: Final = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
_UINT32_MAX: Final = 0xFFFFFFFF
# Numbers of glTF for float and unsigned int, and for arrays of vertices and of indices.
_FLOAT, _UNSIGNED, _VERTICES, _ELEMENTS = 5126, 5125, 34962, 34963


def write_stl(parts: Iterator[MeshPart], path: Path, *, unit: str = ANGSTROM) -> None:
    """Write a mesh as binary STL; its header names the unit.

    Raises
    ------
    InvalidRequestError
        The mesh is empty.
    """
    with AtomicFile(path) as new, new.stream() as stream:
        head = _comment(unit).encode()[:80].ljust(80)
        stream.write(head + bytes(4))
        count, before = 0, np.empty((0, 3), np.float32)
        for part in _scaled(parts, unit):
            known = np.concatenate([before, part.points])
            corners = known[part.quads - (part.first - len(before))]
            triangles = np.zeros(2 * len(corners), _TRIANGLE)
            triangles["corners"][0::2], triangles["corners"][1::2] = corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]
            triangles["normal"] = _normals(triangles["corners"])
            stream.write(triangles.tobytes())
            count, before = count + triangles.size, part.points
        _require_some(count)
        stream.seek(80)
        stream.write(count.to_bytes(4, "little"))


def write_obj(parts: Iterator[MeshPart], path: Path, *, unit: str = ANGSTROM) -> None:
    """Write a mesh as Wavefront OBJ with quads; a comment names the unit.

    Raises
    ------
    InvalidRequestError
        The mesh is empty.
    """
    form = "v %.2f %.2f %.2f\n" if unit == ANGSTROM else "v %.3f %.3f %.3f\n"
    with AtomicFile(path) as new, new.stream() as stream:
        stream.write(f"# {_comment(unit)}\n".encode())
        count = 0
        for part in _scaled(parts, unit):
            _rows(stream, form, part.points)
            _rows(stream, "f %d %d %d %d\n", part.quads + 1)
            count += len(part.quads)
        _require_some(count)


def write_ply(parts: Iterator[MeshPart], path: Path, *, unit: str = ANGSTROM) -> None:
    """Write a mesh as binary PLY with triangles; a comment names the unit.

    Raises
    ------
    InvalidRequestError
        The mesh is empty.
    """
    with AtomicFile(path) as new, new.stream() as stream, tempfile.TemporaryFile(dir=path.parent) as later:
        stream.write(_ply_header(0, 0, unit))
        vertices = faces = 0
        for part in _scaled(parts, unit):
            stream.write(part.points.astype("<f4").tobytes())
            table = np.zeros(2 * len(part.quads), _FACE)
            table["count"], table["corners"] = 3, _triangles(part.quads)
            later.write(table.tobytes())
            vertices, faces = vertices + len(part.points), faces + len(table)
        _require_some(faces)
        _append(later, stream)
        stream.seek(0)
        stream.write(_ply_header(vertices, faces, unit))


def write_glb(parts: Iterator[MeshPart], path: Path, *, unit: str = ANGSTROM) -> None:
    """Write a mesh as binary glTF 2.0 (``.glb``) with triangles; the asset's ``extras`` name the unit.

    A length of 1 in glTF is a metre for programs that respect that: the numbers are those of the other formats.

    Raises
    ------
    InvalidRequestError
        The mesh is empty, or has more than 4 GiB.
    """
    with (
        AtomicFile(path) as new,
        new.stream() as stream,
        tempfile.TemporaryFile(dir=path.parent) as points,
        tempfile.TemporaryFile(dir=path.parent) as indices,
    ):
        vertices = faces = 0
        low, high = np.full(3, np.inf, np.float32), np.full(3, -np.inf, np.float32)
        for part in _scaled(parts, unit):
            points.write(part.points.astype("<f4").tobytes())
            triangles = _triangles(part.quads)
            indices.write(triangles.astype("<u4").tobytes())
            vertices, faces = vertices + len(part.points), faces + len(triangles)
            if len(part.points):
                low, high = np.minimum(low, part.points.min(axis=0)), np.maximum(high, part.points.max(axis=0))
        _require_some(faces)
        nbytes = 12 * vertices + 12 * faces
        description = json.dumps(_gltf(vertices, faces, low.tolist(), high.tolist(), unit)).encode()
        description = description.ljust(-(-len(description) // 4) * 4)
        total = 12 + 8 + len(description) + 8 + nbytes
        if total > _UINT32_MAX:
            raise InvalidRequestError("The mesh is larger than the 4 GiB of glTF.", hint="Write .ply or .stl instead.")
        stream.write(b"glTF" + _words(2, total) + _words(len(description)) + b"JSON" + description)
        stream.write(_words(nbytes) + b"BIN\0")
        _append(points, stream)
        _append(indices, stream)


def _gltf(vertices: int, faces: int, low: list[float], high: list[float], unit: str) -> dict[str, Any]:
    return {
        "asset": {"version": "2.0", "generator": own_label("mesh"), "extras": {"unit": unit}},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": _FLOAT, "count": vertices, "type": "VEC3", "min": low, "max": high},
            {"bufferView": 1, "componentType": _UNSIGNED, "count": 3 * faces, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 12 * vertices, "target": _VERTICES},
            {"buffer": 0, "byteOffset": 12 * vertices, "byteLength": 12 * faces, "target": _ELEMENTS},
        ],
        "buffers": [{"byteLength": 12 * vertices + 12 * faces}],
    }


def _ply_header(vertices: int, faces: int, unit: str) -> bytes:
    # The numbers have a fixed width, because they are known only at the end.
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment {_comment(unit)}",
        f"element vertex {vertices:010d}",
        *(f"property float {axis}" for axis in "xyz"),
        f"element face {faces:010d}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    return "\n".join(lines).encode()


def _comment(unit: str) -> str:
    return own_label(f"mesh in {unit}")


def _scaled(parts: Iterable[MeshPart], unit: str) -> Iterator[MeshPart]:
    factor = np.float32(MESH_UNITS[unit])
    for part in parts:
        yield part if unit == ANGSTROM else MeshPart(part.first, part.points * factor, part.quads)


def _triangles(quads: Indices) -> Indices:
    triangles = np.empty((2 * len(quads), 3), np.int64)
    triangles[0::2], triangles[1::2] = quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]
    return triangles


def _words(*numbers: int) -> bytes:
    return np.array(numbers, "<u4").tobytes()


def _append(source: IO[bytes], target: IO[bytes]) -> None:
    source.seek(0)
    shutil.copyfileobj(source, target, 1 << 20)


def _rows(stream: IO[bytes], form: str, table: npt.NDArray[np.generic]) -> None:
    for rows in np.array_split(table, len(table) // 65536 + 1):
        stream.write((form * len(rows) % tuple(rows.reshape(-1).tolist())).encode())


def _require_some(count: int) -> None:
    if not count:
        raise InvalidRequestError(
            "The mask is empty, so it has no surface.", hint="Choose another label; 'cryomamba measure' lists them."
        )


def _normals(corners: Points) -> Points:
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(across, axis=1, keepdims=True)
    normals: Points = np.divide(across, length, out=np.zeros_like(across), where=length > 0)
    return normals
