"""Write MRC2014 headers: little-endian, version 20141, no extended header. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from cryomamba._version import __version__
from cryomamba.volumes.header_fields import HeaderFields
from cryomamba.volumes.moments import Moments

_LABELS, _LABEL_NBYTES = 10, 80
_VERSION = 20141
_OWN = "CryoMamba "
ResultKind = Literal["mask", "scores", "uncertainty"]


def encode_header(header: HeaderFields, labels: tuple[str, ...], moments: Moments | None = None) -> bytes:
    """Return the 1024 bytes of an MRC2014 header.

    Parameters
    ----------
    header : HeaderFields
        Shape, mode and placement; always written little-endian.
    labels : tuple of str
        Text labels; the first ten are kept.
    moments : Moments, optional
        Statistics of the voxels; marked as undetermined if not given.
    """
    record = np.zeros((), HEADER_DTYPE.newbyteorder("<"))
    record["nz"], record["ny"], record["nx"] = header.file_shape
    record["mode"] = header.mode
    record["nxstart"], record["nystart"], record["nzstart"] = header.nstart
    record["mx"], record["my"], record["mz"] = header.grid
    record["cella"] = header.cell_A
    record["cellb"] = header.angles
    record["mapc"], record["mapr"], record["maps"] = header.axes
    record["ispg"] = header.space_group
    record["nversion"] = _VERSION
    record["origin"] = header.standard_origin_A
    record["map"] = b"MAP "
    record["machst"] = (0x44, 0x44, 0, 0)
    record["dmin"], record["dmax"], record["dmean"], record["rms"] = _statistics(moments)
    kept = [_ascii(label) for label in labels if _ascii(label)][:_LABELS]
    record["nlabl"] = len(kept)
    record["label"][: len(kept)] = kept
    return record.tobytes()


def own_label(what: str) -> str:
    """Return a text label with the program and version that wrote a file."""
    return f"{_OWN}{__version__}: {what}"


def is_own_volume(labels: Sequence[str]) -> bool:
    """Return whether the text labels of a file's header say that CryoMamba wrote it last, whatever it contains."""
    return bool(labels) and labels[-1].startswith(_OWN)


def is_own_result(labels: Sequence[str]) -> bool:
    """Return whether the text labels of a file's header identify it as a result of CryoMamba."""
    return is_own_volume(labels) and result_kind(labels[-1:]) is not None


def result_kind(labels: Sequence[str]) -> ResultKind | None:
    """Return what CryoMamba wrote a file as, by its header's text labels; other programs may have added more."""
    own = [label.rstrip() for label in labels if label.startswith(_OWN)]
    return next((kind for kind in get_args(ResultKind) if own and own[-1].endswith(f" {kind}")), None)


def _statistics(moments: Moments | None) -> tuple[float, float, float, float]:
    if moments is None or not moments.count:
        # "Not determined" in MRC2014: a maximum below the minimum, a mean below both, a negative rms.
        return 0.0, -1.0, -2.0, -1.0
    return moments.minimum, moments.maximum, moments.mean, moments.std


def _ascii(text: str) -> bytes:
    printable = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return printable.encode()[:_LABEL_NBYTES].rstrip()
