"""Volumes over HTTP: OME-Zarr made on the fly, and slices as images."""
