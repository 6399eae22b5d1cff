"""What a client is told about a volume: plain data, no path of any machine."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Compression = Literal["gzip", "bzip2"]


class VolumeWarning(BaseModel):
    """Something about a volume that its owner should look at; the volume is usable all the same.

    Attributes
    ----------
    code : str
        Stable word for programs, for example ``voxel_size_missing``.
    message, hint : str
        A sentence for a person, and what to do about it.
    """

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    hint: str = ""


class ExtendedHeader(BaseModel):
    """The block between the 1024-byte header and the voxels.

    Attributes
    ----------
    type : str
        The four-letter type of MRC2014 (``FEI1``, ``FEI2``, ``SERI``, ``AGAR``, ``CCP4``, ``MRCO``…), or
        ``unspecified``.
    nbytes : int
        Its length in bytes.
    """

    model_config = ConfigDict(frozen=True)

    type: str
    nbytes: int


class VolumeMeta(BaseModel):
    """What the header says about a volume, safe to send to any client.

    Attributes
    ----------
    name : str
        File name without its folder.
    shape : tuple of int
        Voxels along z, y and x, whatever the order of axes in the file.
    voxel_size_A : tuple of float
        Å along z, y and x. 1.0 with a warning ``voxel_size_missing`` where the header holds none.
    mode : int
        MRC mode of the file.
    dtype : str
        numpy name of the voxel type (mode 101 reads as ``uint8``).
    origin_A : tuple of float
        The header's origin, order **x, y, z**, sign as stored.
    nstart : tuple of int
        The header's start, order **column, row, section**, as stored.
    axes : tuple of int
        ``(mapc, mapr, maps)``: which axis (1 x, 2 y, 3 z) columns, rows and sections of the file run along.
    cell_A : tuple of float
        The header's cell, order **x, y, z**.
    placement_A : tuple of float
        Å along **z, y, x** of the centre of voxel (0, 0, 0): the origin where it is not zero (IMOD's older
        files store it with the opposite sign), else start times voxel size.
    space_group : int
        0 image stack, 1 volume; crystallographic ones as they are.
    extended_header : ExtendedHeader or None
        Present when its length is not zero.
    size_bytes : int
        Size of the file as it lies on disk (compressed size of a compressed file).
    compression : {'gzip', 'bzip2'} or None
        How the file is packed.
    labels : list of str
        The header's text labels.
    warnings : list of VolumeWarning
        What is odd about the header.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    shape: tuple[int, int, int]
    voxel_size_A: tuple[float, float, float]
    mode: int
    dtype: str
    origin_A: tuple[float, float, float] = (0.0, 0.0, 0.0)
    nstart: tuple[int, int, int] = (0, 0, 0)
    axes: tuple[int, int, int] = (1, 2, 3)
    cell_A: tuple[float, float, float] = (0.0, 0.0, 0.0)
    placement_A: tuple[float, float, float] = (0.0, 0.0, 0.0)
    space_group: int = 1
    extended_header: ExtendedHeader | None = None
    size_bytes: int = 0
    compression: Compression | None = None
    labels: list[str] = []
    warnings: list[VolumeWarning] = []
