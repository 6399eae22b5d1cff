"""The file that a tomogram layer shows. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from cryomamba.geometry import Spacing
from cryomamba.volumes import HeaderFields, VolumeMeta
from cryomamba.volumes.images import ImageVolume, is_url


@dataclass(frozen=True, slots=True)
class Source:
    """The file behind a layer; kept in the layer's metadata.

    Attributes
    ----------
    path : Path
        The MRC file, absolute; of another format, where it is written as MRC before an engine needs it.
    header : HeaderFields
        Its header, from which the header of a mask is made.
    is_mask : bool
        Whether it is shown as a mask: CryoMamba wrote it as one, or the user opened it as one.
    corrected : bool
        Whether the user replaced the header's voxel size.
    image : ImageVolume or None
        The voxels of another format than MRC.
    location : str
        Where these were opened: a path or an address; empty for a layer of another program.
    looks_like_mask : bool
        Whether a sample of the voxels could be labels.
    """

    path: Path
    meta: VolumeMeta
    header: HeaderFields
    is_mask: bool = False
    corrected: bool = False
    image: ImageVolume | None = field(default=None, compare=False, repr=False)
    location: str = ""
    looks_like_mask: bool = False

    @classmethod
    def of_image(cls, image: ImageVolume, path: Path, location: str = "") -> Self:
        """Return the source of voxels of another format, which are written to `path` when an engine needs them."""
        return cls(path, image.meta, image.header, image=image, location=location)

    @property
    def opened(self) -> str:
        """What has to be opened to see the same again, a path or an address; empty if that is impossible."""
        return self.location if self.image is not None else str(self.path)

    @property
    def folder(self) -> Path | None:
        """The folder of the file that was opened, to be offered for saving; None if it is not on this computer."""
        opened = self.opened
        return None if not opened or is_url(opened) else Path(opened).parent

    def with_voxel_size(self, voxel_size_A: Spacing) -> Source:
        """Return the same source with another voxel size (Å; z, y, x) than the header's.

        Raises
        ------
        VolumeError
            The size is not plausible.
        """
        header = self.header.with_voxel_size(voxel_size_A)
        meta = header.describe(self.meta.name, self.meta.size_bytes, self.meta.compression)
        return replace(self, header=header, meta=meta, corrected=True)
