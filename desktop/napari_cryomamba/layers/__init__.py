"""Tomograms, masks, previews, picks and paths as napari layers."""
