"""Metadata of a volume for clients: plain data without paths."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Compression = Literal["gzip", "bzip2"]


class VolumeWarning(BaseModel):
    """An irregularity of a volume that its owner should check; the volume can be used.

    Attributes
    ----------
    code : str
        Stable identifier for programs, for example ``voxel_size_missing``.
    message, hint : str
        A sentence for users, and what to do.
    """

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

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
        Length in bytes.
    """

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

    type: str
    nbytes: int


class VolumeMeta(BaseModel):
    """Metadata from a volume's header, safe to send to any client.

    Attributes
    ----------
    name : str
        File name without folder, as Unicode text.
    shape : tuple of int
        Voxels along z, y and x, regardless of the axis order in the file.
    voxel_size_A : tuple of float
        Å along z, y and x; 1.0 with the warning ``voxel_size_missing`` if the header has none, and that of another axis
        with ``voxel_size_incomplete`` for an axis without one.
    mode : int
        MRC mode of the file.
    dtype : str
        numpy name of the voxel type (mode 101 reads as ``uint8``).
    origin_A : tuple of float
        The header's origin, in the order **x, y, z**, sign as stored.
    nstart : tuple of int
        The header's start, in the order **column, row, section**, as stored.
    axes : tuple of int
        ``(mapc, mapr, maps)``: the axis (1 x, 2 y, 3 z) of the file's columns, rows and sections.
    cell_A : tuple of float
        The header's cell, in the order **x, y, z**.
    placement_A : tuple of float
        Position in Å, in the order **z, y, x**, of the centre of voxel (0, 0, 0): the origin if it is not zero (older
        IMOD files store it with the opposite sign), else start times voxel size.
    space_group : int
        0 for an image stack, 1 for a volume; crystallographic space groups unchanged.
    extended_header : ExtendedHeader or None
        None if its length is zero.
    size_bytes : int
        Size of the file on disk (of a compressed file, the compressed size).
    compression : {'gzip', 'bzip2'} or None
        Compression of the file.
    labels : list of str
        The header's text labels.
    warnings : list of VolumeWarning
        Irregularities of the header.
    """

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

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
