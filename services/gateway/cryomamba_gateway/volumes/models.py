"""Descriptions of volumes for clients."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from pydantic import Field

from cryomamba.geometry import Shape, Spacing
from cryomamba.models.base import Record, Request
from cryomamba.models.files import FileRecord
from cryomamba.volumes.grid import Triple
from cryomamba_gateway.volumes.catalog import FIELD_PATHS, TOMOGRAM, Kind
from cryomamba_gateway.volumes.hierarchy import Version
from cryomamba_gateway.volumes.reader import KnownImage

VolumeKind = Literal["tomogram", "labels", "scores", "uncertainty"]
_KINDS: Final[Mapping[str, VolumeKind]] = {TOMOGRAM: "tomogram", **{path: path for path in FIELD_PATHS.values()}}
VERSIONS: Final[tuple[Version, ...]] = ("0.5", "0.4")
SIZE_MAX: Final = 4096
THICKNESS_MAX: Final = 512
_DAY_S: Final = 24 * 3600


class ZarrUrls(Record):
    """Where the images are as OME-Zarr: paths on this gateway, for readers of each version."""

    v0_5: str = Field(description="OME-Zarr 0.5, which is Zarr version 3.")
    v0_4: str = Field(description="OME-Zarr 0.4, which is Zarr version 2.")


class LevelOut(Record):
    """A level of the multiscale image."""

    shape: Shape = Field(description="Voxels along z, y, x.")
    voxel_size_A: Spacing = Field(description="Ångström along z, y, x.")


class VolumeOut(Record):
    """A volume that can be read over HTTP."""

    name: str
    kind: VolumeKind
    zarr_path: str = Field(description="Path of the image in the Zarr hierarchy; empty for its root.")
    shape: Shape = Field(description="Voxels along z, y, x.")
    dtype: str = Field(description="Type of the voxels in the Zarr arrays.")
    voxel_size_A: Spacing = Field(description="Ångström along z, y, x.")
    placement_A: Triple = Field(description="Centre of the first voxel in ångström, along z, y, x.")
    levels: tuple[LevelOut, ...]
    contrast_limits: tuple[float, float] | None = Field(
        description="Good limits for display, from a sample of the volume; null for labels."
    )
    slice_url: str = Field(description="Path of its slices as PNG images.")


class FileOut(FileRecord):
    """An uploaded file, and how to read it."""

    url: str = Field(description="Path of the file itself; supports Range.")
    zarr: ZarrUrls
    volume: VolumeOut | None = Field(description="Null if its parts cannot be read; `problem` says why.")
    problem: str = ""


class InputOut(Record):
    """A tomogram in an allowed input directory, and how to read it."""

    input_id: str
    path: str = Field(description="For the `path` of a job's volume.")
    url: str = Field(description="Path of the file itself; supports Range.")
    zarr: ZarrUrls
    volume: VolumeOut | None = Field(description="Null if its parts cannot be read; `problem` says why.")
    problem: str = ""


class UnreadableVolume(Record):
    """A volume that cannot be read at present."""

    zarr_path: str
    problem: str


class JobVolumes(Record):
    """The tomogram and the finished masks of a job."""

    job_id: str
    zarr: ZarrUrls
    volumes: tuple[VolumeOut, ...]
    unreadable: tuple[UnreadableVolume, ...] = ()
    hint: str = Field("", description="When more will be there.")


class ZarrLink(Record):
    """A link to images as OME-Zarr that works without a token."""

    zarr: ZarrUrls
    expires_at: datetime


class LinkLifetime(Request):
    """The lifetime of a link."""

    lifetime_s: int = Field(_DAY_S, ge=1, le=7 * _DAY_S, description="Seconds.")


class SliceQuery(Request):
    """Which slice, and how it is shown."""

    axis: Literal["z", "y", "x"] = Field("z", description="Axis perpendicular to the slice.")
    index: int | None = Field(None, ge=0, le=2**31, description="Counted from 0; the middle one by default.")
    thickness: int = Field(
        1,
        ge=1,
        le=THICKNESS_MAX,
        description="Slices that are averaged (of labels: the largest), `index` in the middle.",
    )
    low: float | None = Field(None, allow_inf_nan=False, description="Density that becomes black; found by default.")
    high: float | None = Field(None, allow_inf_nan=False, description="Density that becomes white; found by default.")
    size: int = Field(
        512, ge=16, le=SIZE_MAX, description="Maximum of width and height; the slice is binned by an integer to fit."
    )


def zarr_urls(kind: Kind, id_: str, grant: str = "") -> ZarrUrls:
    """Return the URLs of a hierarchy, with a grant those that need no token."""
    shared = f"shared/{grant}/" if grant else ""
    found = [f"/v1/zarr/{version}/{shared}{kind}/{id_}.ome.zarr" for version in VERSIONS]
    return ZarrUrls(v0_5=found[0], v0_4=found[1])


def volume_out(known: KnownImage, path: str, slice_url: str, contrast_limits: tuple[float, float] | None) -> VolumeOut:
    """Return the description of an image."""
    image = known.image
    z, y, x = image.voxel_size_A
    return VolumeOut(
        name=image.name,
        kind=_KINDS.get(path, "labels"),
        zarr_path=path,
        shape=image.levels[0].shape,
        dtype=image.dtype.name,
        voxel_size_A=image.voxel_size_A,
        placement_A=image.placement_A,
        levels=tuple(
            LevelOut(shape=level.shape, voxel_size_A=(z * level.factors[0], y * level.factors[1], x * level.factors[2]))
            for level in image.levels
        ),
        contrast_limits=contrast_limits,
        slice_url=slice_url,
    )
