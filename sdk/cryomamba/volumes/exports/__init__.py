"""Masks and volumes in the formats of other programs, written slab by slab."""

from .nifti import write_nifti
from .nrrd import write_nrrd
from .ome_zarr import write_ome_zarr
from .tiff import write_tiff

__all__ = ["write_nifti", "write_nrrd", "write_ome_zarr", "write_tiff"]
