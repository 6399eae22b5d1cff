"""Metadata of a tomogram, as pairs of label and text."""

from __future__ import annotations

from cryomamba.geometry import Shape, Spacing
from cryomamba.volumes import Statistics, VolumeMeta
from cryomamba.volumes.images import ImageVolume

_MODE_NAMES = {0: "int8", 1: "int16", 2: "float32", 6: "uint16", 12: "float16", 101: "4 bits"}


def image_rows(image: ImageVolume, voxel_size_A: Spacing) -> list[tuple[str, str]]:
    """Return what is known of a volume of another format than MRC, as label and text."""
    rows = [
        *_grid_rows(image.shape, voxel_size_A),
        ("Format", f"{image.format}, {image.voxels.dtype.name}"),
        ("Origin (x, y, z)", ", ".join(f"{v:g}" for v in image.meta.origin_A) + " Å"),
    ]
    if image.meta.size_bytes:
        rows.insert(-1, ("Size on disk", size_text(image.meta.size_bytes)))
    return rows


def header_rows(meta: VolumeMeta) -> list[tuple[str, str]]:
    """Return the fields of the header, as label and text."""
    rows = [
        *_grid_rows(meta.shape, meta.voxel_size_A),
        ("Mode", f"{meta.mode} ({_MODE_NAMES.get(meta.mode, meta.dtype)})"),
        ("File size", size_text(meta.size_bytes) + (f" ({meta.compression})" if meta.compression else "")),
        ("Origin (x, y, z)", ", ".join(f"{v:g}" for v in meta.origin_A) + " Å"),
        ("nxstart, nystart, nzstart", ", ".join(str(v) for v in meta.nstart)),
    ]
    if meta.axes != (1, 2, 3):
        rows.append(("Axes in the file", ", ".join("xyz"[axis - 1] for axis in meta.axes)))
    if meta.extended_header is not None:
        rows.append(("Extended header", f"{meta.extended_header.type}, {size_text(meta.extended_header.nbytes)}"))
    return rows


def _grid_rows(shape: Shape, sizes: Spacing) -> list[tuple[str, str]]:
    z, y, x = shape
    extent = " × ".join(f"{n * s / 10:.0f}" for n, s in zip(shape, sizes, strict=True))
    size = f"{sizes[0]:.3f} Å" if len(set(sizes)) == 1 else " × ".join(f"{s:.3f}" for s in sizes) + " Å"
    return [("Shape (z × y × x)", f"{z} × {y} × {x} voxels"), ("Extent", f"{extent} nm"), ("Voxel size", size)]


def statistics_rows(statistics: Statistics, *, sampled: bool = False) -> list[tuple[str, str]]:
    """Return statistics of the intensities, as label and text, and how many voxels they are of if it is a sample."""
    rows = [("Statistics", f"of a sample of {statistics.count:,} voxels")] if sampled else []
    rows += [
        ("Mean ± sd", f"{statistics.mean:.4g} ± {statistics.std:.4g}"),
        ("Range", f"{statistics.minimum:.4g} … {statistics.maximum:.4g}"),
        ("Median", f"{statistics.percentiles[50.0]:.4g}"),
    ]
    if statistics.non_finite:
        rows.append(("NaN or Inf voxels", f"{statistics.non_finite:,}"))
    return rows


def size_text(count: int) -> str:
    """Return a number of bytes with a decimal unit."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
