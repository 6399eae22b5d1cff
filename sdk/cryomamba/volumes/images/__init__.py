"""Volumes in formats of image programs, TIFF and OME-Zarr: read lazily, and written as MRC for what needs that."""

from cryomamba.volumes.images.image_volume import ImageVolume, array_volume
from cryomamba.volumes.images.open_image import FOLDERS, SUFFIXES, is_image, is_url, open_image

__all__ = ["FOLDERS", "SUFFIXES", "ImageVolume", "array_volume", "is_image", "is_url", "open_image"]
