"""The trained models that a service has, described; those that have not changed are not read again."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryomamba.atomic import write_atomically
from cryomamba.errors import CryoMambaError
from cryomamba.models.model_listing import OfferedModel
from cryomamba.models.trained_models import ModelInfo
from cryomamba.settings import Settings
from cryomamba.trained_models.folders import ModelFolders
from cryomamba.trained_models.model import Model, read_model
from cryomamba_server.model_store.licences import Licences

log = logging.getLogger(__name__)

State = tuple[tuple[str, int, int, int], ...]
_CHECKSUMS: Final = ".checksums"
_TEXT_MAX: Final = 500
_AUTHORS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class _Known:
    state: State
    model: Model | None
    info: ModelInfo | None
    problem: str = ""


class ModelCatalog:
    """The models in the folders of a service. May be used from several threads.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self._folders = ModelFolders.of(settings, names_only=True)
        self._checksums = settings.own_models / _CHECKSUMS
        self.licences = Licences(settings.licences)
        self._known: dict[Path, _Known] = {}
        self._lock = threading.Lock()

    def models(self) -> tuple[OfferedModel, ...]:
        """Return the models that can be used, sorted by name; reads the weights of those that are new."""
        with self._lock:
            self._refresh()
            found = [known.info for known in self._known.values() if known.info is not None]
        return tuple(self._offered(info) for info in sorted(found, key=lambda info: info.name))

    def problems(self) -> dict[str, str]:
        """Return why the others cannot be used, by name."""
        with self._lock:
            self._refresh()
            return {path.name: known.problem for path, known in self._known.items() if known.problem}

    def find(self, name: str) -> tuple[Path, OfferedModel] | None:
        """Return the folder and the description of a model, None if there is none that can be used."""
        path = self._folders.path(name)
        model = next((model for model in self.models() if model.name == name), None)
        return None if path is None or model is None else (path, model)

    def describe(self, path: Path) -> OfferedModel:
        """Return the description of a model in any folder, or of a file beside its sidecar; reads the whole model.

        Raises
        ------
        NotFoundError, InvalidRequestError
            As for :func:`~cryomamba.trained_models.model.read_model`.
        """
        return self._offered(_shortened(read_model(path).info()))

    def _offered(self, info: ModelInfo) -> OfferedModel:
        accepted = self.licences.is_accepted(info.sha256, info.licence)
        return OfferedModel(**dict(info), licence_accepted=accepted)

    def _refresh(self) -> None:
        before, self._known = self._known, {}
        for name in self._folders.names():
            path = self._folders.path(name)
            if path is None:
                continue
            known = before.get(path)
            try:
                if known is None or known.state != _state(path, known.model):
                    known = self._read(path)
            except OSError as error:
                # It is being removed, or its disk is not there at the moment.
                log.debug("The model %s cannot be read: %s", name, error)
                continue
            self._known[path] = known

    def _read(self, path: Path) -> _Known:
        try:
            model = read_model(path)
        except CryoMambaError as error:
            log.warning("The model %s cannot be used: %s", path.name, error)
            return _Known(_state(path, None), None, None, str(error))
        state = _state(path, model)
        saved = self._checksum(path, state)
        info = model.info(sha256=saved)
        if saved is None:
            self._save_checksum(path, state, info.sha256)
        return _Known(state, model, _shortened(info))

    def _checksum(self, path: Path, state: State) -> str | None:
        """Return the checksum that was computed earlier, by any process, for the files as they are."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            saved = json.loads((self._checksums / f"{path.name}.json").read_bytes())
            if saved["path"] == str(path) and saved["state"] == [list(file) for file in state]:
                return str(saved["sha256"])
        return None

    def _save_checksum(self, path: Path, state: State, sha256: str) -> None:
        # Only saves time: where it cannot be written, the next process reads the weights once.
        with suppress(OSError, CryoMambaError):
            self._checksums.mkdir(parents=True, exist_ok=True)
            saved = {"path": str(path), "state": state, "sha256": sha256}
            write_atomically(self._checksums / f"{path.name}.json", json.dumps(saved), durable=False)


def _state(path: Path, model: Model | None) -> State:
    """Return what changes when a file of the model does, or another sidecar appears."""
    return tuple(sorted(_file_state(path, name) for name in {*_names_in(path), *(model.files if model else ())}))


def _names_in(path: Path) -> Iterator[str]:
    return (entry.name for entry in path.iterdir())


def _file_state(path: Path, name: str) -> tuple[str, int, int, int]:
    status = (path / name).lstat()
    return name, status.st_size, status.st_mtime_ns, status.st_ino


def _shortened(info: ModelInfo) -> ModelInfo:
    """Return a description whose texts fit into a message with many others."""
    return info.model_copy(
        update={
            "summary": info.summary[:_TEXT_MAX],
            "citation": info.citation[:_TEXT_MAX],
            "authors": info.authors[:_AUTHORS_MAX],
        }
    )
