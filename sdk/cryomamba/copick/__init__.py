"""copick projects in local folders: tomograms, segmentations and picks in and out.

The layout is that of copick's file system projects (https://copick.github.io/copick/datamodel/), which copick 1 reads.
It is written here with zarr and JSON, because copick 1 needs version 2 of zarr and CryoMamba version 3.
"""

from cryomamba.copick.entries import Entry
from cryomamba.copick.names import Annotation, annotation_of, copick_name
from cryomamba.copick.project import Project, config_path, is_copick_config
from cryomamba.copick.read import read_copick_picks
from cryomamba.copick.reference import PREFIX, Reference, is_reference, parse_reference, resolve
from cryomamba.copick.write import add_picks, add_segmentation, add_tomogram

__all__ = [
    "PREFIX",
    "Annotation",
    "Entry",
    "Project",
    "Reference",
    "add_picks",
    "add_segmentation",
    "add_tomogram",
    "annotation_of",
    "config_path",
    "copick_name",
    "is_copick_config",
    "is_reference",
    "parse_reference",
    "read_copick_picks",
    "resolve",
]
