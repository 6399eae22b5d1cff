"""Preview frames: the whole mask of a running job, downsampled by an integer factor, to be overlaid on the tomogram."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Shape, Spacing


@dataclass(frozen=True, slots=True, repr=False)
class PreviewFrame:
    """One frame; it stands on its own.

    Attributes
    ----------
    job_id : str
    mask : ndarray of uint8 or uint16, ZYX
        Labels; 0 is background. Writable and not shared with anybody.
    scale : tuple of int
        Tomogram voxels per preview voxel along z, y, x: preview voxel ``i`` covers ``i·f … i·f + f − 1``.
    volume_shape : tuple of int
        ZYX shape of the tomogram.
    voxel_size_A : tuple of float
        Voxel size of the *tomogram* in ångström (z, y, x).
    progress : float
        0 to 1.
    engine : str
    labels : mapping of int to str
        Names of the labels.
    attempt : int
    final : bool
        Whether this is the finished mask.
    coarse : bool
        Whether this is the coarse preview, made from a binned copy, which full resolution replaces.
    seq : int
        Number of the frame as its sender counts.
    ts : float
        Seconds since 1970 when it was made, on the sender's clock.
    """

    job_id: str
    mask: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    scale: Shape
    volume_shape: Shape
    voxel_size_A: Spacing
    progress: float
    engine: str
    labels: Mapping[int, str] = field(default_factory=dict)
    attempt: int = 1
    final: bool = False
    coarse: bool = False
    seq: int = 0
    ts: float = 0.0

    def __repr__(self) -> str:
        final = ", final" if self.final else ""
        return f"<PreviewFrame {self.seq} of job {self.job_id}, {self.mask.shape} {self.mask.dtype}{final}>"

    @property
    def scale_A(self) -> Spacing:
        """Size of a preview voxel in ångström (z, y, x)."""
        z, y, x = (size * factor for size, factor in zip(self.voxel_size_A, self.scale, strict=True))
        return z, y, x

    @property
    def translate_A(self) -> Spacing:
        """Centre of the first preview voxel, in ångström from the centre of the tomogram's first voxel (z, y, x)."""
        z, y, x = (size * (factor - 1) / 2 for size, factor in zip(self.voxel_size_A, self.scale, strict=True))
        return z, y, x
