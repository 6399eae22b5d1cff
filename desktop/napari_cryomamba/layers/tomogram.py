"""A tomogram as napari shows it: lazily read voxels, voxel size in nm, contrast from a sample."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Shape, Spacing
from cryomamba.printable import printable
from cryomamba.volumes import LabelVolume, Statistics, Volume, open_volume, result_kind, stream_statistics
from cryomamba.volumes.grid import checked_voxel_size
from cryomamba.volumes.images import ImageVolume, is_image, is_url, open_image
from cryomamba.volumes.images.image_volume import ImageInfo
from cryomamba.volumes.label_names import names_in
from cryomamba.volumes.labels import LABEL_MAX, labels_of_array
from napari_cryomamba.layers.conversion import conversion_path
from napari_cryomamba.models.display import contrast_limits
from napari_cryomamba.models.indexing import full_index
from napari_cryomamba.models.palette import PALETTE_KEY, Palette
from napari_cryomamba.models.source import Source
from napari_cryomamba.models.world_coordinates import Placement
from napari_cryomamba.napari_types import Layer

METADATA_KEY = "cryomamba"
_SAMPLE_CHUNKS = 24
_SAMPLE_PER_CHUNK = 20_000
_FEW_LABELS = 16
_BACKGROUND_SHARE = 0.3

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Tomogram:
    """A file ready to be added to a viewer; :meth:`layer` is napari's layer tuple."""

    source: Source
    data: Any
    contrast_limits: tuple[float, float]

    def layer(self) -> tuple[Any, dict[str, Any], str]:
        """Return data, arguments and layer type."""
        arguments: dict[str, Any] = {
            "name": printable(self.source.meta.name.removesuffix(".gz").removesuffix(".bz2")),
            "metadata": {METADATA_KEY: self.source},
            **Placement.of_volume(self.source.meta.voxel_size_A).layer_arguments(),
        }
        if self.source.is_mask:
            return self.data, arguments | _named(self.source), "labels"
        arguments |= {"colormap": "gray", "contrast_limits": self.contrast_limits}
        return self.data, arguments, "image"

    def with_voxel_size(self, voxel_size_A: float | Spacing) -> Tomogram:
        """Return the same tomogram with another voxel size."""
        sizes = checked_voxel_size(voxel_size_A)
        return replace(self, source=self.source.with_voxel_size(sizes))


def _named(source: Source) -> dict[str, Any]:
    """Return a mask's layer arguments with the names that its file has of its labels, and a colour for each."""
    names = names_in(source.meta.labels)
    if not names:
        return {}
    from napari.utils.colormaps import DirectLabelColormap

    palette = Palette(names=names)
    return {
        "metadata": {METADATA_KEY: source, PALETTE_KEY: palette},
        "colormap": DirectLabelColormap(color_dict=palette.color_dict(names)),
    }


class LazyVoxels:
    """Voxels that cannot be memory-mapped, read slice by slice as napari asks for them."""

    def __init__(self, volume: Volume | ImageVolume) -> None:
        self._volume = volume
        self.shape: Shape = volume.shape
        self.ndim = 3
        self.size = int(np.prod(volume.shape))
        if isinstance(volume, Volume):
            # Only voxels of 4 bits cannot be mapped.
            self.dtype = np.dtype(np.uint8)
            weakref.finalize(self, volume.close)
        else:
            self.dtype = np.dtype(volume.header.dtype)

    def __getitem__(self, index: Any) -> Array:  # noqa: ANN401 (numpy's basic indexing)
        block, within = [], []
        for part, side in zip(full_index(index), self.shape, strict=True):
            span, rest = _span(part, side)
            block.append(span)
            within.append(rest)
        values: Array = self._volume.read_native(*block)[tuple(within)]
        return values

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        values = self._volume.read_native(*[slice(None)] * 3)
        return values if dtype is None else values.astype(dtype)


