"""Tomograms and masks on disk: open, look, measure, write, export. Axes z, y, x; lengths in Å."""

from .facts import HeaderFacts, blank_header
from .header import parse_header
from .mask import MaskWriter
from .meta import ExtendedHeader, VolumeMeta, VolumeWarning
from .mrc import Volume, inspect, open_volume
from .roots import resolve_below, verify_opened
from .statistics import Histogram, Statistics, check_finite_sample, stream_statistics
from .write import write_volume

__all__ = [
    "ExtendedHeader",
    "HeaderFacts",
    "Histogram",
    "MaskWriter",
    "Statistics",
    "Volume",
    "VolumeMeta",
    "VolumeWarning",
    "blank_header",
    "check_finite_sample",
    "inspect",
    "open_volume",
    "parse_header",
    "resolve_below",
    "stream_statistics",
    "verify_opened",
    "write_volume",
]
