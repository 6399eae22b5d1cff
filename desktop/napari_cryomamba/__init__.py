"""CryoMamba for napari: open a tomogram, segment it with a live preview, edit and save the mask."""

from cryomamba._version import __version__

__all__ = ["__version__"]
