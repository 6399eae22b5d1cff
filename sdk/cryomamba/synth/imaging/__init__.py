"""Imaging: what microscope, tilt series, reconstruction and later processing make of a density.

`image` applies an `ImagingSpec` to a density; `measured_region` returns the voxels that its padding leaves.
"""

from cryomamba.synth.imaging.pipeline import image
from cryomamba.synth.imaging.processing import measured_region
from cryomamba.synth.imaging.spec import ImagingSpec

__all__ = ["ImagingSpec", "image", "measured_region"]
