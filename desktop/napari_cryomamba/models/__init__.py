"""The state of the desktop as plain Python, without Qt and napari."""
