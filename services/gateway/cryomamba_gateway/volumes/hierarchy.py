"""The Zarr hierarchy of one or more images: its metadata documents, and which chunk a key names. Pure.

OME-Zarr 0.5 is Zarr version 3, OME-Zarr 0.4 is Zarr version 2. Readers look for the documents of both versions to find
out which one they have, so each version is a hierarchy of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from cryomamba.volumes.grid import Triple
from cryomamba.volumes.multiscale import AXES, Level, multiscale_metadata
from cryomamba_gateway.png import palette

Version = Literal["0.5", "0.4"]
Index = tuple[int, int, int]
Document = dict[str, Any]

LABELS: Final = "labels"
# Half a mebivoxel, flat because most viewers look along z; so that a section of 1024² needs 64 chunks.
CHUNK: Final = (32, 128, 128)
GZIP_LEVEL: Final = 1
_COLOURS: Final = 32
_CHUNK_KEYS: Final = {
    "0.5": re.compile(r"(?:(.+)/)?(\d{1,2})/c/(\d{1,7})/(\d{1,7})/(\d{1,7})", re.ASCII),
    "0.4": re.compile(r"(?:(.+)/)?(\d{1,2})/(\d{1,7})/(\d{1,7})/(\d{1,7})", re.ASCII),
}


@dataclass(frozen=True, slots=True)
class Image:
    """A multiscale image.

    Attributes
    ----------
    name : str
        For people.
    levels : tuple of Level
    dtype : numpy.dtype
        Little-endian.
    voxel_size_A, placement_A : tuple of float
        Along z, y, x; `placement_A` is the centre of voxel (0, 0, 0).
    labels : bool
        Whether its voxels are labels.
    """

    name: str
    levels: tuple[Level, ...]
    dtype: np.dtype[Any]
    voxel_size_A: Triple
    placement_A: Triple
    labels: bool

    @property
    def compressed(self) -> bool:
        """Whether its chunks are compressed. Masks shrink a hundredfold; the noise of a tomogram hardly does."""
        return self.labels


class ChunkAddress(NamedTuple):
    """A chunk: path of its image in the hierarchy, number of the level, position in the grid of chunks."""

    path: str
    level: int
    position: Index


def chunk_shape(level: Level) -> Index:
    """Return the shape of the chunks of a level; those at its ends are padded with zeros to the same shape."""
    z, y, x = (min(side, most) for side, most in zip(level.shape, CHUNK, strict=True))
    return z, y, x


def chunk_address(key: str, images: Mapping[str, Image], version: Version) -> ChunkAddress | None:
    """Return the chunk that a key names; None if the hierarchy has no such chunk.

    Parameters
    ----------
    key : str
        Such as ``labels/mask/1/c/0/2/3`` (0.5) or ``labels/mask/1/0/2/3`` (0.4).
    images : mapping of str to Image
        By path in the hierarchy; that of an image at its root is empty.
    """
    found = _CHUNK_KEYS[version].fullmatch(key)
    if found is None or (found[1] or "") not in images:
        return None
    levels = images[found[1] or ""].levels
    number = int(found[2])
    if number >= len(levels):
        return None
    z, y, x = (int(part) for part in found.groups()[2:])
    level = levels[number]
    inside = all(n * side < full for n, side, full in zip((z, y, x), chunk_shape(level), level.shape, strict=True))
    return ChunkAddress(found[1] or "", number, (z, y, x)) if inside else None


def documents(images: Mapping[str, Image], version: Version) -> dict[str, Document]:
    """Return the metadata documents of a hierarchy by their keys.

    The root has all of them once more (consolidated metadata), so that a reader needs one request and can list what
    there is, which HTTP cannot.
    """
    return _documents_v3(images) if version == "0.5" else _documents_v2(images)


def _documents_v3(images: Mapping[str, Image]) -> dict[str, Document]:
    nodes = {"": _group_v3({})}
    for path, image in images.items():
        nodes[path] = _group_v3(_attributes(image, "0.5", has_source="" in images))
        for number, level in enumerate(image.levels):
            nodes[_join(path, str(number))] = _array_v3(image, level)
    if labels := _label_names(images):
        nodes[LABELS] = _group_v3({LABELS: labels})
    inside = {path: node for path, node in nodes.items() if path}
    nodes[""] = nodes[""] | {"consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": inside}}
    return {_join(path, "zarr.json"): node for path, node in nodes.items()}


def _group_v3(attributes: Document) -> Document:
    return {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", **attributes}}}


def _array_v3(image: Image, level: Level) -> Document:
    endian = {"configuration": {"endian": "little"}} if image.dtype.itemsize > 1 else {}
    codecs: list[Document] = [{"name": "bytes", **endian}]
    if image.compressed:
        codecs.append({"name": "gzip", "configuration": {"level": GZIP_LEVEL}})
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(level.shape),
        "data_type": image.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk_shape(level))}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": codecs,
        "attributes": {},
        "dimension_names": list(AXES),
    }


def _documents_v2(images: Mapping[str, Image]) -> dict[str, Document]:
    found: dict[str, Document] = {".zgroup": {"zarr_format": 2}, ".zattrs": {}}
    for path, image in images.items():
        found[_join(path, ".zgroup")] = {"zarr_format": 2}
        found[_join(path, ".zattrs")] = _attributes(image, "0.4", has_source="" in images)
        for number, level in enumerate(image.levels):
            found[_join(path, f"{number}/.zarray")] = _array_v2(image, level)
            found[_join(path, f"{number}/.zattrs")] = {"_ARRAY_DIMENSIONS": list(AXES)}
    if labels := _label_names(images):
        found[f"{LABELS}/.zgroup"] = {"zarr_format": 2}
        found[f"{LABELS}/.zattrs"] = {LABELS: labels}
    return found | {".zmetadata": {"zarr_consolidated_format": 1, "metadata": found}}


def _array_v2(image: Image, level: Level) -> Document:
    return {
        "zarr_format": 2,
        "shape": list(level.shape),
        "chunks": list(chunk_shape(level)),
        "dtype": image.dtype.str,
        "compressor": {"id": "gzip", "level": GZIP_LEVEL} if image.compressed else None,
        "fill_value": 0,
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }


def _attributes(image: Image, version: Version, *, has_source: bool) -> Document:
    """Return the metadata of an image; version 0.4 repeats its number in each part."""
    own: Document = {"version": version} if version == "0.4" else {}
    scales = multiscale_metadata(image.name, image.levels, image.voxel_size_A, image.placement_A, labels=image.labels)
    found: Document = {"multiscales": [own | scales]}
    if image.labels:
        source = {"source": {"image": "../../"}} if has_source else {}
        found["image-label"] = {**own, "colors": _colours(), **source}
    return found


def _colours() -> list[Document]:
    """Return the colours of the first labels, the same as in previews; other labels have those of the viewer."""
    rgb = palette()
    return [{"label-value": n, "rgba": [*rgb[3 * n : 3 * n + 3], 255]} for n in range(1, _COLOURS + 1)]


def _label_names(images: Iterable[str]) -> Sequence[str]:
    return [path.removeprefix(f"{LABELS}/") for path in images if path.startswith(f"{LABELS}/")]


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
