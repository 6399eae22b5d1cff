"""What the helper processes do for the gateway: cut chunks and sections out of volumes, and make coarser levels."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cryomamba.errors import ErrorCode, UnavailableError, VolumeError
from cryomamba.system_errors import system_errors_translated
from cryomamba.volumes.binning import read_level
from cryomamba.volumes.voxel_file import Array
from cryomamba_gateway.png import section_png
from cryomamba_gateway.volumes.chunks import encode_chunk, voxels_of
from cryomamba_gateway.volumes.hierarchy import Index, chunk_shape
from cryomamba_gateway.volumes.level_file import LevelFile
from cryomamba_gateway.volumes.level_store import LevelStore
from cryomamba_gateway.volumes.open_images import ImageSource, OpenImage, OpenImages
from cryomamba_gateway.volumes.sections import SectionQuery, section_of

Limits = tuple[float, float]
_LEVEL_FILES_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class LevelFolder:
    """Where coarser levels are kept; see :class:`LevelStore`."""

    path: Path
    max_nbytes: int
    reserve_nbytes: int

    def open(self) -> LevelStore:
        """Return the store."""
        return LevelStore(self.path, self.max_nbytes, self.reserve_nbytes)


@dataclass(frozen=True, slots=True)
class ImageState:
    """A state of an image, as a client knows it.

    Attributes
    ----------
    source : ImageSource
    key : str
        That of the open image.
    large : bool
        Whether its coarser levels are made once and kept.
    """

    source: ImageSource
    key: str
    large: bool


class _Reader:
    """The open files of a process."""

    def __init__(self, folder: LevelFolder) -> None:
        self.store = folder.open()
        self.images = OpenImages()
        self._levels: dict[str, LevelFile] = {}

    def levels(self, opened: OpenImage) -> LevelFile | None:
        """Return the levels of an image, if they are there."""
        found = self._levels.pop(opened.levels_key, None) or self.store.open(opened.levels_key, opened.image)
        if found is not None:
            self._levels[opened.levels_key] = found
            while len(self._levels) > _LEVEL_FILES_MAX:
                self._levels.pop(next(iter(self._levels))).close()
        return found


_readers: list[_Reader] = []


def prepare(folder: LevelFolder) -> None:
    """Prepare a process for the functions below."""
    _readers.append(_Reader(folder))


def contrast_limits_of(source: ImageSource) -> Limits | None:
    """Return good limits for the display of an image; None for labels."""
    with system_errors_translated(), _readers[0].images.lease(source) as opened:
        return opened.contrast_limits


def read_chunks(state: ImageState, number: int, members: list[Index]) -> tuple[dict[Index, bytes], bool]:
    """Return chunks of a level that lie side by side along x, and whether they are made of a sample.

    Raises
    ------
    VolumeError
        ``volume_changed``, or as :meth:`OpenImages.lease`.
    """
    with system_errors_translated(), _readers[0].images.lease(state.source) as opened:
        _require_unchanged(opened, state)
        image, level = opened.image, opened.image.levels[number]
        shape = chunk_shape(level)
        sampled = state.large and number > 0
        if sampled and (levels := _readers[0].levels(opened)) is not None:
            cut = partial(encode_chunk, shape=shape, compressed=image.compressed)
            return {index: cut(levels.chunk(number, index)) for index in members}, False
        voxels = {index: voxels_of(level, index) for index in members}
        z, y, first = voxels[members[0]]
        columns = slice(first.start, voxels[members[-1]][2].stop)
        block: Array = read_level(opened.content, level, z, y, columns, rows_max=1 if sampled else None)
        found = {}
        for index, (_, _, x) in voxels.items():
            part = block[:, :, x.start - first.start : x.stop - first.start]
            found[index] = encode_chunk(part, shape, compressed=image.compressed)
        return found, sampled


def read_section(state: ImageState, query: SectionQuery, limits: Limits | None) -> tuple[bytes, bool]:
    """Return a section as an image, and whether it is made of a sample; errors as for :func:`read_chunks`."""
    with system_errors_translated(), _readers[0].images.lease(state.source) as opened:
        _require_unchanged(opened, state)
        section = section_of(opened.content, query, partial(_readers[0].levels, opened) if state.large else None)
        return section_png(section.values, limits), section.sampled


def make_levels(source: ImageSource) -> bool:
    """Make the coarser levels of an image; return False if there is no room for them.

    Raises
    ------
    CryoMambaError
        As :meth:`LevelStore.make` and :meth:`OpenImages.lease`.
    """
    reader = _readers[0]
    with system_errors_translated(), reader.images.lease(source) as opened:
        return reader.store.make(opened.levels_key, opened.image, opened.content, opened.level_source, _require_parent)


def _require_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        raise UnavailableError("The gateway has ended.")


def _require_unchanged(opened: OpenImage, state: ImageState) -> None:
    if opened.key != state.key:
        raise VolumeError(
            f"{opened.image.name} was changed while it was read.",
            code=ErrorCode.VOLUME_CHANGED,
            hint="Once the file is complete and no longer changes, open it again.",
        )
