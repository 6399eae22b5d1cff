"""What an engine has determined by itself about a volume, such as its contrast, and the line that people read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cryomamba.engines.api import Estimate

_CHECKSUM: Final = "sha256"
_SHOWN: Final = 12
"""Characters of a checksum that people see; the record has all of them."""
_UNITS: Final = {"deg": "°", "A": " Å", "nm": " nm", "nm3": " nm³"}


def estimates_line(estimates: Mapping[str, Estimate]) -> str:
    """Return estimates as one line: ``contrast dark, contrast margin 0.82, tilt range ±60°``; empty if there are none.

    The last part of a name, as in ``tilt_range_deg``, is shown as the unit. A tilt range is that on either side of 0.
    """
    return ", ".join(_item(name, value) for name, value in estimates.items())


def _item(name: str, value: Estimate) -> str:
    text = value if isinstance(value, str) else f"{value:.3g}"
    if name.endswith(_CHECKSUM):
        text = text[:_SHOWN]
    words, _, last = name.rpartition("_")
    if not words or last not in _UNITS:
        return f"{name.replace('_', ' ')} {text}"
    sign = "±" if words == "tilt_range" else ""
    return f"{words.replace('_', ' ')} {sign}{text}{_UNITS[last]}"
