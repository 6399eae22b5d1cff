"""CryoMamba for napari: open a tomogram, run a segmentation, watch the mask grow, keep it."""

from cryomamba._version import __version__

__all__ = ["__version__"]
