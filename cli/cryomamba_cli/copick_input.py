"""Inputs that are in a copick project, by a reference ``copick:CONFIG#RUN/URI``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryomamba.copick import Entry
    from cryomamba.copick.entries import EntryKind
    from cryomamba.picks import Picks, TomogramInfo

_PREFIX = "copick:"


def is_reference(location: Path | str) -> bool:
    """Return whether an input is a reference to a copick project; imports nothing."""
    return str(location).startswith(_PREFIX)


@contextmanager
def local_volume(location: Path, *kinds: EntryKind) -> Iterator[Path]:
    """Yield the path of an input: itself, or an MRC file that is made of what is in the copick project, for the block.

    Raises
    ------
    NotFoundError
        The reference means nothing.
    InvalidRequestError
        It means several things.
    """
    if not is_reference(location):
        yield location
        return
    from cryomamba.copick import resolve
    from cryomamba.volumes.images import open_image

    entry = resolve(location, *kinds)
    with tempfile.TemporaryDirectory(prefix="cryomamba-") as folder:
        path = Path(folder, f"{entry.run}.mrc")
        with open_image(entry.path) as volume:
            volume.write_mrc(path)
        yield path


def copick_picks(location: Path) -> tuple[Picks, TomogramInfo] | None:
    """Return the picks that a reference means, with their tomogram, or None if it means a mask."""
    from cryomamba.copick import Project, parse_reference, read_copick_picks, resolve

    entry = resolve(location, "picks", "segmentation")
    if entry.kind != "picks":
        return None
    project = Project.open(parse_reference(location).config)
    metadata = project.objects().get(entry.name, {}).get("metadata") or {}
    namespace = metadata.get("copick") if isinstance(metadata, dict) else None
    is_filament = isinstance(namespace, dict) and namespace.get("filament") is not None
    tomogram = _tomogram_of(project.entries(entry.run), entry)
    return read_copick_picks(entry.path, tomogram, kind="filaments" if is_filament else "particles"), tomogram


def _tomogram_of(entries: Iterator[Entry], picks: Entry) -> TomogramInfo:
    """Return the tomogram, or mask, of the run with the finest voxels; picks do not say theirs."""
    from cryomamba.errors import NotFoundError
    from cryomamba.picks import TomogramInfo
    from cryomamba.volumes.images import open_image

    images = [entry for entry in entries if entry.kind != "picks"]
    # A tomogram before a mask, then the smallest voxels.
    images.sort(key=lambda entry: (entry.kind != "tomogram", float(entry.uri.split("@")[1].partition("?")[0])))
    if not images:
        raise NotFoundError(
            f"The run '{picks.run}' has no tomogram, so the size of that of the picks is unknown.",
            hint="Add the tomogram to the project: cryomamba export t1.mrc --copick CONFIG --tomo-type wbp.",
        )
    with open_image(images[0].path) as volume:
        return TomogramInfo(volume.shape, volume.voxel_size_A, picks.run)
