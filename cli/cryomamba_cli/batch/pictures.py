"""Pictures of a result: three sections through the tomogram with the mask over them, and a short run through all of z.

Only what is shown is read, so a picture of a large tomogram takes little more time than one of a small one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cryomamba_cli.picture import grey_levels

if TYPE_CHECKING:
    from PIL.Image import Image

    from cryomamba.volumes import Volume

PICTURE_ENDING: Final = ".png"
MOVIE_ENDING: Final = ".apng"
MASK_COLOUR: Final = (255, 130, 0)
_OPACITY: Final = 0.55
_SIDE: Final = 256
"""Pixels along the longer side of a section."""
_MOVIE_SIDE: Final = 192
_FRAMES: Final = 16
_FRAME_MS: Final = 150
_GAP: Final = 6
_PLANES: Final = 5
"""Planes that are averaged in a section, against noise."""
_LEVELS: Final = 64
"""Grey levels: half of a palette; the other half is the same under the mask."""

Plane = NDArray[np.float32]
Labelled = NDArray[np.bool_]


def picture_paths(mask: Path) -> tuple[Path, Path]:
    """Return the paths of the picture and of the movie next to a mask."""
    base = mask.name.removesuffix(".mrc")
    return mask.with_name(base + PICTURE_ENDING), mask.with_name(base + MOVIE_ENDING)


def draw_pictures(tomogram: Path, mask: Path) -> tuple[Path, Path]:
    """Draw the picture and the movie of a mask next to it, and return their paths.

    Parameters
    ----------
    tomogram, mask : Path
        Volumes on the same grid.

    Raises
    ------
    InvalidRequestError
        Pillow is not installed.
    VolumeError
        A volume cannot be read.
    """
    from cryomamba.optional_imports import requires_extra
    from cryomamba.volumes import open_volume

    with requires_extra("inference"):
        import PIL.Image  # noqa: F401 (whether it is there)
    picture, movie = picture_paths(mask)
    with open_volume(tomogram, scratch=mask.parent) as density, open_volume(mask) as labels:
        _sections(density, labels).save(picture, optimize=True)
        frames = list(_frames(density, labels))
    frames[0].save(movie, format="PNG", save_all=True, append_images=frames[1:], duration=_FRAME_MS, loop=0)
    return picture, movie


def _sections(density: Volume, labels: Volume) -> Image:
    """Draw the central sections: xy, below it xz, and beside it zy, so that their axes meet."""
    from PIL import Image

    size = np.array(density.shape) * np.array(density.voxel_size_A)
    depth, height, width = (max(round(float(side / max(size[1:]) * _SIDE)), 8) for side in size)
    depth = min(depth, _SIDE)
    (xy, xy_mask), (xz, xz_mask), (zy, zy_mask) = (_section(density, labels, axis) for axis in (0, 1, 2))
    sheet = Image.new("P", (width + _GAP + depth, height + _GAP + depth), _LEVELS - 1)
    sheet.putpalette(_palette())
    sheet.paste(_drawn(xy, xy_mask, (width, height)), (0, 0))
    sheet.paste(_drawn(xz, xz_mask, (width, depth)), (0, height + _GAP))
    sheet.paste(_drawn(zy.T, zy_mask.T, (depth, height)), (width + _GAP, 0))
    return sheet


def _frames(density: Volume, labels: Volume) -> Iterator[Image]:
    """Draw sections from the lowest z to the highest, all with the grey levels of the central one."""
    depth, height, width = density.shape
    limits = _limits(_mean(density, 0, depth // 2)[0])
    aspect = height * density.voxel_size_A[1] / (width * density.voxel_size_A[2])
    size = (
        (_MOVIE_SIDE, max(round(_MOVIE_SIDE * aspect), 8))
        if aspect <= 1
        else (round(_MOVIE_SIDE / aspect), _MOVIE_SIDE)
    )
    for z in np.unique(np.linspace(0, depth - 1, _FRAMES).round().astype(int)):
        plane, labelled = _section(density, labels, 0, int(z))
        yield _drawn(plane, labelled, size, limits)


def _section(density: Volume, labels: Volume, axis: int, at: int | None = None) -> tuple[Plane, Labelled]:
    """Return the mean density of a few planes, and where the mask is not 0 in the one between them."""
    at = density.shape[axis] // 2 if at is None else at
    return _mean(density, axis, at)[0], _sampled(labels, axis, at, at + 1)[0] != 0


def _mean(volume: Volume, axis: int, at: int) -> Plane:
    first = max(at - _PLANES // 2, 0)
    planes = _sampled(volume, axis, first, min(first + _PLANES, volume.shape[axis]))
    mean: Plane = planes.mean(axis=0, keepdims=True, dtype=np.float32)
    return mean


def _sampled(volume: Volume, axis: int, start: int, stop: int) -> Plane:
    """Return planes across an axis, that axis first, with one of several voxels where there are more than pixels."""
    steps = [max(side // (2 * _SIDE), 1) for side in volume.shape]
    z, y, x = (slice(start, stop) if one == axis else slice(0, side) for one, side in enumerate(volume.shape))
    if axis == 0:
        return volume.read(z, y, x)[:, :: steps[1], :: steps[2]]
    # Section by section: planes across y or x are short runs in the file.
    sections = [volume.read(slice(at, at + 1), y, x)[0] for at in range(0, volume.shape[0], steps[0])]
    block = np.stack(sections)
    return np.moveaxis(block[:, :, :: steps[2]] if axis == 1 else block[:, :: steps[1]], axis, 0)


def _limits(plane: Plane) -> tuple[float, float]:
    low, high = np.percentile(plane, (1.0, 99.0))
    return float(low), max(float(high), float(low) + 1e-12)


def _drawn(plane: Plane, labelled: Labelled, size: tuple[int, int], limits: tuple[float, float] | None = None) -> Image:
    """Return a palette image of a plane (rows, columns), scaled to `size` (width, height)."""
    from PIL import Image

    if limits is None:
        grey = grey_levels(plane)
    else:
        grey = np.clip((plane - limits[0]) / (limits[1] - limits[0]) * 255, 0, 255).astype(np.uint8)
    shrinks = plane.shape[1] > size[0]
    filtered = Image.fromarray(grey).resize(size, Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC)
    covered = np.asarray(Image.fromarray(labelled.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)) > 96
    image = Image.fromarray((np.asarray(filtered) // (256 // _LEVELS) + covered * np.uint8(_LEVELS)).astype(np.uint8))
    image.putpalette(_palette())
    return image


def _palette() -> list[int]:
    grey = np.repeat(np.linspace(0, 255, _LEVELS)[:, None], 3, axis=1)
    tinted = grey * (1 - _OPACITY) + np.array(MASK_COLOUR) * _OPACITY
    return [int(value) for value in np.concatenate((grey, tinted)).round().ravel()]
