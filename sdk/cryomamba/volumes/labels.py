"""The labels that a mask holds, whatever program wrote it: the one place that decides, for every command and service.

- Unsigned bytes and 16-bit numbers are labels as they are, up to 255 and 65,535.
- Signed bytes, 16-bit integers and floats are labels if all voxels are whole numbers from 0 to 65,535.
- IMOD stores bytes of 0 to 255 less 128 where its header says that they are signed. Like IMOD, 128 is added, unless no
  voxel is below −1: then a mask of another program has passed through IMOD, and labels are as stored.
- One or two different values below 0 are labels for voxels to ignore; such a mask is refused, or they are made
  background if the caller asks for that.
- All else is densities.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.volumes.grid import Triple
from cryomamba.volumes.header_fields import HeaderFields
from cryomamba.volumes.metadata import VolumeMeta
from cryomamba.volumes.mrc import Volume

Labels = NDArray[np.unsignedinteger[Any]]

LABEL_MAX: Final = 0xFFFF
_BYTE_MAX: Final = 0xFF
IMOD_OFFSET: Final = 128
"""What IMOD subtracts from bytes that it stores as signed ones."""
# Programs use one value below 0 for voxels to ignore, seldom two; a tomogram of integers has more.
_IGNORE_LABELS_MAX: Final = 2


class LabelVolume:
    """An open mask file, read as labels from 0 to 65,535; the volume must stay open. Made by :meth:`of`.

    Attributes
    ----------
    dtype : numpy.dtype
        uint8 or uint16, the type of what is read.
    header, meta, shape, voxel_size_A
        Those of the volume.
    """

    def __init__(self, volume: Volume, content: _Content | None, *, selected: int | None = None) -> None:
        self._volume, self._content, self._selected = volume, content, selected
        self.header: HeaderFields = volume.header
        self.meta: VolumeMeta = volume.meta
        self.shape: tuple[int, int, int] = volume.shape
        self.voxel_size_A: Triple = volume.voxel_size_A
        wide = np.dtype(volume.header.dtype).itemsize > 1 if content is None else content.highest > _BYTE_MAX
        self.dtype: np.dtype[Any] = np.dtype(np.uint16 if wide and selected is None else np.uint8)

    @classmethod
    def of(cls, volume: Volume | LabelVolume, *, negative_is_background: bool = False, name: str = "") -> LabelVolume:
        """Return the labels of an open volume; voxels of signed types and floats are read once to check them.

        Parameters
        ----------
        volume : Volume or LabelVolume
            A label volume is returned as it is.
        negative_is_background : bool
            Read labels for voxels to ignore, which are below 0, as 0.
        name : str
            The name by which an error calls the file; that of the volume if empty.

        Raises
        ------
        VolumeError
            ``volume_unsupported``: it holds densities, labels below 0, or labels above 65,535.
        """
        found = cls.if_mask(volume, negative_is_background=negative_is_background, name=name)
        if found is None:
            raise densities(name or volume.meta.name)
        return found

    @classmethod
    def if_mask(
        cls, volume: Volume | LabelVolume, *, negative_is_background: bool = False, name: str = ""
    ) -> LabelVolume | None:
        """Return the labels of an open volume, or None if it holds densities; otherwise like :meth:`of`."""
        if isinstance(volume, LabelVolume):
            return volume
        if np.dtype(volume.header.dtype).kind == "u":
            return cls(volume, None)
        content = _read_content(volume)
        if content is None:
            return None
        if content.negative and not negative_is_background:
            raise negative_labels(name or volume.meta.name, content.negative)
        _require_small(name or volume.meta.name, content.highest)
        return cls(volume, content)

    @cached_property
    def highest(self) -> int:
        """The largest label that occurs."""
        if self._selected is not None:
            return 1
        if self._content is not None:
            return self._content.highest
        chunks: Iterator[NDArray[Any]] = self._volume.chunks()
        return max(int(chunk.max()) for chunk in chunks)

    @property
    def as_stored(self) -> bool:
        """Whether the file's integers are the labels, so that it can be memory-mapped."""
        content = self._content
        is_integer = np.dtype(self.header.dtype).kind in "iu"
        return is_integer and self._selected is None and (content is None or not (content.offset or content.negative))

    def only(self, label: int) -> Self:
        """Return the mask of one label, which becomes 1."""
        return type(self)(self._volume, self._content, selected=label)

    def read_native(self, z: slice, y: slice, x: slice) -> Labels:
        """Return the labels of a block (z, y, x), C-contiguous; slices of step 1, clipped to the volume."""
        return self._labels(self._volume.read_native(z, y, x))

    def read_rows(self, sections: Sequence[int], rows: Sequence[int], columns: slice) -> Labels:
        """Return the labels in a part of single rows; see :meth:`Volume.read_rows`."""
        return self._labels(self._volume.read_rows(sections, rows, columns))

    def _labels(self, stored: NDArray[Any]) -> Labels:
        if self._content is not None:
            if self._content.offset:
                stored = stored.view(np.uint8) ^ np.uint8(IMOD_OFFSET)
            elif self._content.negative:
                stored = np.maximum(stored, 0)
        if self._selected is not None:
            stored = stored == self._selected
        return stored.view(self.dtype) if stored.dtype.itemsize == 1 else stored.astype(self.dtype)


