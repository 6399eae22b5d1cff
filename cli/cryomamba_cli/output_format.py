"""Masks in the format of the file extension that was given with ``-o``.

Engines write MRC. A mask of another format is written as MRC into a temporary folder beside its place, and converted.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cryomamba.output_paths import FOLDERS, MRC, names_folder, output_file, output_in
from cryomamba_cli.result_paths import result_path
from cryomamba_cli.segmentation_task import Task


def mask_target(tomogram: Path, out: str | None, engine: str) -> Path:
    """Return where a mask goes: `out`, or the usual name in the folder `out`, by default the current one.

    Raises
    ------
    InvalidRequestError
        `out` is neither a folder nor the name of a file of a format of masks.
    """
    name = result_path(tomogram, engine).name
    return output_file(out, _extensions()) if out is not None and not _is_folder(out) else output_in(out, name, MRC)


def folder_of(out: str | None, target: Path) -> Path | None:
    """Return the folder of a mask if that was given instead of a name: it is created if it is missing."""
    return target.parent if out is not None and _is_folder(out) else None


def _is_folder(out: str) -> bool:
    # An OME-Zarr that is there is a folder, and the name of a mask.
    return names_folder(out) and not out.endswith(FOLDERS)


def mask_file(out: str) -> Path:
    """Return where a mask goes that needs a name; as :func:`mask_target`."""
    return output_file(out, _extensions())


def as_mrc(target: Path) -> Path:
    """Return a mask's path with the extension of MRC, from which the names of its other files are made."""
    name = target.name
    extension = next(one for one in _extensions() if name.lower().endswith(one))
    return target if extension in MRC else target.with_name(f"{name[: -len(extension)]}.mrc")


def written(task: Task, target: Path) -> tuple[Path, ...]:
    """Return the files that a task leaves behind, the mask first, if that goes to `target`."""
    return (target, *(path for path in task.files if path not in {task.mask, target}))


@contextmanager
def converted(task: Task, target: Path) -> Iterator[Task]:
    """Give the task to run; at the end its files are where those of `task` belong, with the mask at `target`."""
    if target == task.mask:
        yield task
        return
    with _beside(target) as folder:
        inside = {path: folder / path.name for path in (*written(task, target), task.mask)}
        yield replace(
            task,
            mask=inside[task.mask],
            exports={form: inside[path] for form, path in task.exports.items()},
            conversions=tuple(inside[path] for path in dict.fromkeys((target, *task.conversions))),
        )
        for path in written(task, target):
            _move(inside[path], path)


@contextmanager
def converted_file(target: Path) -> Iterator[Path]:
    """Give the path at which to write a mask as MRC; at the end it is converted, and at `target`."""
    from cryomamba.masks.export import export
    from cryomamba.volumes import open_volume

    mask = as_mrc(target)
    if mask == target:
        yield target
        return
    with _beside(target) as folder:
        yield folder / mask.name
        with open_volume(folder / mask.name) as volume:
            export(volume, folder / target.name)
        _move(folder / target.name, target)


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    # On the same disk, so that finished files are moved by a rename.
    with tempfile.TemporaryDirectory(prefix=".cryomamba-", dir=target.absolute().parent) as folder:
        yield Path(folder)


def _move(path: Path, target: Path) -> None:
    if path.is_dir() and target.is_dir():
        shutil.rmtree(target)
    path.replace(target)


def _extensions() -> tuple[str, ...]:
    from cryomamba.masks.export import EXTENSIONS

    return tuple(dict.fromkeys((*MRC, *EXTENSIONS)))
