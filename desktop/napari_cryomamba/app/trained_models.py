"""The trained models of the server and of this computer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from qtpy.QtCore import QObject, Signal

from cryomamba.client import AsyncClient
from cryomamba.errors import CryoMambaError
from cryomamba.models.model_listing import ListedModel, OfferedModel
from cryomamba.settings import load_settings
from cryomamba_server.model_store.catalog import ModelCatalog
from cryomamba_server.model_store.store import ModelStore
from napari_cryomamba.app.server import ServerConnection
from napari_cryomamba.app.task_runner import Task, TaskRunner
from napari_cryomamba.models.model_check import ModelCheck, check_model


class PlacedModel(NamedTuple):
    """A model, and whether it is on the server or on this computer."""

    model: OfferedModel
    on_server: bool


class AddedModel(NamedTuple):
    """A model that was added: the licence that it states, and what could not be checked."""

    name: str
    licence: str
    notes: tuple[str, ...]


class TrainedModels(QObject):
    """The models that jobs can name. For the GUI thread.

    Signals
    -------
    changed
        Others are known, or a licence was accepted.
    """

    changed = Signal()
    _sent = Signal(object, object)

    def __init__(self, server: ServerConnection, tasks: TaskRunner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._server, self._tasks = server, tasks
        self._catalog: ModelCatalog | None = None
        self.on_server: tuple[ListedModel, ...] = ()
        self.here: tuple[OfferedModel, ...] = ()
        self._was_usable = False
        self._report_sent: Callable[[str], None] = _nowhere
        self._sent.connect(self._on_sent)
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

    @property
    def can_add_to_server(self) -> bool:
        """Whether the server takes files; whether this user may add models is known once the server is asked."""
        return self._server.usable and self._server.accepts_uploads

    def add(
        self,
        path: Path,
        name: str,
        *,
        to_server: bool,
        done: Callable[[AddedModel], None],
        failed: Callable[[str], None],
        report: Callable[[str], None],
    ) -> None:
        """Check a model, and add it to this computer or to the server.

        Parameters
        ----------
        path : Path
            A folder, a weights file beside its sidecar, or an archive of a folder.
        done : callable
            Takes what was added.
        failed : callable
            Takes what happened and what to do.
        report : callable
            Takes what is being done.
        """

        def work(task: Task) -> tuple[ModelCheck, str] | CryoMambaError:
            try:
                check, licence = check_model(path, task.is_cancelled), ""
                if not check.problems and not to_server:
                    licence = ModelStore.of(load_settings()).add(path, name).description.licence
            except CryoMambaError as error:
                return error
            return check, licence

        def worked(found: tuple[ModelCheck, str] | CryoMambaError) -> None:
            if isinstance(found, CryoMambaError):
                failed(str(found))
                return
            check, licence = found
            if check.problems:
                failed("\n".join(["The model cannot be used:", *(f"• {problem}" for problem in check.problems)]))
            elif to_server:
                self._send(path, name, lambda model: added(check, model.licence), failed, report)
            else:
                added(check, licence)

        def added(check: ModelCheck, licence: str) -> None:
            self.refresh()
            done(AddedModel(name, licence, check.notes))

        report("Checking the model…")
        self._tasks.run("Adding the model", work, worked, failed=lambda: failed("It could not be added; see Messages."))

    def _send(
        self,
        path: Path,
        name: str,
        done: Callable[[ListedModel], None],
        failed: Callable[[str], None],
        report: Callable[[str], None],
    ) -> None:
        self._report_sent = report

        async def call(client: AsyncClient) -> ListedModel:
            # It is called in the network thread.
            return await client.add_model(path, name, progress=self._sent.emit)

        report("Sending the model…")
        self._server.bridge.request("Adding the model", call, done, lambda error: failed(str(error)))

    def _on_sent(self, count: int, total: int) -> None:
        self._report_sent(f"Sending the model: {count / total:.0%}" if total else "Sending the model…")

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


def _nowhere(_text: str) -> None:
    """Report to nobody."""


def _ignore(_error: CryoMambaError) -> None:
    """Drop an error of a request that nobody waits for."""
