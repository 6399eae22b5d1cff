"""TIFF, OME-TIFF and ImageJ's TIFF: voxels mapped where they are stored plainly, else read section by section."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET  # nosec B405

import numpy as np
from numpy.typing import NDArray

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.geometry import Shape, Spacing
from cryomamba.optional_imports import import_optional
from cryomamba.printable import file_text
from cryomamba.volumes.images.bounded_segments import bound_segments
from cryomamba.volumes.images.image_volume import Block, ImageInfo, ImageVolume, damage_explained
from cryomamba.volumes.images.units import LENGTHS_A

_OWN: Final = "CryoMamba "
_UNCOMPRESSED: Final = 1
_CACHED_SECTIONS: Final = 8
SECTION_NBYTES_MAX: Final = 2 << 30
"""What is decompressed at once, whatever the file says; a section of a tomogram has at most some hundred MB."""
_SECTION_AXES: Final = "ZIQ"
"""tifffile's names of an axis of sections, also where the file does not say what it is."""


def open_tiff(path: Path) -> ImageVolume:
    """Open a TIFF file of sections.

    Raises
    ------
    VolumeError
        ``volume_unreadable`` or ``volume_unsupported``.
    InvalidRequestError
        ``engine_unavailable``: tifffile is not installed.
    """
    tifffile = import_optional("tifffile")
    name = file_text(path.name)
    with _explained(name), ExitStack() as stack:
        file = stack.enter_context(tifffile.TiffFile(path))
        volume = _opened(file, path, name)
        stack.pop_all()
        return volume


def _explained(name: str) -> AbstractContextManager[None]:
    return damage_explained(name, "TIFF", "Check that the file is complete, and its permissions.")


def _opened(file: Any, path: Path, name: str) -> ImageVolume:  # noqa: ANN401
    series = file.series[0]
    shape = _volume_shape(name, series)
    _require_one_folder(name, path, series)
    info = ImageInfo(
        name=name,
        format="OME-TIFF" if file.is_ome else "ImageJ TIFF" if file.is_imagej else "TIFF",
        voxel_size_A=_voxel_size(file),
        placement_A=_placement(file),
        is_labels=_is_own_mask(file, series),
        size_bytes=path.stat().st_size,
    )
    if series.dataoffset is not None and series.keyframe.compression == _UNCOMPRESSED:
        file.close()
        mapped = np.memmap(path, series.dtype.newbyteorder(file.byteorder), "r", series.dataoffset, shape)
        return ImageVolume(mapped, info)
    _require_readable_sections(name, shape, series.dtype)
    return ImageVolume(TiffSections(name, series, shape), info, file.close)


def _require_readable_sections(name: str, shape: Shape, dtype: np.dtype[Any]) -> None:
    """Refuse sections that would fill the memory when a single one is read."""
    _, height, width = shape
    if height * width * dtype.itemsize > SECTION_NBYTES_MAX:
        raise VolumeError(
            f"{name} has sections of {width:,} × {height:,} pixels.",
            code=ErrorCode.VOLUME_UNSUPPORTED,
            hint=f"Save it without compression, or with sections of at most {SECTION_NBYTES_MAX >> 30} GiB.",
        )


def _require_one_folder(name: str, path: Path, series: Any) -> None:  # noqa: ANN401
    """Refuse sections in files of other folders: an image that somebody else has made could name any file."""
    # Without following links: a folder of links to the files of an image is one folder.
    files = {os.path.abspath(page.parent.filehandle.path) for page in series.pages if page is not None}  # noqa: PTH100
    # Newer versions of tifffile leave such sections out themselves, and would give zeros for them.
    absent = any(page is None for page in series.pages)
    if absent or {os.path.dirname(file) for file in files} - {os.path.dirname(os.path.abspath(path))}:  # noqa: PTH100, PTH120
        raise VolumeError(
            f"{name} has sections in files of other folders, or in files that are missing.",
            code=ErrorCode.VOLUME_UNSUPPORTED,
            hint="Put all files of the image into one folder, or save it as one file.",
        )


