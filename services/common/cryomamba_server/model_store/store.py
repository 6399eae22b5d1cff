"""Adds models to a data directory and removes them: whole or not at all, whatever is killed."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryomamba.atomic import sync_folder
from cryomamba.errors import ConflictError, NotFoundError, no_such_model
from cryomamba.settings import Settings
from cryomamba.system_errors import system_errors_translated
from cryomamba.trained_models.model import Model, is_model_name, read_model
from cryomamba.trained_models.packing import files_of, is_archive
from cryomamba_server.model_store.archives import unpack
from cryomamba_server.model_store.copying import copy_file
from cryomamba_server.model_store.staging import ModelLimits, Staging, model_refused

_ADDED: Final = ".adding-"
_REMOVED: Final = ".removed-"
_ABANDONED_S: Final = 24 * 3600.0
LIMITS: Final = ModelLimits()


@dataclass(frozen=True, slots=True)
class ModelStore:
    """The models of a data directory, one folder each.

    A new model is put together in a hidden folder, checked, brought to disk and renamed. Of several processes that add
    the same name at the same time, one succeeds.

    Attributes
    ----------
    folder : Path
        ``models`` in the data directory.
    reserve_bytes : int
        Space on the disk that is kept free.
    limits : ModelLimits
    """

    folder: Path
    reserve_bytes: int = 0
    limits: ModelLimits = LIMITS

    @classmethod
    def of(cls, settings: Settings) -> ModelStore:
        """Return the store of the configured data directory."""
        return cls(settings.own_models, settings.disk_reserve)

    def add(self, source: Path, name: str, filename: str | None = None) -> Model:
        """Add a model.

        Parameters
        ----------
        source : Path
            A folder, an archive of one, or a single file; of a folder, the files that the model needs are taken.
        name : str
            By which jobs ask for it.
        filename : str, optional
            Name of a file, if it is not that of `source`; its extension tells an archive.

        Returns
        -------
        Model
            As it lies in the store.

        Raises
        ------
        NotFoundError
            There is no such file or folder.
        InvalidRequestError
            The name is none, or it is no model that can be used.
        ConflictError
            There is a model of this name.
        UnavailableError
            The disk is full.
        """
        self.require_new(name)
        if not source.exists():
            raise NotFoundError(f"There is no file or folder '{source.name}'.", hint="Check the path.")
        filename = filename or source.name
        with system_errors_translated():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.remove_abandoned()
            work = self.folder / f"{_ADDED}{uuid.uuid4().hex}"
            work.mkdir()
            try:
                target = self._staging(work / name)
                chosen = target.folder
                if source.is_file() and is_archive(filename):
                    chosen = _unpacked(source, filename, target)
                elif source.is_file() and filename != source.name:
                    copy_file(source, filename, target)
                else:
                    _copied(source, target)
                # Also of its own files alone it must be a model.
                read_model(chosen)
                self._publish(chosen, name)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return read_model(self.folder / name)

    def _staging(self, folder: Path) -> Staging:
        free = shutil.disk_usage(self.folder).free - self.reserve_bytes
        folder.mkdir()
        return Staging(folder, self.limits, free)

    def _publish(self, chosen: Path, name: str) -> None:
        _sync_folders(chosen)
        try:
            # Fails if there is a folder with files of that name: it is never replaced.
            chosen.rename(self.folder / name)
        except OSError as error:
            if (self.folder / name).exists():
                raise _exists(name) from None
            raise error
        sync_folder(self.folder)

    def require_new(self, name: str) -> None:
        """Check that a model of this name can be added.

        Raises
        ------
        InvalidRequestError, ConflictError
            As for :meth:`add`.
        """
        if not is_model_name(name):
            raise model_refused(
                f"'{name[:64]}' is no name for a model.",
                "Names have up to 64 letters, digits and characters of '_.-', and begin with a letter or digit.",
            )
        if (self.folder / name).exists():
            raise _exists(name)

    def remove(self, name: str, check: Callable[[], None] = lambda: None) -> None:
        """Remove a model.

        Parameters
        ----------
        check : callable
            Called once nobody can find it any more, and before it is deleted; if it raises, the model is back.

        Raises
        ------
        NotFoundError
            There is none of this name in the data directory.
        """
        folder = self.folder / name
        if not is_model_name(name) or not folder.is_dir():
            raise no_such_model(name)
        hidden = self.folder / f"{_REMOVED}{uuid.uuid4().hex}"
        with system_errors_translated():
            try:
                folder.rename(hidden)
            except FileNotFoundError:
                raise no_such_model(name) from None
            try:
                check()
            except BaseException:
                hidden.rename(folder)
                raise
            sync_folder(self.folder)
        shutil.rmtree(hidden, ignore_errors=True)

    def remove_abandoned(self) -> None:
        """Remove what a process that was killed has left: hidden folders in which nothing has changed for a day."""
        oldest = time.time() - _ABANDONED_S
        for path in self.folder.glob(".*-*"):
            if path.name.startswith((_ADDED, _REMOVED)):
                with suppress(OSError):
                    if max(one.lstat().st_mtime for one in (path, *path.rglob("*"))) < oldest:
                        shutil.rmtree(path, ignore_errors=True)


def _copied(source: Path, target: Staging) -> None:
    for name, path in files_of(source).items():
        copy_file(path, name, target)


def _unpacked(archive: Path, filename: str, target: Staging) -> Path:
    """Unpack an archive, return the folder in it that is the model, and delete what the model does not need."""
    unpack(archive, filename, target)
    root = target.folder
    while len(inside := list(root.iterdir())) == 1 and inside[0].is_dir():
        root = inside[0]
    needed = {root / name for name in read_model(root).files}
    for folder, _, names in os.walk(root, topdown=False):
        for path in (Path(folder) / name for name in names):
            if path not in needed:
                path.unlink()
        if not any(Path(folder).iterdir()):
            Path(folder).rmdir()
    return root


def _sync_folders(root: Path) -> None:
    for folder, _, _ in os.walk(root, topdown=False):
        sync_folder(Path(folder))


def _exists(name: str) -> ConflictError:
    return ConflictError(
        f"There is already a model '{name}'.", hint="Choose another name, or remove it with 'cryomamba models remove'."
    )
