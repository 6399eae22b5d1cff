"""OME-Zarr 0.4 and 0.5, in a folder or on a web server: chunks are read when they are needed."""

from __future__ import annotations

import importlib
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.geometry import Shape, Spacing
from cryomamba.optional_imports import import_optional
from cryomamba.printable import file_text
from cryomamba.volumes.images.image_volume import Block, ImageInfo, ImageVolume, damage_explained
from cryomamba.volumes.images.units import LENGTHS_A
from cryomamba.volumes.multiscale import LABELS_DESCRIPTION

CACHE_NBYTES: Final = 512 << 20
_AXES: Final = ("z", "y", "x")
CHUNK_NBYTES_MAX: Final = 2 << 30
"""What is decompressed at once, whatever the metadata say; usual chunks have at most some hundred MB."""


def open_ome_zarr(
    location: str | Path,
    *,
    headers: Mapping[str, str] | None = None,
    patience_s: float | None = None,
    cache_nbytes: int = CACHE_NBYTES,
) -> ImageVolume:
    """Open the full resolution of an OME-Zarr image.

    Parameters
    ----------
    location : str or Path
        An address, or a folder: the image, or one that holds a single image as Bio-Formats writes it.
    headers : mapping, optional
        For a web server.
    patience_s : float, optional
        For computing: for so long a web server is asked again, and a missing chunk is an error. Viewers ask once, and
        what is missing is 0.
    cache_nbytes : int
        Of the chunks that are kept.

    Raises
    ------
    VolumeError
        ``volume_not_found``, ``volume_unreadable`` or ``volume_unsupported``.
    UnavailableError
        The web server did not answer for `patience_s`.
    InvalidRequestError
        ``engine_unavailable``: zarr is not installed.
    """
    zarr = import_optional("zarr")
    name = _name_of(location)
    with ExitStack() as stack:
        store = os.fspath(location) if isinstance(location, Path) else _web_store(location, headers, patience_s)
        if not isinstance(store, str):
            stack.callback(store.close)
        with _explained(name):
            group = zarr.open_group(store, mode="r")
            if "bioformats2raw.layout" in _attributes(group) and "0" in group:
                group = group["0"]
            return _opened(group, name, location, stack, cache_nbytes)


def _explained(name: str) -> AbstractContextManager[None]:
    return damage_explained(
        name,
        "OME-Zarr",
        "Choose the folder, or give the address, that holds 'zarr.json' or '.zattrs' with 'multiscales', and check "
        "that it is complete.",
    )


def _opened(
    group: Any,  # noqa: ANN401
    name: str,
    location: str | Path,
    stack: ExitStack,
    cache_nbytes: int,
) -> ImageVolume:
    attributes = _attributes(group)
    if not attributes.get("multiscales"):
        raise VolumeError(
            f"{name} is Zarr, but not an OME-Zarr image.",
            code=ErrorCode.VOLUME_UNSUPPORTED,
            hint="Choose the folder whose metadata has 'multiscales'; an image may be in a folder within it.",
        )
    image = attributes["multiscales"][0]
    dataset = image["datasets"][0]
    array = group[dataset["path"]]
    axes = [axis["name"] if isinstance(axis, dict) else axis for axis in image.get("axes") or _AXES]
    places = _places_of_zyx(name, axes, array.shape)
    units = [axis.get("unit", "") if isinstance(axis, dict) else "" for axis in image.get("axes") or _AXES]
    steps = [*dataset.get("coordinateTransformations", []), *image.get("coordinateTransformations", [])]
    array = _bounded(array, name)
    voxels = ZarrVoxels(name, array, places, cache_nbytes=cache_nbytes)
    version = image.get("version") or attributes.get("version") or ""
    return ImageVolume(
        voxels,
        ImageInfo(
            name=name,
            format=f"OME-Zarr {version}".strip(),
            voxel_size_A=_scaled(steps, places, units),
            placement_A=_translated(steps, places, units),
            is_labels=array.dtype.kind in "iu" and _is_labels(attributes, image),
            size_bytes=0 if isinstance(location, str) else _size(location),
            block=voxels.chunk,
        ),
        stack.pop_all().close,
    )


