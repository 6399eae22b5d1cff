"""The file that a tomogram layer shows. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cryomamba.geometry import Spacing
from cryomamba.volumes import HeaderFields, VolumeMeta


@dataclass(frozen=True, slots=True)
class Source:
    """The file behind a layer; kept in the layer's metadata.

    Attributes
    ----------
    path : Path
        The file, absolute.
    header : HeaderFields
        Its header, from which the header of a mask is made.
    is_mask : bool
        Whether it is shown as a mask: CryoMamba wrote it as one, or the user opened it as one.
    corrected : bool
        Whether the user replaced the header's voxel size.
    """

    path: Path
    meta: VolumeMeta
    header: HeaderFields
    is_mask: bool = False
    corrected: bool = False

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
