"""Parse MRC2014 headers. Pure: no file is opened and no memory for voxels is allocated.

Layout: Cheng et al., "MRC2014: Extensions to the MRC format header for electron cryo-microscopy
and tomography" (J. Struct. Biol. 2015), through mrcfile's record type; deviations: IMOD's ``mrc_format.txt``.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.volumes import grid
from cryomamba.volumes.grid import Triple
from cryomamba.volumes.header_fields import HEADER_NBYTES, MAX_SIDE, MODES, HeaderFields
from cryomamba.volumes.metadata import VolumeWarning

_REFUSED_MODES = {3: "complex 16-bit integers", 4: "complex 32-bit floats", 16: "RGB colours"}

CONVERT_HINT = "Convert TIFF and OME-Zarr to MRC with 'cryomamba convert'; the desktop app opens them as they are."
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # of either byte order, and BigTIFF
_IMOD_STAMP = b"IMOD"
_IMOD_SIGNED_BYTES, _IMOD_STANDARD_ORIGIN, _IMOD_HALF_BYTES = 1, 4, 16
_IMOD_AT, _MAP_AT, _STAMP_AT = 152, 208, 212
_VOLUME_STACKS = range(401, 631)


def parse_header(raw: bytes, file_size: int | None) -> HeaderFields:
    """Parse and check the first 1024 bytes of a file.

    Parameters
    ----------
    raw : bytes
        The first 1024 bytes (fewer are an error, more are ignored).
    file_size : int or None
        Length of the uncompressed file in bytes; None if unknown (a compressed file).

    Returns
    -------
    HeaderFields
        Consistent with each other and, if its size is known, with the file.

    Raises
    ------
    VolumeError
        ``volume_unreadable``: not an MRC file, truncated, or a header that contradicts the file.
        ``volume_unsupported``: a mode or a layout that is not a volume of real numbers.
    """
    if raw.startswith(_TIFF):
        raise _not_mrc("It is a TIFF file.", hint=CONVERT_HINT)
    if len(raw) < HEADER_NBYTES:
        raise _not_mrc(f"The file has {len(raw)} bytes; an MRC header alone has {HEADER_NBYTES}.")
    raw = bytes(raw[:HEADER_NBYTES])
    warnings: list[VolumeWarning] = []
    order = _byte_order(raw, warnings)
    record = np.frombuffer(raw, HEADER_DTYPE.newbyteorder(order))[0]
    header = _assemble(record, raw, order, warnings)
    _check_size(header, file_size, named=raw[_MAP_AT : _MAP_AT + 3] == b"MAP", warnings=warnings)
    return dataclasses.replace(header, warnings=tuple(warnings))


def _assemble(record: np.void, raw: bytes, order: str, warnings: list[VolumeWarning]) -> HeaderFields:
    nx, ny, nz, mode = (int(record[name]) for name in ("nx", "ny", "nz", "mode"))
    _check_mode(mode)
    _check_sides(nx, ny, nz)
    imod, flags = _imod(raw, order)
    halved = mode == 0 and imod and bool(flags & _IMOD_HALF_BYTES)
    mx, my, mz = (int(record[name]) for name in ("mx", "my", "mz"))
    cell = _numbers(record["cella"])
    if halved:
        if mx == nx:
            mx, cell = 2 * nx, (2 * cell[0], cell[1], cell[2])
        nx *= 2
    file_shape = (nz, ny, nx)
    axes = _axes(record, warnings)
    angles = _numbers(record["cellb"])
    space_group = int(record["ispg"])
    if space_group in _VOLUME_STACKS and nz != mz:
        raise VolumeError(
            "The file is a stack of several volumes.",
            code=ErrorCode.VOLUME_UNSUPPORTED,
            hint="Save each volume of the stack as a separate file.",
        )
    z, y, x = grid.to_zyx(axes)
    shape_xyz = (file_shape[x], file_shape[y], file_shape[z])
    origin = _numbers(record["origin"])
    legacy = imod and not flags & _IMOD_STANDARD_ORIGIN and int(record["nversion"]) <= 0
    extended = int(record["nsymbt"])
    if extended < 0:
        raise _not_mrc("The header gives a negative length of the extended header.")
    return HeaderFields(
        byte_order=order,
        mode=mode,
        dtype="|u1" if mode == 101 or halved else _dtype(mode, order, imod, flags, record, warnings),
        nibbles=mode == 101 or halved,
        file_shape=file_shape,
        axes=axes,
        nstart=(int(record["nxstart"]), int(record["nystart"]), int(record["nzstart"])),
        grid=(mx, my, mz),
        cell_A=cell,
        angles=angles,
        origin_A=origin,
        standard_origin_A=(-origin[0], -origin[1], -origin[2]) if legacy else origin,
        voxel_size_A=grid.voxel_size((mx, my, mz), cell, shape_xyz, angles, warnings),
        space_group=space_group,
        imod_signed=mode == 0 and imod and not halved and bool(flags & _IMOD_SIGNED_BYTES),
        extended_type=_text(bytes(record["exttyp"])) if extended else "",
        extended_nbytes=extended,
        labels=_labels(record),
    )


def _byte_order(raw: bytes, warnings: list[VolumeWarning]) -> str:
    stamped = {b"DD": "<", b"DA": "<", b"\x11\x11": ">"}.get(raw[_STAMP_AT : _STAMP_AT + 2])
    if stamped and _plausible(raw, stamped):
        return stamped
    guesses = [order for order in "<>" if order != stamped and _plausible(raw, order)]
    if guesses:
        warnings.append(
            VolumeWarning(
                code="machine_stamp",
                message="The machine stamp does not match the byte order of the header.",
                hint="The byte order was inferred from the header's numbers; check that the volume looks as expected.",
            )
        )
        return guesses[0]
    if stamped and raw[_MAP_AT : _MAP_AT + 3] == b"MAP":
        return stamped
    raise _not_mrc("It does not begin with an MRC header.")


def _plausible(raw: bytes, order: str) -> bool:
    nx, ny, nz, mode = (int(n) for n in np.frombuffer(raw[:16], f"{order}i4"))
    return all(0 < n < MAX_SIDE for n in (nx, ny, nz)) and (mode in MODES or mode in _REFUSED_MODES)


def _check_mode(mode: int) -> None:
    if mode in MODES:
        return
    if mode in _REFUSED_MODES:
        raise VolumeError(
            f"The file contains {_REFUSED_MODES[mode]} (MRC mode {mode}), not densities.",
            code=ErrorCode.VOLUME_UNSUPPORTED,
            hint="Use the real-space reconstruction, in mode 0, 1, 2, 6, 12 or 101.",
            details={"mode": mode},
        )
    raise VolumeError(
        f"The header gives MRC mode {mode}, which does not exist.",
        code=ErrorCode.VOLUME_UNSUPPORTED,
        hint="Export the volume again in mode 2 (32-bit floats).",
        details={"mode": mode},
    )


def _check_sides(nx: int, ny: int, nz: int) -> None:
    if not all(0 < n < MAX_SIDE for n in (nx, ny, nz)):
        raise VolumeError(
            f"The header gives impossible dimensions: {nx} columns, {ny} rows, {nz} sections.",
            hint="The file is damaged or not an MRC file. Export the volume again.",
        )


def _check_size(header: HeaderFields, file_size: int | None, *, named: bool, warnings: list[VolumeWarning]) -> None:
    expected = header.data_offset + header.data_nbytes
    if not named and file_size != expected:
        raise _not_mrc("Its header lacks the identifier MAP.")
    if not named:
        warnings.append(
            VolumeWarning(
                code="map_id_missing",
                message="The header lacks the identifier MAP, like files from before the year 2000.",
                hint="Dimensions and file size match, so it was read as a volume; check that it looks as expected.",
            )
        )
    if file_size is not None and file_size < expected:
        sides = " × ".join(str(n) for n in header.shape)
        raise VolumeError(
            f"The file is truncated: {sides} voxels need {expected:,} bytes, but it has {file_size:,}.",
            hint="Copy or export the file again; the transfer was probably interrupted.",
            details={"expected_bytes": expected, "size_bytes": file_size},
        )
    if file_size is not None and file_size > expected:
        warnings.append(
            VolumeWarning(
                code="trailing_bytes",
                message=f"The file has {file_size - expected:,} bytes more than its header describes.",
                hint="They are ignored.",
            )
        )


def _axes(record: np.void, warnings: list[VolumeWarning]) -> tuple[int, int, int]:
    mapc, mapr, maps = (int(record[name]) for name in ("mapc", "mapr", "maps"))
    if {mapc, mapr, maps} == {1, 2, 3}:
        return mapc, mapr, maps
    warnings.append(
        VolumeWarning(
            code="axes_invalid",
            message=f"The header's axis order ({mapc}, {mapr}, {maps}) is invalid.",
            hint="Columns, rows and sections were read as x, y and z.",
        )
    )
    return 1, 2, 3


def _dtype(mode: int, order: str, imod: bool, flags: int, record: np.void, warnings: list[VolumeWarning]) -> str:
    if mode != 0:
        return order + MODES[mode]
    if imod:
        return "|i1" if flags & _IMOD_SIGNED_BYTES else "|u1"
    low, high = float(record["dmin"]), float(record["dmax"])
    if 0 <= low < high <= 255 and high > 127:
        warnings.append(
            VolumeWarning(
                code="byte_mode_unsigned",
                message=f"Mode 0 means signed bytes, but the header gives values up to {high:g}.",
                hint="The voxels were read as unsigned bytes (0 to 255), as older programs write them.",
            )
        )
        return "|u1"
    return "|i1"


def _imod(raw: bytes, order: str) -> tuple[bool, int]:
    stamp = raw[_IMOD_AT : _IMOD_AT + 4]
    flags = int(np.frombuffer(raw, f"{order}i4", count=1, offset=_IMOD_AT + 4)[0])
    return stamp == (_IMOD_STAMP[::-1] if order == ">" else _IMOD_STAMP), flags


def _numbers(triple: np.void) -> Triple:
    x, y, z = (float(number) if math.isfinite(number) else 0.0 for number in triple.item())
    return x, y, z


def _labels(record: np.void) -> tuple[str, ...]:
    count = min(max(int(record["nlabl"]), 0), 10)
    return tuple(text for text in (_text(bytes(label)) for label in record["label"][:count]) if text)


def _text(raw: bytes) -> str:
    return "".join(c for c in raw.decode("ascii", "ignore") if c.isprintable()).strip()


def _not_mrc(
    why: str, hint: str = "CryoMamba reads .mrc, .rec, .map, .st and .ali files, also compressed as .gz or .bz2."
) -> VolumeError:
    return VolumeError(f"The file is not an MRC volume. {why}", hint=hint)
