"""The fields of an MRC header. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.volumes import grid
from cryomamba.volumes.grid import Triple
from cryomamba.volumes.metadata import Compression, ExtendedHeader, VolumeMeta, VolumeWarning

HEADER_NBYTES = 1024
MAX_SIDE = 1 << 24
MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2", 101: "u1"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HeaderFields:
    """The fields of a valid header, in file order unless stated otherwise.

    Attributes
    ----------
    byte_order : {'<', '>'}
        Byte order of header and voxels.
    mode : int
        One of 0, 1, 2, 6, 12, 101.
    dtype : str
        numpy type string of the stored elements with byte order (for `nibbles`, bytes of two voxels).
    imod_signed : bool
        Whether IMOD wrote bytes of 0 to 255 less 128; see :mod:`cryomamba.volumes.labels`.
    nibbles : bool
        Whether a byte holds two voxels of 4 bits, low half first; every row begins at a byte.
    file_shape : tuple of int
        Voxels as (sections, rows, columns).
    axes : tuple of int
        ``(mapc, mapr, maps)``.
    nstart : tuple of int
        Start as (column, row, section), as stored.
    grid, cell_A, angles : tuple
        Sampling ``mx, my, mz``, cell lengths in Å and cell angles in degrees; order x, y, z, as stored.
    origin_A : tuple of float
        Origin in the order x, y, z, sign as stored.
    standard_origin_A : tuple of float
        Origin with the sign of MRC2014 (older IMOD files negate it).
    voxel_size_A : tuple of float
        Å along z, y, x.
    space_group : int
        0 for an image stack, 1 for a volume.
    extended_type, extended_nbytes : str, int
        Type and length of the extended header.
    labels : tuple of str
        Text labels.
    warnings : tuple of VolumeWarning
        Irregularities of the header.
    """

    byte_order: str
    mode: int
    dtype: str
    nibbles: bool
    file_shape: tuple[int, int, int]
    axes: tuple[int, int, int]
    nstart: tuple[int, int, int]
    grid: tuple[int, int, int]
    cell_A: Triple
    angles: Triple
    origin_A: Triple
    standard_origin_A: Triple
    voxel_size_A: Triple
    space_group: int
    imod_signed: bool = False
    extended_type: str = ""
    extended_nbytes: int = 0
    labels: tuple[str, ...] = ()
    warnings: tuple[VolumeWarning, ...] = ()

    @property
    def to_zyx(self) -> tuple[int, int, int]:
        """Permutation from the file's (section, row, column) to z, y, x."""
        return grid.to_zyx(self.axes)

    @property
    def from_zyx(self) -> tuple[int, int, int]:
        """Permutation from z, y, x to the file's (section, row, column)."""
        order = self.to_zyx
        return order.index(0), order.index(1), order.index(2)

    def in_file_order(self, zyx: Sequence[T]) -> tuple[T, T, T]:
        """Return three values, given for z, y, x, in the order section, row, column."""
        section, row, column = self.from_zyx
        return zyx[section], zyx[row], zyx[column]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        z, y, x = self.to_zyx
        return self.file_shape[z], self.file_shape[y], self.file_shape[x]

    @property
    def row_nbytes(self) -> int:
        """Length of a stored row in bytes."""
        columns = self.file_shape[2]
        return (columns + 1) // 2 if self.nibbles else columns * np.dtype(self.dtype).itemsize

    @property
    def data_offset(self) -> int:
        """Offset of the first voxel in the file, in bytes."""
        return HEADER_NBYTES + self.extended_nbytes

    @property
    def data_nbytes(self) -> int:
        """Length of all stored voxels in bytes."""
        return self.file_shape[0] * self.file_shape[1] * self.row_nbytes

    @property
    def placement_A(self) -> Triple:
        """Position (z, y, x) in Å of the centre of voxel (0, 0, 0)."""
        return grid.placement(self.standard_origin_A, self.nstart, self.axes, self.voxel_size_A)

    def with_voxel_size(self, voxel_size_A: float | Triple) -> HeaderFields:
        """Return the header with another voxel size (Å; z, y, x), given by a user.

        Raises
        ------
        VolumeError
            A size is not positive or not plausible.
        """
        sizes = grid.checked_voxel_size(voxel_size_A)
        x, y, z = (n if m <= 1 else m for n, m in zip(self.shape[::-1], self.grid, strict=True))
        return dataclasses.replace(
            self,
            voxel_size_A=sizes,
            cell_A=(x * sizes[2], y * sizes[1], z * sizes[0]),
            grid=(x, y, z),
            space_group=self.space_group or 1,
            warnings=tuple(w for w in self.warnings if w.code not in grid.VOXEL_SIZE_WARNINGS),
        )

    def describe(self, name: str, size_bytes: int, compression: Compression | None = None) -> VolumeMeta:
        """Return the metadata for clients, of a file with that name and size on disk."""
        extended = ExtendedHeader(type=self.extended_type or "unspecified", nbytes=self.extended_nbytes)
        same = ("shape", "voxel_size_A", "mode", "origin_A", "nstart", "axes", "cell_A", "placement_A", "space_group")
        return VolumeMeta(
            **{field: getattr(self, field) for field in same},
            name=name,
            dtype=np.dtype(self.dtype).name,
            extended_header=extended if self.extended_nbytes else None,
            size_bytes=size_bytes,
            compression=compression,
            labels=list(self.labels),
            warnings=list(self.warnings),
        )


def blank_header(shape: tuple[int, int, int], voxel_size_A: float | Triple = 1.0, *, mode: int = 2) -> HeaderFields:
    """Return the header of a new little-endian volume with its origin at zero.

    Parameters
    ----------
    shape : tuple of int
        Voxels along z, y, x.
    voxel_size_A : float or tuple of float
        Å, one for all or along z, y, x.
    mode : int
        MRC mode: 0, 1, 2, 6 or 12.

    Raises
    ------
    VolumeError
        The shape or the voxel size is invalid.
    """
    if len(tuple(shape)) != 3 or not all(0 < n < MAX_SIDE for n in shape):
        raise VolumeError(
            f"A volume cannot have the shape {tuple(shape)}.",
            code=ErrorCode.VOLUME_UNSUPPORTED,
            hint="Give three positive numbers of voxels, along z, y and x.",
        )
    sizes = grid.checked_voxel_size(voxel_size_A)
    depth, height, width = (int(n) for n in shape)
    return HeaderFields(
        byte_order="<",
        mode=mode,
        dtype="<" + MODES[mode],
        nibbles=False,
        file_shape=(depth, height, width),
        axes=(1, 2, 3),
        nstart=(0, 0, 0),
        grid=(width, height, depth),
        cell_A=(width * sizes[2], height * sizes[1], depth * sizes[0]),
        angles=(90.0, 90.0, 90.0),
        origin_A=(0.0, 0.0, 0.0),
        standard_origin_A=(0.0, 0.0, 0.0),
        voxel_size_A=sizes,
        space_group=1,
    )