def open_tomogram(
    path: str | os.PathLike[str],
    *,
    voxel_size_A: float | Spacing | None = None,
    as_mask: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Tomogram:
    """Open a file without reading it: the voxels are mapped, the contrast comes from a sample.

    May be called from any thread. A compressed file (gzip, bzip2) is decompressed into a temporary file first.

    Parameters
    ----------
    path : path-like
        An MRC file of any flavour, a TIFF file, an OME-Zarr folder, or the address of one on a web server.
    voxel_size_A : float or tuple of float, optional
        Å (one, or z, y, x), instead of the header's.
    as_mask : bool
        Open the file as a mask, which is done with those that CryoMamba wrote in any case.
    headers : mapping, optional
        For a web server.

    Raises
    ------
    VolumeError
        The file is missing, damaged or unsupported, or holds no labels and should be opened as a mask.
    """
    if is_image(path):
        location = os.fspath(path) if is_url(path) else str(Path(path).absolute())
        image = open_image(location, headers=headers)
        source = Source.of_image(image, conversion_path(image, location), location)
        opened = tomogram_of_image(source, image, as_mask=as_mask or image.is_labels)
        return opened if voxel_size_A is None else opened.with_voxel_size(voxel_size_A)
    path = Path(path).absolute()
    volume = open_volume(path, voxel_size_A=voxel_size_A, may_change=True)
    data: Any = None
    try:
        is_mask = as_mask or result_kind(volume.meta.labels) == "mask"
        source = Source(path, volume.meta, volume.header, is_mask)
        limits = (0.0, 1.0)
        if not is_mask:
            values = sample_of(volume)
            limits = contrast_limits(values)
            source = replace(source, looks_like_mask=looks_like_mask(values))
        if is_mask:
            data = _editable(LabelVolume.of(volume), volume)
        else:
            data = LazyVoxels(volume) if volume.array is None else volume.array
        return Tomogram(source, data, limits)
    finally:
        # A memory map keeps its file open by itself; the lazy reader closes the volume when it is deleted.
        if not isinstance(data, LazyVoxels):
            volume.close()


def open_mask(path: str | os.PathLike[str]) -> Array:
    """Return a finished mask (z, y, x; uint8 or uint16) that can be painted on.

    It is memory-mapped if the file's integers are the labels; edits are kept in memory, and the file does not change.

    Raises
    ------
    VolumeError
        The file is missing, damaged or not a mask.
    """
    with open_volume(path) as volume:
        return _editable(LabelVolume.of(volume), volume)


def tomogram_of_image(source: Source, image: ImageVolume, *, as_mask: bool = False) -> Tomogram:
    """Return voxels of another format than MRC, ready to be added to a viewer; of a mask, all are read.

    Raises
    ------
    VolumeError
        They cannot be read, or are no labels and should be shown as a mask.
    """
    if as_mask:
        labels = labels_of_array(np.array(image.voxels[:, :, :]), image.meta.name)
        return Tomogram(replace(source, is_mask=True), labels, (0.0, 1.0))
    values = sample_of(image)
    data = LazyVoxels(image) if image.array is None else image.array
    return Tomogram(replace(source, looks_like_mask=looks_like_mask(values)), data, contrast_limits(values))


def as_mask_of(source: Source) -> Tomogram:
    """Return what a tomogram's layer shows as a mask, with the voxel size that the layer has.

    Raises
    ------
    VolumeError
        Its voxels are no labels.
    """
    if source.image is not None:
        return tomogram_of_image(source, source.image, as_mask=True)
    return open_tomogram(source.path, voxel_size_A=source.meta.voxel_size_A, as_mask=True)


def sample_of(volume: Volume | ImageVolume) -> Array:
    """Return a sample of the voxels, spread over the file; reads about 24 MiB, or what is stored together."""
    every = max(-(-volume.header.data_nbytes // (_SAMPLE_CHUNKS << 20)), 1)
    parts = []
    for chunk in volume.chunks(every=every):
        # An odd step does not sample the same columns of rows of even length.
        step = max(chunk.size // _SAMPLE_PER_CHUNK, 1) | 1
        parts.append(chunk[::step].copy())
    return np.concatenate(parts)


def sample_statistics(volume: Volume | ImageVolume) -> Statistics:
    """Return the statistics of a sample of the voxels, see :func:`sample_of`."""
    sample = sample_of(volume).reshape(1, 1, -1)
    return stream_statistics(ImageVolume(sample, ImageInfo("sample", "array")))


def looks_like_mask(sample: Array) -> bool:
    """Whether voxels could be labels: whole numbers from 0 to 65,535, few different ones or often the background."""
    if sample.dtype.kind == "f" and not (np.isfinite(sample).all() and (np.rint(sample) == sample).all()):
        return False
    if not sample.size or float(sample.min()) < 0 or float(sample.max()) > LABEL_MAX:
        return False
    return len(np.unique(sample)) <= _FEW_LABELS or float((sample == 0).mean()) > _BACKGROUND_SHARE


def source_of(layer: Layer) -> Source | None:
    """Return the file behind a layer, None if it is not one that we opened."""
    found = layer.metadata.get(METADATA_KEY)
    return found if isinstance(found, Source) else None


def _editable(labels: LabelVolume, volume: Volume) -> Array:
    header = volume.header
    if header.nibbles or not labels.as_stored:
        return labels.read_native(*[slice(None)] * 3)
    private: Array = np.memmap(
        volume.path, np.dtype(header.dtype), mode="c", offset=header.data_offset, shape=header.file_shape
    )
    # No label is below 0, so signed integers are the same labels unsigned, with room for more.
    return private.transpose(header.to_zyx).view(private.dtype.str.replace("i", "u"))


def _span(part: Any, side: int) -> tuple[slice, Any]:  # noqa: ANN401
    """Return a slice of step 1 that covers an index, and the index within it."""
    if isinstance(part, int | np.integer):
        at = int(part) % side if part < 0 else int(part)
        return slice(at, at + 1), 0
    wanted = range(side)[part]
    if not len(wanted):
        return slice(0, 0), slice(None)
    low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
    return slice(low, high + 1), slice(None, None, wanted.step)