@dataclass(frozen=True, slots=True)
class _Content:
    """What the voxels of a mask are: the largest label, what is added to stored bytes, and the labels below 0."""

    highest: int
    offset: int = 0
    negative: tuple[int, ...] = ()


def _read_content(volume: Volume) -> _Content | None:
    """Read a volume of a signed type or of floats; None for densities."""
    lowest, highest, negative = math.inf, -math.inf, set[float]()
    chunks: Iterator[NDArray[Any]] = volume.chunks()
    for values in chunks:
        if values.dtype.kind == "f" and not _is_whole(values):
            return None
        low, high = float(values.min()), float(values.max())
        lowest, highest = min(lowest, low), max(highest, high)
        if low < 0 and len(negative) <= _IGNORE_LABELS_MAX:
            negative.update(np.unique(values[values < 0])[: _IGNORE_LABELS_MAX + 1].tolist())
        if len(negative) > _IGNORE_LABELS_MAX and not volume.header.imod_signed:
            return None
    if volume.header.imod_signed and lowest < -1:
        return _Content(int(highest) + IMOD_OFFSET, offset=IMOD_OFFSET)
    return _Content(max(int(highest), 0), negative=tuple(sorted(map(int, negative))))


def _is_whole(values: NDArray[Any]) -> bool:
    return bool(np.isfinite(values).all()) and bool((np.rint(values) == values).all())


def labels_of_array(values: NDArray[Any], name: str = "The mask") -> Labels:
    """Return an array of labels as unsigned integers; the same rules as for a file, but without IMOD's.

    Raises
    ------
    VolumeError
        ``volume_unsupported``: it holds densities, or labels below 0 or above what 32 bits hold.
    """
    if values.dtype == np.bool_:
        return values.view(np.uint8)
    if values.dtype.kind == "u":
        return values
    if values.dtype.kind == "f" and not _is_whole(values):
        raise densities(name)
    if values.size and values.min() < 0:
        raise negative_labels(name, tuple(int(value) for value in np.unique(values[values < 0])[-3:]))
    return values.view(np.uint8) if values.dtype == np.int8 else values.astype(np.uint32)


def densities(name: str) -> VolumeError:
    """Return the refusal of a file that is not a mask."""
    return VolumeError(
        f"{name} holds densities, not labels.",
        code=ErrorCode.VOLUME_UNSUPPORTED,
        hint="Choose a mask, for example one written by 'cryomamba segment'.",
    )


def negative_labels(name: str, found: tuple[int, ...]) -> VolumeError:
    """Return the refusal of a mask with labels below 0."""
    return VolumeError(
        f"{name} has labels below 0: {', '.join(map(str, found))}. Some programs write them for voxels to ignore.",
        code=ErrorCode.VOLUME_UNSUPPORTED,
        hint="Make them background with 'cryomamba clean MASK.mrc -o NEW.mrc --drop-negative'.",
        details={"labels": list(found)},
    )


def _require_small(name: str, highest: int) -> None:
    if highest > LABEL_MAX:
        raise VolumeError(
            f"{name} has labels up to {highest:,}; the largest that a mask can have is {LABEL_MAX:,}.",
            code=ErrorCode.VOLUME_UNSUPPORTED,
            hint="Renumber its labels from 1 on.",
        )
