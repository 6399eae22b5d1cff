"""CryoMamba for napari."""
