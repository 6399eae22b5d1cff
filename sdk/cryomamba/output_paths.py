"""Which paths a program may write: decided here for all commands, before the work begins.

An output has the extension of what is written; a name that ends with a slash is a folder. An output is never one of the
inputs, by whatever name, link or spelling, and never another output of the same command. An existing file is replaced
only if the caller says so, and an existing folder only if it holds nothing but what this program writes into one.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from cryomamba.atomic import AtomicFile
from cryomamba.errors import ConflictError, CryoMambaError, InvalidRequestError
from cryomamba.system_errors import disk_full_error, is_disk_full

MRC: Final = (".mrc", ".rec", ".map", ".st", ".ali", ".mrcs")
"""Extensions of an uncompressed MRC file."""

FOLDERS: Final = (".zarr",)
"""Extensions of formats that are folders."""

# What 'write_ome_zarr' makes: the group, its levels, and their chunks.
_ZARR_ENTRY: Final = re.compile(
    r"zarr\.json|\.zgroup|\.zattrs|\d+(/zarr\.json|/\.zarray|/\.zattrs|/c(/\d+){0,3}|(/\d+){1,3})?"
)


def names_folder(text: str | os.PathLike[str]) -> bool:
    """Return whether an output as it was typed is a folder: one that exists, or a name that ends with a slash."""
    typed = os.fspath(text)
    return typed.endswith(tuple(filter(None, (os.sep, os.altsep)))) or Path(typed).is_dir()


def output_file(text: str | os.PathLike[str], extensions: Sequence[str]) -> Path:
    """Return an output as a path, if it names a file of one of the formats.

    Parameters
    ----------
    text : str or path
        As it was typed: a slash at its end counts.
    extensions : sequence of str
        Of what can be written, such as ``.mrc``.

    Raises
    ------
    InvalidRequestError
        It is a folder, or has another extension.
    """
    path = Path(text)
    extension = next((one for one in extensions if _has_extension(path, one)), None)
    if extension is None or not extension.endswith(FOLDERS):
        if names_folder(text):
            raise InvalidRequestError(f"'{text}' is a folder.", hint=f"Give the name of a file: {_listed(extensions)}.")
        if extension is None:
            raise InvalidRequestError(
                f"'{path.name}' does not have the extension of a format that can be written here.",
                hint=f"Give a name that ends in {_listed(extensions)}; 'cryomamba export' converts between formats.",
            )
    return path


def output_in(text: str | os.PathLike[str] | None, name: str, extensions: Sequence[str]) -> Path:
    """Return an output as a path: the file that was named, or `name` in the folder that was.

    Parameters
    ----------
    text : str or path, optional
        As it was typed; the current folder if not given.

    Raises
    ------
    InvalidRequestError
        It names a file with another extension.
    """
    if text is None:
        return Path(name)
    return Path(text) / name if names_folder(text) else output_file(text, extensions)


def require_outputs(
    outputs: Iterable[Path], *, inputs: Iterable[Path] = (), replace: bool = False, folder: Path | None = None
) -> None:
    """Refuse outputs that must not or cannot be written.

    Parameters
    ----------
    outputs : iterable of Path
        All files that the command will write.
    inputs : iterable of Path
        All files that it reads; they need not exist.
    replace : bool
        Whether existing files may be replaced.
    folder : Path, optional
        The folder of the outputs that is created if it is missing, once nothing else is wrong.

    Raises
    ------
    InvalidRequestError
        An output is an input, another output, a folder with files of others, or in a folder that does not exist or
        cannot be written.
    ConflictError
        It exists, and `replace` is not set.
    UnavailableError
        ``insufficient_storage``: the disk is full.
    """
    paths = list(outputs)
    _require_distinct(paths)
    require_not_input(paths, inputs)
    for path in paths:
        _require_replaceable(path, replace=replace)
        if not path.parent.is_dir() and path.parent != folder:
            raise InvalidRequestError(
                f"'{path}' is in a folder that does not exist.", hint="Create the folder first, or choose another one."
            )
    if folder is not None:
        _make_folder(folder)
    for path in paths:
        _require_possible(path)
    for one in {path.parent: path for path in reversed(paths)}.values():
        _require_writable(one)


def require_not_input(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse an output that is one of the inputs, also under another name, or a folder that one is in.

    Raises
    ------
    InvalidRequestError
        There is such an output.
    """
    read = list(inputs)
    by_name = {_location(path): path for path in read}
    by_inode = {key: path for path in read if (key := _inode(path)) is not None}
    for output in outputs:
        same = by_name.get(_location(output)) or by_inode.get(_inode(output) or (-1, -1))
        if same is not None:
            raise InvalidRequestError(
                f"'{output}' is the input '{same}'; it is not overwritten.", hint="Choose another name for the result."
            )
        if output.name.endswith(FOLDERS):
            real = Path(os.path.realpath(output))
            within = next((path for path in read if Path(os.path.realpath(path)).is_relative_to(real)), None)
            if within is not None:
                raise InvalidRequestError(
                    f"The input '{within}' is in the folder '{output}', which would be replaced.",
                    hint="Choose another name for the result.",
                )