class ZarrVoxels:
    """The three axes of an array that may have more of length 1; chunks that were read last are kept, up to a limit.

    Attributes
    ----------
    chunk : tuple of int
        What is decompressed together, in voxels along z, y, x.
    """

    def __init__(
        self,
        name: str,
        array: Any,  # noqa: ANN401
        places: tuple[int, int, int],
        *,
        cache_nbytes: int = CACHE_NBYTES,
    ) -> None:
        self._name, self._array, self._places, self._cache_nbytes = name, array, places, cache_nbytes
        z, y, x = (int(array.shape[place]) for place in places)
        self.shape: Shape = (z, y, x)
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        dz, dy, dx = (min(int(array.chunks[place]), side) for place, side in zip(places, self.shape, strict=True))
        self.chunk: Shape = (dz, dy, dx)
        self._kept: OrderedDict[tuple[tuple[int, int], ...], NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, index: Block) -> NDArray[Any]:
        spans = [part.indices(side)[:2] for part, side in zip(index, self.shape, strict=True)]
        whole = tuple(
            (start // step * step, min(-(-max(stop, start) // step) * step, side))
            for (start, stop), step, side in zip(spans, self.chunk, self.shape, strict=True)
        )
        nbytes = int(np.prod([stop - start for start, stop in whole])) * self.dtype.itemsize
        if nbytes > self._cache_nbytes:
            return self._read(spans)
        kept = self._chunks(whole, nbytes)
        inner = [slice(start - first, stop - first) for (start, stop), (first, _) in zip(spans, whole, strict=True)]
        return kept[tuple(inner)]

    def _chunks(self, whole: tuple[tuple[int, int], ...], nbytes: int) -> NDArray[Any]:
        # Two threads that want the same chunks read them once.
        with self._lock:
            if whole not in self._kept:
                while self._kept and sum(part.nbytes for part in self._kept.values()) + nbytes > self._cache_nbytes:
                    self._kept.popitem(last=False)
                self._kept[whole] = self._read(list(whole))
            self._kept.move_to_end(whole)
            return self._kept[whole]

    def _read(self, spans: list[tuple[int, int]]) -> NDArray[Any]:
        selection: list[int | slice] = [0] * self._array.ndim
        for place, (start, stop) in zip(self._places, spans, strict=True):
            selection[place] = slice(start, stop)
        with _explained(self._name):
            values = np.asarray(self._array[tuple(selection)])
        order = np.argsort(np.argsort(self._places))
        return values.transpose([int(at) for at in order]).astype(self.dtype, copy=False)


def _bounded(array: Any, name: str) -> Any:  # noqa: ANN401
    """Refuse chunks without voxels, and keep chunks from filling the memory, whatever they claim to be."""
    # Its codecs are zarr's.
    module = importlib.import_module("cryomamba.volumes.images.bounded_codecs")
    return module.bounded(array, name, CHUNK_NBYTES_MAX)


def _web_store(location: str, headers: Mapping[str, str] | None, patience_s: float | None) -> Any:  # noqa: ANN401
    # Its base class is zarr's.
    module = importlib.import_module("cryomamba.volumes.images.http_store")
    return module.HttpStore(location, headers or {}, patience_s)


def _attributes(group: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the metadata: of version 0.5 below 'ome', of earlier ones at the top."""
    attributes = dict(group.attrs)
    found = attributes.get("ome", attributes)
    return found if isinstance(found, dict) else {}


def _name_of(location: str | Path) -> str:
    if isinstance(location, Path):
        return file_text(location.name)
    path = unquote(urlsplit(location).path).rstrip("/")
    return file_text(path.rpartition("/")[2] or location)


def _places_of_zyx(name: str, axes: list[str], shape: tuple[int, ...]) -> tuple[int, int, int]:
    lower = [axis.lower() for axis in axes]
    others = [axis for axis, side in zip(lower, shape, strict=True) if axis not in _AXES and side > 1]
    if others or not set(_AXES) <= set(lower):
        listed = ", ".join(f"{axis} {side}" for axis, side in zip(axes, shape, strict=True))
        raise VolumeError(
            f"{name} has other axes than z, y and x ({listed}).",
            code=ErrorCode.VOLUME_UNSUPPORTED,
            hint="Save one channel and one time point of it as a volume.",
        )
    return lower.index("z"), lower.index("y"), lower.index("x")


def _scaled(steps: list[dict[str, Any]], places: tuple[int, int, int], units: list[str]) -> Spacing | None:
    lengths = []
    for place in places:
        unit, size = LENGTHS_A.get(units[place]), 1.0
        scales = [step["scale"][place] for step in steps if step.get("type") == "scale"]
        if unit is None or not scales:
            return None
        for scale in scales:
            size *= float(scale)
        lengths.append(size * unit)
    return lengths[0], lengths[1], lengths[2]


def _translated(steps: list[dict[str, Any]], places: tuple[int, int, int], units: list[str]) -> Spacing:
    lengths = []
    for place in places:
        at = 0.0
        for step in steps:
            if step.get("type") == "scale":
                at *= float(step["scale"][place])
            elif step.get("type") == "translation":
                at += float(step["translation"][place])
        lengths.append(at * LENGTHS_A.get(units[place], 0.0))
    return lengths[0], lengths[1], lengths[2]


def _is_labels(attributes: dict[str, Any], image: dict[str, Any]) -> bool:
    """Whether the metadata says so, or this program exported it as labels."""
    described = image.get("metadata")
    own = isinstance(described, dict) and described.get("description") == LABELS_DESCRIPTION
    return own or "image-label" in attributes


def _size(folder: Path) -> int:
    return sum(Path(parent, name).stat().st_size for parent, _, names in os.walk(folder) for name in names)
