"""Tomograms and masks on disk: read, inspect, measure, write, export. Axes are z, y, x; lengths in Å."""

from cryomamba.volumes.allowed_paths import resolve_below, verify_opened
from cryomamba.volumes.average import average_volumes
from cryomamba.volumes.file_version import FileVersion
from cryomamba.volumes.header_encoder import is_own_result, is_own_volume, result_kind
from cryomamba.volumes.header_fields import HeaderFields, blank_header
from cryomamba.volumes.header_parser import parse_header
from cryomamba.volumes.labels import LabelVolume
from cryomamba.volumes.mask_writer import MaskWriter
from cryomamba.volumes.metadata import ExtendedHeader, VolumeMeta, VolumeWarning
from cryomamba.volumes.mrc import Volume, inspect, open_volume
from cryomamba.volumes.statistics import Histogram, Statistics, Subset, check_finite_sample, stream_statistics
from cryomamba.volumes.write import write_volume

__all__ = [
    "ExtendedHeader",
    "FileVersion",
    "HeaderFields",
    "Histogram",
    "LabelVolume",
    "MaskWriter",
    "Statistics",
    "Subset",
    "Volume",
    "VolumeMeta",
    "VolumeWarning",
    "average_volumes",
    "blank_header",
    "check_finite_sample",
    "inspect",
    "is_own_result",
    "is_own_volume",
    "open_volume",
    "parse_header",
    "resolve_below",
    "result_kind",
    "stream_statistics",
    "verify_opened",
    "write_volume",
]
