"""The trained models of the server and of this computer."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from qtpy.QtCore import QObject, Signal

from cryomamba.client import AsyncClient
from cryomamba.errors import CryoMambaError
from cryomamba.models.model_listing import ListedModel, OfferedModel
from cryomamba.settings import load_settings
from cryomamba_server.model_store.catalog import ModelCatalog
from napari_cryomamba.app.server import ServerConnection
from napari_cryomamba.app.task_runner import Task, TaskRunner


class PlacedModel(NamedTuple):
    """A model, and whether it is on the server or on this computer."""

    model: OfferedModel
    on_server: bool


class TrainedModels(QObject):
    """The models that jobs can name. For the GUI thread.

    Signals
    -------
    changed
        Others are known, or a licence was accepted.
    """

    changed = Signal()

    def __init__(self, server: ServerConnection, tasks: TaskRunner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._server, self._tasks = server, tasks
        self._catalog: ModelCatalog | None = None
        self.on_server: tuple[ListedModel, ...] = ()
        self.here: tuple[OfferedModel, ...] = ()
        self._was_usable = False
        server.state_changed.connect(self._on_state)
        server.server_changed.connect(self._forget_server)

    @property
    def all(self) -> list[PlacedModel]:
        """All models by name, those of the server first."""
        found = [PlacedModel(model, on_server=True) for model in self.on_server]
        found += [PlacedModel(model, on_server=False) for model in self.here]
        return sorted(found, key=lambda placed: placed.model.name)

    def names_for(self, engine: str) -> list[str]:
        """Return the names of the models that an engine runs."""
        return sorted({placed.model.name for placed in self.all if placed.model.kind == engine})

    def not_accepted(self, engine: str, name: str) -> list[PlacedModel]:
        """Return where the licence of a model must be accepted before its first use."""
        return [
            placed
            for placed in self.all
            if (placed.model.kind, placed.model.name) == (engine, name) and not placed.model.licence_accepted
        ]

    def refresh(self) -> None:
        """Ask the server, and look on this computer; errors are ignored, since the lists then stay as they are."""
        if self._server.usable:
            self._server.bridge.request("", AsyncClient.models, self._on_server_models, _ignore)
        self._tasks.run("Looking for models", self._read_here, self._on_models_here, background=True)

    def accept(self, placed: PlacedModel) -> None:
        """Accept the licence of a model, once for the server or for this computer."""
        model = placed.model
        if placed.on_server:
            call = partial(AsyncClient.accept_licence, name=model.name, licence=model.licence)
            self._server.bridge.request("Accepting the licence", call, lambda _model: self.refresh())
        else:
            self._tasks.run("Accepting the licence", partial(self._accept_here, model), lambda _none: self.refresh())

    def _accept_here(self, model: OfferedModel, _task: Task) -> None:
        self._models_here().licences.accept(model.name, model.sha256, model.licence)

    def _read_here(self, _task: Task) -> tuple[OfferedModel, ...]:
        return self._models_here().models()

    def _models_here(self) -> ModelCatalog:
        if self._catalog is None:
            self._catalog = ModelCatalog(load_settings())
        return self._catalog

    def _on_server_models(self, models: list[ListedModel]) -> None:
        if self.on_server != tuple(models):
            self.on_server = tuple(models)
            self.changed.emit()

    def _on_models_here(self, models: tuple[OfferedModel, ...]) -> None:
        if self.here != models:
            self.here = models
            self.changed.emit()

    def _on_state(self) -> None:
        usable = self._server.usable
        if usable and not self._was_usable:
            self.refresh()
        self._was_usable = usable

    def _forget_server(self) -> None:
        self._on_server_models([])


def _ignore(_error: CryoMambaError) -> None:
    """Drop an error of a request that nobody waits for."""
