"""The folders and tomograms in the allowed input directories, as a person browses them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from heapq import nsmallest
from pathlib import Path
from typing import Literal

from pydantic import Field

from cryomamba.errors import CryoMambaError, InvalidRequestError, NotFoundError
from cryomamba.file_names import is_volume
from cryomamba.models.base import Record
from cryomamba.volumes import inspect, resolve_below
from cryomamba.volumes.allowed_paths import resolve_folder, verify_opened
from cryomamba_gateway.volumes.input_ids import input_id

_Length = tuple[float, float, float]
_SortKey = tuple[bool, list[str | int], str]
_Kind = Literal["folder", "tomogram"]


class InputEntry(Record):
    """A folder or a tomogram in an allowed input directory."""

    kind: _Kind
    name: str
    path: str = Field(description="For the `path` of a job's volume, or of the next listing.")
    input_id: str | None = Field(None, description="Of a tomogram: for `/v1/inputs/{input_id}` and its Zarr hierarchy.")
    size_bytes: int | None = Field(None, ge=0, description="Of a tomogram.")
    modified_at: datetime | None = Field(None, description="Time at which the tomogram was last written.")
    shape: tuple[int, int, int] | None = Field(None, description="Voxels along z, y and x, from the header.")
    voxel_size_A: _Length | None = Field(None, description="Å along z, y and x, from the header.")
    problem: str | None = Field(None, description="Reason why the tomogram cannot be used; null if it can be.")


class InputPage(Record):
    """One page of what is in a folder: first folders, then tomograms, each in the order of their names."""

    path: str = Field(description="The folder; empty for the list of the allowed input directories.")
    parent: str | None = Field(description="The folder above it, empty for the list of them all; null for that list.")
    entries: tuple[InputEntry, ...]
    cursor: str | None = Field(None, description="Continues the listing; null at its end.")


@dataclass(frozen=True, slots=True)
class InputFolders:
    """What may be browsed.

    Attributes
    ----------
    roots : sequence of Path
        The allowed input directories.
    closed : sequence of Path
        Directories that are never shown, even within an allowed one: the server's own files.
    """

    roots: Sequence[Path]
    closed: Sequence[Path]

    def page(self, path: str, *, limit: int, cursor: str | None = None) -> InputPage:
        """Return what is in a folder; reads the disk.

        Hidden files are left out, and so is what links lead to outside the allowed directories.

        Parameters
        ----------
        path : str
            The folder; empty for the list of the allowed input directories.
        limit : int
            Maximum number of entries.
        cursor : str, optional
            That of the previous page.

        Raises
        ------
        InvalidRequestError
            ``path_forbidden``: the folder is not in an allowed input directory.
        NotFoundError
            There is no such folder, or the server may not read it.
        """
        if not path:
            return InputPage(path="", parent=None, entries=tuple(self._root_entries()))
        real = resolve_folder(path, self.roots, closed=self.closed)
        if not _is_text(str(real)):
            raise NotFoundError(
                "The folder that this link leads to has a name that is not UTF-8, so its files cannot be named.",
                hint="Rename the folder, or ask whoever runs the server.",
            )
        folder = self._as_configured(real)
        start = None if cursor is None else _sort_key((cursor[:1] == "d", cursor[1:]))
        keys = (key for key in map(_sort_key, self._found(real)) if start is None or key > start)
        # Sorting a folder of many files in one call would keep all other threads waiting.
        first = nsmallest(limit + 1, keys)
        shown = [(not is_file, name) for is_file, _, name in first[:limit]]
        last = shown[-1] if len(first) > limit else None
        return InputPage(
            path=str(folder),
            parent="" if folder in self.roots else str(folder.parent),
            entries=tuple(self._entry(folder, name, is_folder=is_folder) for is_folder, name in shown),
            cursor=None if last is None else ("d" if last[0] else "f") + last[1],
        )

    def _root_entries(self) -> Iterator[InputEntry]:
        for root in self.roots:
            with suppress(CryoMambaError):
                resolve_folder(root, self.roots, closed=self.closed)
                yield InputEntry(kind="folder", name=str(root), path=str(root))

    def _as_configured(self, real: Path) -> Path:
        """Return a real path below the allowed directory as the operator has named it, which people know."""
        for root in self.roots:
            real_root = os.path.realpath(root)
            if real.is_relative_to(real_root):
                return root / real.relative_to(real_root)
        return real

    def _found(self, real: Path) -> list[tuple[bool, str]]:
        """Return whether each entry is a folder, and its name."""
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                self._verify_folder(descriptor, real)
                with closing(os.scandir(descriptor)) as entries:
                    return [
                        (is_folder, one.name)
                        for one in entries
                        if (is_folder := self._is_folder(real, one)) is not None
                    ]
            finally:
                os.close(descriptor)
        except OSError as error:
            raise NotFoundError(
                f"The folder {real.name} cannot be read: {error.strerror}.",
                hint="Choose another folder, or ask whoever runs the server.",
            ) from None

    def _verify_folder(self, descriptor: int, real: Path) -> None:
        """Check that an open folder is the one that was resolved: a part of its path may have become a link."""
        now = resolve_folder(real, self.roots, closed=self.closed)
        if now != real or not os.path.samestat(os.fstat(descriptor), now.stat()):
            raise InvalidRequestError("The folder was replaced while it was read.", hint="List it again.")

    def _is_folder(self, real: Path, entry: os.DirEntry[str]) -> bool | None:
        """Return whether an entry is a folder or a tomogram; None if it is neither, hidden, or not allowed."""
        if entry.name.startswith(".") or not _is_text(entry.name):
            return None
        path = real / entry.name
        with suppress(OSError, CryoMambaError):
            if entry.is_dir():
                real_folder = resolve_folder(path, self.roots, closed=self.closed)
                return True if _is_text(str(real_folder)) else None
            if is_volume(path) and entry.is_file():
                # Only a link can lead out of a folder that is allowed; a folder may have very many files.
                if entry.is_symlink():
                    resolve_below(path, self.roots, closed=self.closed)
                return False
        return None

    def _entry(self, folder: Path, name: str, *, is_folder: bool) -> InputEntry:
        path = str(folder / name)
        if is_folder:
            return InputEntry(kind="folder", name=name, path=path)
        facts: dict[str, object] = {"input_id": input_id(path)}
        try:
            real = resolve_below(path, self.roots, closed=self.closed)
            status = real.stat()
            facts["size_bytes"] = status.st_size
            # Some file systems have dates that no calendar has.
            with suppress(ValueError, OverflowError):
                facts["modified_at"] = datetime.fromtimestamp(status.st_mtime, UTC)
            meta = inspect(real, check=partial(verify_opened, path=real, roots=self.roots, closed=self.closed))
            facts |= {"shape": meta.shape, "voxel_size_A": meta.voxel_size_A}
        except CryoMambaError as error:
            facts["problem"] = error.message
        except OSError as error:
            facts["problem"] = f"The file cannot be read: {error.strerror}."
        return InputEntry.model_validate({"kind": "tomogram", "name": name, "path": path, **facts})


def _sort_key(found: tuple[bool, str]) -> _SortKey:
    """Folders first; then as people order names: t2 before t10."""
    is_folder, name = found
    parts = re.split(r"([0-9]{1,18})", name.casefold())
    return not is_folder, [int(part) if number % 2 else part for number, part in enumerate(parts)], name


def _is_text(name: str) -> bool:
    """Whether a name can be sent: one that is not UTF-8 cannot be given back as a path."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