class TiffSections:
    """The sections of a file that cannot be mapped, because they are compressed or lie apart; the last few are kept."""

    def __init__(self, name: str, series: Any, shape: Shape) -> None:  # noqa: ANN401 (tifffile's series)
        self._name = name
        self.shape, self.dtype = shape, np.dtype(series.dtype).newbyteorder("=")
        self._series = series
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, NDArray[Any]] = OrderedDict()

    def __getitem__(self, index: Block) -> NDArray[Any]:
        z, y, x = index
        sections = [self._section(at)[y, x] for at in range(*z.indices(self.shape[0]))]
        if not sections:
            return np.empty((0, *np.empty(self.shape[1:], np.bool_)[y, x].shape), self.dtype)
        return np.stack(sections)

    def _section(self, at: int) -> NDArray[Any]:
        with self._lock:
            if at not in self._kept:
                with _explained(self._name):
                    page = self._series.pages[at]
                    bound_segments(page, self._name)
                    self._kept[at] = self._read(page).reshape(self.shape[1:])
                if len(self._kept) > _CACHED_SECTIONS:
                    self._kept.popitem(last=False)
            return self._kept[at]

    @staticmethod
    def _read(page: Any) -> NDArray[Any]:  # noqa: ANN401 (tifffile's page)
        file = page.parent.filehandle
        if not file.closed:
            return np.asarray(page.asarray())
        # One of several files of an image: there may be more than can be open at the same time.
        file.open()
        try:
            return np.asarray(page.asarray())
        finally:
            file.close()


def _volume_shape(name: str, series: Any) -> Shape:  # noqa: ANN401
    sides = [(axis, side) for axis, side in zip(series.axes, series.shape, strict=True) if side > 1 or axis in "YX"]
    axes = "".join(axis for axis, _ in sides)
    if len(sides) == 3 and axes[0] in _SECTION_AXES and axes[1:] == "YX":
        return tuple(side for _, side in sides)
    if axes == "YX":
        why, hint = "has one section", "Open a file with all sections of the tomogram."
    elif "S" in axes:
        why, hint = "has colours", "Save it as greyscale, for example with Fiji: Image → Type → 32-bit."
    else:
        listed = ", ".join(f"{axis} {side}" for axis, side in sides)
        why, hint = f"has other axes than z, y and x ({listed})", "Save one channel and one time point of it."
    raise VolumeError(f"{name} {why}.", code=ErrorCode.VOLUME_UNSUPPORTED, hint=hint)


def _voxel_size(file: Any) -> Spacing | None:  # noqa: ANN401
    if file.is_ome:
        return _of_ome(file.ome_metadata, "PhysicalSize{}", "Pixels", "µm")
    if file.is_imagej:
        return _of_imagej(file)
    return None


def _placement(file: Any) -> Spacing:  # noqa: ANN401
    found = _of_ome(file.ome_metadata, "Position{}", "Plane", "") if file.is_ome else None
    return found or (0.0, 0.0, 0.0)


def _of_ome(xml: str, attribute: str, element: str, default_unit: str) -> Spacing | None:
    """Return three lengths in Å of the first element of that name; None if one is missing."""
    if "<!DOCTYPE" in xml:
        # OME's metadata have none; without it there are no entities to expand.
        return None
    try:
        root = ET.fromstring(xml)  # noqa: S314  # nosec B314
    except ET.ParseError:
        return None
    found = next(root.iter(root.tag.rpartition("}")[0] + "}" + element if "}" in root.tag else element), None)
    if found is None:
        return None
    lengths = []
    for axis in "ZYX":
        name = attribute.format(axis)
        text, unit = found.get(name), LENGTHS_A.get(found.get(f"{name}Unit", default_unit))
        if text is None or unit is None:
            return None
        try:
            lengths.append(float(text) * unit)
        except ValueError:
            return None
    return lengths[0], lengths[1], lengths[2]


def _of_imagej(file: Any) -> Spacing | None:  # noqa: ANN401
    metadata, tags = file.imagej_metadata or {}, file.pages[0].tags
    unit = LENGTHS_A.get(str(metadata.get("unit", "")).replace("\\u00B5", "µ").replace("\\u00C5", "Å"))
    if unit is None or "XResolution" not in tags or "YResolution" not in tags:
        return None
    per_unit = [
        numerator / (denominator or 1) for numerator, denominator in (tags[f"{axis}Resolution"].value for axis in "YX")
    ]
    if not all(per_unit):
        return None
    y, x = (unit / count for count in per_unit)
    return float(metadata.get("spacing") or 0) * unit or x, y, x


def _is_own_mask(file: Any, series: Any) -> bool:  # noqa: ANN401
    """Whether this program exported it as a mask: only those are compressed."""
    own = file.is_ome and f"<Description>{_OWN}" in file.ome_metadata
    return bool(own) and series.dtype.kind == "u" and series.keyframe.compression != _UNCOMPRESSED
