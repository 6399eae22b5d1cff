"""One mask and one score map in every flavour in which programs write them, and those that must be refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

SHAPE: Final = (4, 6, 8)
IMOD: Final = 1146047817
"""The four letters with which IMOD marks its headers."""


def labels() -> Any:
    """Return a mask (z, y, x) with two boxes, labels 1 and 2."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:3, 1:4, 1:3] = 1
    mask[1:3, 3:5, 5:8] = 2
    return mask


GOOD: Final = {
    "signed bytes": (labels().astype(np.int8), None),
    "unsigned bytes by the header's maximum": (np.where(labels() == 2, 255, labels()).astype(np.uint8), None),
    "IMOD's unsigned bytes": (np.where(labels() == 2, 255, labels()).astype(np.uint8), 0),
    "IMOD's signed bytes": ((labels().astype(np.int16) - 128).astype(np.int8), 1),
    "another program's mask through IMOD": (labels().astype(np.int8), 1),
    "16-bit integers": (labels().astype(np.int16) * 300, None),
    "unsigned 16-bit integers": (labels().astype(np.uint16) * 30000, None),
    "whole 32-bit floats": (labels().astype(np.float32) * 1000, None),
    "whole 16-bit floats": (labels().astype(np.float16), None),
}
"""What is stored, and IMOD's flags or None, of masks that are read."""

REFUSED: Final = {
    "-1 for voxels to ignore": (labels().astype(np.int16) - (np.arange(192).reshape(SHAPE) % 9 == 8), None),
    "-100 for voxels to ignore": (np.where(labels() == 2, -100, labels().astype(np.int16)), None),
    "-1 in signed bytes": (labels().astype(np.int8) - 1, None),
    "-1 in floats": (labels().astype(np.float32) - 1, None),
    "labels above 65,535": (labels().astype(np.float32) * 100000, None),
    "fractions": (labels().astype(np.float32) / 3, None),
    "densities that are not finite": (np.where(labels() == 2, np.nan, labels()).astype(np.float32), None),
}
"""The same of masks that are refused."""

EXPECTED: Final = {
    "unsigned bytes by the header's maximum": {1: 1, 2: 255},
    "IMOD's unsigned bytes": {1: 1, 2: 255},
    "16-bit integers": {1: 300, 2: 600},
    "unsigned 16-bit integers": {1: 30000, 2: 60000},
    "whole 32-bit floats": {1: 1000, 2: 2000},
}


def scores() -> Any:
    """Return a score map (z, y, x) with all scores from 0 to 127, and from 192 to 255."""
    ramp = np.arange(192).reshape(SHAPE)
    return np.where(ramp < 128, ramp, ramp + 64).astype(np.uint8)


SCORES: Final = {
    "scores: unsigned bytes by the header's maximum": (scores(), None),
    "scores: IMOD's unsigned bytes": (scores(), 0),
    "scores: IMOD's signed bytes": ((scores().astype(np.int16) - 128).astype(np.int8), 1),
    "scores: 16-bit integers": (scores().astype(np.int16), None),
    "scores: unsigned 16-bit integers": (scores().astype(np.uint16), None),
    "scores: whole 32-bit floats": (scores().astype(np.float32), None),
    "scores: whole 16-bit floats": (scores().astype(np.float16), None),
}
"""What is stored, and IMOD's flags or None, of score maps that are read."""

REFUSED_SCORES: Final = {
    "scores: probabilities": (scores().astype(np.float32) / 255, None, "0 to 1, as in a map of probabilities"),
    "scores: fractions": (scores().astype(np.float32) / 2, None, "not whole numbers"),
    "scores: signed bytes, not by IMOD": ((scores().astype(np.int16) - 128).astype(np.int8), None, "-128 to 127"),
    "scores: -1 for voxels to ignore": (np.where(scores() == 9, -1, scores().astype(np.int16)), None, "-1 to 255"),
    "scores: -1 through IMOD": (
        np.where(scores() > 127, -1, scores().astype(np.int16)).astype(np.int8),
        1,
        "-1 to 127",
    ),
    "scores: above 255": (scores().astype(np.int16) * 2, None, "0 to 510"),
}
"""The same of score maps that are refused, and why."""


def expected(flavour: str) -> Any:
    """Return the labels (z, y, x) that a flavour of :data:`GOOD` holds."""
    names, mask = EXPECTED.get(flavour, {1: 1, 2: 2}), labels()
    return np.select([mask == 1, mask == 2], [names[1], names[2]], 0).astype(np.uint16)


def write(path: Path, flavour: str, *labels: str) -> Path:
    """Write a flavour of a mask or a score map as an MRC file with voxels of 10 Å."""
    files: dict[str, Any] = {**GOOD, **REFUSED, **SCORES, **REFUSED_SCORES}
    stored, imod_flags, *_ = files[flavour]
    record = np.zeros((), HEADER_DTYPE.newbyteorder("<"))
    record["nz"], record["ny"], record["nx"] = record["mz"], record["my"], record["mx"] = stored.shape
    record["cella"] = tuple(10.0 * side for side in stored.shape[::-1])
    record["cellb"] = (90.0, 90.0, 90.0)
    record["mapc"], record["mapr"], record["maps"], record["ispg"] = 1, 2, 3, 1
    record["map"], record["machst"], record["nversion"] = b"MAP ", (0x44, 0x44, 0, 0), 20141
    record["mode"] = {"int8": 0, "uint8": 0, "int16": 1, "float32": 2, "uint16": 6, "float16": 12}[stored.dtype.name]
    record["dmin"], record["dmax"] = float(np.nanmin(stored)), float(np.nanmax(stored))
    record["nlabl"] = len(labels)
    record["label"][: len(labels)] = [label.encode() for label in labels]
    raw = bytearray(record.tobytes())
    if imod_flags is not None:
        raw[152:160] = np.array([IMOD, imod_flags], "<i4").tobytes()
    path.write_bytes(bytes(raw) + stored.tobytes())
    return path
