"""Write masks with the grid, cell, start, origin and axis order of their tomogram, so that both overlay exactly."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cryomamba.atomic import AtomicFile
from cryomamba.volumes.header_encoder import encode_header, own_label
from cryomamba.volumes.header_fields import HeaderFields
from cryomamba.volumes.label_names import name_lines, without_names
from cryomamba.volumes.moments import Moments
from cryomamba.volumes.mrc import Volume
from cryomamba.volumes.voxel_file import VoxelFile, spans

_LARGEST_BYTE_LABEL = 127
_LINES_MAX = 10  # text labels of a header
Labels = NDArray[np.uint8] | NDArray[np.uint16]


class MaskWriter:
    """Writes a label mask to disk block by block; a context manager.

    The file is int8 (mode 0) for labels up to 127, else uint16 (mode 6), in the tomogram's axis order and without its
    extended header. It appears under its name on ``close``; an exception in the ``with`` block discards it. Blocks that
    are never written are 0. Memory is constant; methods may be called from several threads.

    Parameters
    ----------
    path : path-like
        Path of the mask; its folder exists.
    like : Volume or HeaderFields
        The tomogram, or :func:`~cryomamba.volumes.blank_header` for a shape without a file. A voxel size that was given
        when the volume was opened is written into the mask's header.
    labels : int
        Largest label that will be written, 1 to 65535.
    engine : str
        Engine name for the header's text label.
    what : str
        Kind of file, for the same label.
    note : str
        A text label before that one: what the values mean, if it is not plain.
    names : mapping of int to str, optional
        Names of the labels, for the header. If not given, those in the header of `like` stay.

    Attributes
    ----------
    dtype : numpy.dtype
        uint8 or uint16: the type that ``read`` returns and ``write`` stores without conversion.
    moments : Moments or None
        Minimum, maximum, mean and standard deviation of the mask, after ``close``.

    Raises
    ------
    UnavailableError
        ``insufficient_storage``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        like: Volume | HeaderFields,
        *,
        labels: int,
        engine: str,
        what: str = "mask",
        note: str = "",
        names: Mapping[int, str] | None = None,
    ) -> None:
        if not 0 < labels <= 0xFFFF:
            raise ValueError(f"labels must be between 1 and 65535, not {labels}")
        source = like.header if isinstance(like, Volume) else like
        small = labels <= _LARGEST_BYTE_LABEL
        lines = (
            *(() if names is None else name_lines(names)),
            *([note] if note else []),
            own_label(f"{engine} {what}"),
        )
        earlier = source.labels if names is None else without_names(source.labels)
        self.header = dataclasses.replace(
            source,
            byte_order="<",
            mode=0 if small else 6,
            dtype="|i1" if small else "<u2",
            imod_signed=False,
            nibbles=False,
            extended_type="",
            extended_nbytes=0,
            labels=(*earlier[: _LINES_MAX - len(lines)], *lines),
        )
        self.dtype = np.dtype(np.uint8 if small else np.uint16)
        self.moments: Moments | None = None
        self._largest = labels
        self._file = AtomicFile(Path(path), self.header.data_offset + self.header.data_nbytes)
        self._stored = VoxelFile(self._file.file, self.header)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        return self.header.shape

    def write(self, z: int, y: int, x: int, block: Labels) -> None:
        """Write a block with its first voxel at (z, y, x).

        Parameters
        ----------
        z, y, x : int
            Offset in voxels.
        block : ndarray of uint8 or uint16
            Labels (z, y, x), within the volume.

        Raises
        ------
        ValueError
            The block extends beyond the volume or contains a label above `labels`.
        """
        zyx = [(start, start + size) for start, size in zip((z, y, x), block.shape, strict=True)]
        if any(start < 0 or stop > size for (start, stop), size in zip(zyx, self.shape, strict=True)):
            raise ValueError(f"a block of {block.shape} at {(z, y, x)} extends beyond a mask of {self.shape}")
        if block.size and int(block.max()) > self._largest:
            raise ValueError(f"label {int(block.max())} is above the declared maximum, {self._largest}")
        self._stored.write_from(block.transpose(self.header.from_zyx), *self.header.in_file_order(zyx))

    def read(self, z: slice, y: slice, x: slice, out: Labels | None = None) -> Labels:
        """Return a block as written so far (z, y, x), C-contiguous, of the mask's ``dtype``."""
        zyx = [spans(index, size) for index, size in zip((z, y, x), self.shape, strict=True)]
        if out is None:
            out = np.empty(tuple(stop - start for start, stop in zyx), self.dtype)
        self._stored.read_into(out.transpose(self.header.from_zyx), *self.header.in_file_order(zyx))
        return out

    def close(self) -> None:
        """Write the header's statistics and give the file its name; closing twice is allowed."""
        if self._file.file.closed:
            return
        moments = Moments()
        for chunk in self._stored.chunks():
            moments.add(chunk)
        self._file.file.seek(0)
        self._file.file.write(encode_header(self.header, self.header.labels, moments))
        self._file.commit()
        self.moments = moments

    def discard(self) -> None:
        """Remove the unfinished file; does nothing after ``close``."""
        self._file.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self.discard()
