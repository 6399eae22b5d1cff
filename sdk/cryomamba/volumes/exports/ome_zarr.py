"""OME-Zarr 0.5 and 0.4, chunked multiscale formats for napari, Neuroglancer, copick and the CryoET Data Portal."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cryomamba.atomic import atomic_path
from cryomamba.geometry import Shape
from cryomamba.optional_imports import import_optional
from cryomamba.volumes.exports.slabs import Progress, content_of, stored_dtype
from cryomamba.volumes.grid import Triple
from cryomamba.volumes.halving import halved
from cryomamba.volumes.labels import LabelVolume
from cryomamba.volumes.mrc import Volume
from cryomamba.volumes.multiscale import AXES, Level, levels_of, multiscale_metadata

_CHUNK = 128
_BLOCK = 256


def write_ome_zarr(
    volume: Volume | LabelVolume,
    path: str | os.PathLike[str],
    *,
    labels: bool = False,
    version: str = "0.5",
    placement_A: Triple | None = None,
    levels: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a volume as an OME-Zarr multiscale image: version 0.5 is a folder of zarr v3 arrays, 0.4 one of v2 arrays.

    Each level halves the axes longer than 64 voxels: labels by the maximum, so that thin membranes do not vanish,
    densities by the mean. A voxel of an axis halved k times is 2**k voxels wide and shifted by (2**k - 1) / 2 voxels,
    so all levels overlay exactly. Units are ångström. Memory is bounded by one block of 128 × 256 × 256 voxels.

    Parameters
    ----------
    volume : Volume or LabelVolume
        Open.
    path : path-like
        Folder ``.ome.zarr``; replaced if it exists.
    labels : bool
        Store unsigned integers and downsample as labels.
    version : {'0.5', '0.4'}
        Of OME-Zarr.
    placement_A : tuple of float, optional
        Position (z, y, x) in Å of the centre of voxel (0, 0, 0); by default that of the header.
    levels : int, optional
        The number of levels at most; by default as many as there are until all sides have at most 64 voxels.
    progress : callable, optional
        Called with the fraction written; an exception from it discards the folder.

    Raises
    ------
    InvalidRequestError
        ``engine_unavailable``: zarr is not installed.
    """
    zarr = import_optional("zarr")
    volume = content_of(volume, labels=labels)
    dtype = stored_dtype(volume)
    chosen = levels_of(volume.shape)[:levels]
    place = volume.header.placement_A if placement_A is None else placement_A
    image = multiscale_metadata(volume.meta.name, chosen, volume.voxel_size_A, place, labels=labels)
    is_old = version == "0.4"
    attributes: dict[str, Any] = {"ome": {"version": version, "multiscales": [image]}}
    if is_old:
        attributes = {"multiscales": [{"version": version} | image]}
    with atomic_path(Path(path), durable=False) as part:
        group = zarr.create_group(part, attributes=attributes, zarr_format=2 if is_old else 3)
        create = _create_v2_array if is_old else _create_array
        arrays = [create(group, number, level.shape, dtype) for number, level in enumerate(chosen)]
        _fill(arrays, chosen, volume, labels=labels, progress=progress)


def _create_array(group: Any, number: int, shape: Shape, dtype: np.dtype[np.generic]) -> Any:  # noqa: ANN401
    chunks = tuple(min(_CHUNK, side) for side in shape)
    return group.create_array(str(number), shape=shape, dtype=dtype, chunks=chunks, dimension_names=AXES, fill_value=0)


def _create_v2_array(group: Any, number: int, shape: Shape, dtype: np.dtype[np.generic]) -> Any:  # noqa: ANN401
    return group.create_array(
        str(number),
        shape=shape,
        dtype=dtype,
        chunks=tuple(min(_CHUNK, side) for side in shape),
        # Every reader of version 2 of Zarr has Blosc.
        compressors=import_optional("numcodecs").Blosc(cname="zstd", clevel=3),
        chunk_key_encoding={"name": "v2", "separator": "/"},
        fill_value=0,
    )


def _fill(
    arrays: list[Any], levels: Sequence[Level], volume: Volume | LabelVolume, *, labels: bool, progress: Progress | None
) -> None:
    total, done = sum(math.prod(level.shape) for level in levels), 0
    for number, (array, level) in enumerate(zip(arrays, levels, strict=True)):
        for block in _blocks(level.shape):
            if number == 0:
                array[block] = volume.read_native(*block).astype(array.dtype, copy=False)
            else:
                steps = [f // g for f, g in zip(level.factors, levels[number - 1].factors, strict=True)]
                finer = tuple(slice(s.start * n, s.stop * n) for s, n in zip(block, steps, strict=True))
                array[block] = halved(arrays[number - 1][finer], steps, labels=labels)
            done += math.prod(s.stop - s.start for s in block)
            if progress is not None:
                progress(done / total)


def _blocks(shape: tuple[int, int, int]) -> Iterator[tuple[slice, slice, slice]]:
    steps = (_CHUNK, _BLOCK, _BLOCK)
    axes = [
        [slice(start, min(start + step, side)) for start in range(0, side, step)]
        for side, step in zip(shape, steps, strict=True)
    ]
    yield from itertools.product(*axes)
