"""A folder that is being filled with files that others have named, within bounds."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.printable import printable
from cryomamba.system_errors import disk_full_error, system_errors_translated

CHUNK: Final = 1024 * 1024
_NAME_MAX_BYTES: Final = 200
_DEPTH_MAX: Final = 12
_SHOWN: Final = 80
# Names that are devices on Windows, with any extension.
_DEVICES: Final = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What a model may consist of.

    Attributes
    ----------
    files : int
        Number of files, and of members of an archive.
    nbytes : int
        Size of all files together.
    ratio : int
        Size of all files in proportion to that of the archive.
    """

    files: int = 2000
    nbytes: int = 16 * 10**9
    ratio: int = 50


class Source(Protocol):
    """What the content of a file is read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""


class Staging:
    """A new folder that takes files one by one, and refuses names and sizes that no model needs.

    Parameters
    ----------
    folder : Path
        Exists and is empty.
    limits : ModelLimits
    space : int
        Free space on the disk that may be used, in bytes.
    """

    def __init__(self, folder: Path, limits: ModelLimits, space: int) -> None:
        self.folder, self.limits = folder, limits
        self.nbytes_allowed = limits.nbytes
        self._space = space
        self._nbytes = 0
        self._members = 0
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def path_of(self, name: str) -> Path | None:
        """Return where a file of that name, with ``/`` between folders, belongs; None for one that is left out.

        Hidden files and those that macOS adds to archives are left out.

        Raises
        ------
        InvalidRequestError
            The name leaves the folder, or cannot be a file's name on every system; or there are too many files.
        """
        self._members += 1
        if self._members > self.limits.files:
            raise model_refused(
                f"The model has more than {self.limits.files:,} files.",
                "Leave out what is not needed to run it, such as validation results.",
            )
        parts = _parts_of(name)
        if any(part.startswith(".") or part == "__MACOSX" for part in parts):
            return None
        return self.folder.joinpath(*parts)

    def require_size(self, nbytes: int) -> None:
        """Refuse a file whose announced size does not fit any more.

        Raises
        ------
        InvalidRequestError
            All files together would be too large.
        UnavailableError
            The disk is full.
        """
        if self._nbytes + nbytes > self.nbytes_allowed:
            raise model_refused(
                f"The files of the model are larger than {self.nbytes_allowed:,} bytes together.",
                "Leave out what is not needed to run it. Archives of weights unpack to a few times their size at most.",
                ErrorCode.TOO_LARGE,
            )
        if self._nbytes + nbytes > self._space:
            raise disk_full_error("The disk is full: there is no space for the model.")

    def write(self, path: Path, source: Source) -> None:
        """Write a file, once, and bring it to disk.

        Raises
        ------
        InvalidRequestError
            The same name occurs twice (upper and lower case are the same), or the file is too large.
        UnavailableError
            The disk is full.
        """
        self._register(path)
        with system_errors_translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                for chunk in _chunks(source):
                    self.require_size(len(chunk))
                    self._nbytes += len(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())

    def _register(self, path: Path) -> None:
        parts = [_as_key(part) for part in path.relative_to(self.folder).parts]
        key = "/".join(parts)
        above = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if key in self._files or key in self._folders or above & self._files:
            raise model_refused(
                f"The name '{_shown(path.name)}' occurs twice.", "Give every file its own name; case does not count."
            )
        self._files.add(key)
        self._folders |= above


def model_refused(message: str, hint: str, code: ErrorCode = ErrorCode.BAD_REQUEST) -> InvalidRequestError:
    """Return the error for files that are not stored as a model."""
    return InvalidRequestError(message, code=code, hint=hint)


def link_refused(name: str) -> InvalidRequestError:
    """Return the error for a link, or anything else that is neither a file nor a folder."""
    return model_refused(
        f"'{_shown(name)}' is not a regular file: models have no links and no special files.",
        "Replace links by copies of the files that they point to.",
    )


def _parts_of(name: str) -> list[str]:
    """Return the folders and the name of a file; refuse what would lie elsewhere, or is no name everywhere."""
    parts = name.removeprefix("./").split("/")
    if not 1 <= len(parts) <= _DEPTH_MAX or any(not _is_plain(part) for part in parts):
        raise model_refused(
            f"The file name '{_shown(name)}' is not allowed in a model.",
            "Names are relative, have no '..', no control characters and no backslash, and at most 200 bytes.",
        )
    return parts


def _is_plain(part: str) -> bool:
    return (
        part not in {"", ".", ".."}
        and printable(part) == part
        and len(part.encode("utf-8", "replace")) <= _NAME_MAX_BYTES
        and not set(part) & set('\\:*?"<>|')
        and part[-1] not in ". "
        and part.split(".")[0].strip().lower() not in _DEVICES
    )


def _as_key(part: str) -> str:
    # As file systems compare names that ignore case, or compose accents.
    return unicodedata.normalize("NFC", part).casefold()


def _shown(name: str) -> str:
    return name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"


def _chunks(source: Source) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk
