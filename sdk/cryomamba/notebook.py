"""How results show themselves in Jupyter: HTML with a slice of the mask as an inline PNG."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba.volumes import LabelVolume, open_volume

Labels = npt.NDArray[np.unsignedinteger[Any]]

WIDTH_PX: Final = 256
# Background, then one colour for each label in turn, distinguishable for colour-blind people (Okabe and Ito).
_HEX: Final = "18181b 56b4e9 e69f00 009e73 f0e442 0072b2 d55e00 cc79a7"
PALETTE: Final = tuple(tuple(bytes.fromhex(colour)) for colour in _HEX.split())


def central_slice(mask: Labels) -> Labels:
    """Return the middle xy slice of a mask (ZYX), at most :data:`WIDTH_PX` pixels wide and high."""
    plane = mask[mask.shape[0] // 2]
    step = max(1, -(-max(plane.shape) // WIDTH_PX))
    return np.asarray(plane[::step, ::step])


def slice_of_file(path: Path) -> Labels:
    """Return the middle xy slice of a mask in an MRC file, as :func:`central_slice` does.

    Raises
    ------
    VolumeError
        The file is not a mask, or not there any more.
    """
    with open_volume(path) as volume:
        mask, middle = LabelVolume.of(volume), volume.shape[0] // 2
        return central_slice(mask.read_native(slice(middle, middle + 1), slice(None), slice(None)))


def png(plane: Labels) -> bytes:
    """Return a two-dimensional array of labels as a PNG with one colour a label; 0 is background."""
    shades = len(PALETTE) - 1
    colours = np.where(plane == 0, 0, (plane.astype(np.int64) - 1) % shades + 1).astype(np.uint8)
    height, width = plane.shape
    # Each row begins with its filter: none.
    rows = np.concatenate([np.zeros((height, 1), np.uint8), colours], axis=1).tobytes()
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", bytes(value for colour in PALETTE for value in colour)),
            _chunk(b"IDAT", zlib.compress(rows)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def card(title: str, rows: Mapping[str, object], plane: Labels | None = None, *, fraction: float | None = None) -> str:
    """Return HTML with a title, a progress bar, a table of names and values, and a slice of a mask.

    Parameters
    ----------
    title : str
    rows : mapping
    plane : ndarray, optional
        Labels, as of :func:`central_slice`.
    fraction : float, optional
        0 to 1, for the progress bar.
    """
    cells = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in rows.items())
    bar = "" if fraction is None else f'<progress max="1" value="{fraction:.3f}" style="width:100%"></progress>'
    picture = "" if plane is None else _picture(plane)
    return (
        f'<div style="display:flex;gap:1em;align-items:flex-start">{picture}'
        f"<div><strong>{_text(title)}</strong>{bar}<table>{cells}</table></div></div>"
    )


def _picture(plane: Labels) -> str:
    data = base64.b64encode(png(plane)).decode()
    height = max(1, round(WIDTH_PX * plane.shape[0] / plane.shape[1]))
    style = f"width:{WIDTH_PX}px;height:{height}px;image-rendering:pixelated"
    return f'<img alt="central slice of the mask" style="{style}" src="data:image/png;base64,{data}">'


def _text(value: object) -> str:
    return html.escape(str(value))