def _has_extension(path: Path, extension: str) -> bool:
    name = path.name.lower()
    return name.endswith(extension) and name != extension


def _listed(extensions: Sequence[str]) -> str:
    return ", ".join(extensions[:-1]) + f" or {extensions[-1]}" if len(extensions) > 1 else extensions[0]


def _location(path: Path) -> str:
    """Return one spelling of a path: links and ``..`` resolved, also where nothing exists."""
    real = os.path.realpath(path)
    if sys.platform in {"win32", "darwin"}:
        # Their file systems take names that differ in case or in Unicode composition as one.
        return unicodedata.normalize("NFC", real).casefold()
    return real


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _require_distinct(outputs: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for output in outputs:
        # A link at the output itself is replaced and not followed.
        where = _location(output.parent / "x").removesuffix("x") + _location(Path(os.sep, output.name))[1:]
        if where in seen:
            raise InvalidRequestError(
                f"Two results of this command would be written to '{output}'.",
                hint="Give them different names, or different folders.",
            )
        seen[where] = output


def _require_replaceable(path: Path, *, replace: bool) -> None:
    if not os.path.lexists(path):
        return
    if path.is_dir():
        _require_own_folder(path, replace=replace)
    elif path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise InvalidRequestError(f"'{path}' is not a regular file.", hint="Choose another name for the result.")
    elif not replace:
        raise ConflictError(f"'{path}' already exists.", hint="Choose another name, or overwrite it with --force.")


def _require_own_folder(path: Path, *, replace: bool) -> None:
    """Refuse to replace a folder that holds anything but what this program writes into one."""
    if not path.name.endswith(FOLDERS):
        raise InvalidRequestError(f"'{path}' is a folder.", hint="Give the name of a file.")
    if path.is_symlink():
        raise InvalidRequestError(
            f"'{path}' is a link to a folder, which is not replaced.", hint="Choose another name, or remove the link."
        )
    if not replace:
        raise ConflictError(f"'{path}' already exists.", hint="Choose another name, or overwrite it with --force.")
    foreign = _foreign_entry(path)
    if foreign is not None:
        raise InvalidRequestError(
            f"The folder '{path}' contains '{foreign}', which is not part of a result of this program; it is not "
            "replaced.",
            hint="Choose another name, or move the folder away.",
        )


def _foreign_entry(folder: Path) -> Path | None:
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            entry = Path(parent, name).relative_to(folder)
            if not _ZARR_ENTRY.fullmatch(entry.as_posix()) or Path(parent, name).is_symlink():
                return entry
    return None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None


def _require_possible(path: Path) -> None:
    """Refuse a name that the file system does not take."""
    try:
        path.lstat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None


def _require_writable(path: Path) -> None:
    """Refuse a path whose folder cannot be written, by making and removing the temporary file that it begins as."""
    try:
        AtomicFile(path, durable=False).discard()
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError | ValueError) -> CryoMambaError:
    if isinstance(error, OSError) and is_disk_full(error):
        return disk_full_error()
    why = getattr(error, "strerror", None) or error
    return InvalidRequestError(
        f"'{path}' cannot be written: {why}.",
        hint="Check the name, the permissions of its folder, and that its disk is not read-only.",
    )
