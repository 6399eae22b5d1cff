"""Export of masks and volumes to the formats of other programs, slab by slab."""

from cryomamba.volumes.exports.amira import write_amira
from cryomamba.volumes.exports.nifti import write_nifti
from cryomamba.volumes.exports.nrrd import write_nrrd
from cryomamba.volumes.exports.ome_zarr import write_ome_zarr
from cryomamba.volumes.exports.tiff import write_tiff

__all__ = ["write_amira", "write_nifti", "write_nrrd", "write_ome_zarr", "write_tiff"]
