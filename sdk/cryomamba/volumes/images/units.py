"""Units of length, as image formats write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LENGTHS_A: Final[Mapping[str, float]] = {
    "\u00c5": 1.0,
    "\u212b": 1.0,
    "A": 1.0,
    "Angstrom": 1.0,
    "angstrom": 1.0,
    "ångström": 1.0,
    "pm": 0.01,
    "picometer": 0.01,
    "nm": 10.0,
    "nanometer": 10.0,
    "nanometre": 10.0,
    "\u00b5m": 1e4,
    "\u03bcm": 1e4,
    "um": 1e4,
    "micron": 1e4,
    "micrometer": 1e4,
    "micrometre": 1e4,
    "mm": 1e7,
    "millimeter": 1e7,
    "millimetre": 1e7,
}
"""Å per unit; names and symbols, both code points of Å and of µ."""
