"""Engines that are a function on an array, such as a filter of SciPy or scikit-image with a threshold."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar, Generic

from cryomamba.engines.api import Engine, Labels, P, Tile, VolumeContext, Voxels
from cryomamba.engines.densities import Found, Standardizer, as_result
from cryomamba.geometry import Shape, Spacing


class ArrayEngine(Engine[P], Generic[P]):
    """A segmentation method that is a function on an array. A subclass implements :meth:`segment` and :meth:`reach_A`.

    The function is called with one tile and its surroundings after the other, in one or several processes: memory does
    not grow with the volume, and the mask has the same bytes for any number of processes.

    Attributes
    ----------
    standardized : bool
        Whether :meth:`segment` gets densities less their mean over the volume, in units of their standard deviation
        (over the region, if the user has limited the job to one). Otherwise it gets them as stored.
    """

    standardized: ClassVar[bool] = True
    # Filters hold several copies of a tile, some of them in 64 bits.
    tile_bytes: ClassVar[int] = 8 * 1024 * 1024

    def __init__(self, parameters: P) -> None:
        super().__init__(parameters)
        self._standardizer = Standardizer()
        self._voxel_size_A: Spacing = (1.0, 1.0, 1.0)

    @abstractmethod
    def reach_A(self) -> float:
        """Return how far from a voxel, in ångström, densities influence its result; 0 for a function of single voxels.

        For a Gaussian filter, that is its truncation times its standard deviation; of filters one after the other, the
        sum. With less, the mask shows the borders of tiles.
        """

    @abstractmethod
    def segment(self, data: Voxels, voxel_size_A: Spacing) -> Found:
        """Return what is found in an array; must be deterministic.

        Parameters
        ----------
        data : ndarray of float32, ZYX
            Do not modify it.
        voxel_size_A : tuple of float
            Ångström along z, y, x.

        Returns
        -------
        ndarray
            Of the shape of `data`: labels, or booleans for label 1; if `output` is ``scores``, numbers from 0 to 1.
        """

    def halo(self, voxel_size_A: Spacing) -> Shape:
        """Return :meth:`reach_A` in voxels."""
        z, y, x = (math.ceil(self.reach_A() / size) for size in voxel_size_A)
        return z, y, x

    def prepare(self, context: VolumeContext) -> None:
        """Note voxel size, mean and standard deviation. A subclass that calibrates more calls this first."""
        self._voxel_size_A = context.voxel_size_A
        if self.standardized:
            self._standardizer = Standardizer.of(context.statistics)

    def predict(self, tile: Tile) -> Labels:
        """Return what :meth:`segment` finds in the core."""
        data = self._standardizer(tile.data) if self.standardized else tile.data
        found = self.segment(data, self._voxel_size_A)
        return as_result(found, self, data.shape, by=f"The function of the engine '{self.name}'")[tile.core]
