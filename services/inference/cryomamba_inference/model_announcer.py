"""Announces the trained models of a worker to the broker, and again whenever they change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from cryomamba.client.bus_requester import BusRequester
from cryomamba.errors import CryoMambaError
from cryomamba.models.model_listing import OfferedModel
from cryomamba.settings import Settings
from cryomamba.wire import messages
from cryomamba.wire.model_requests import ANNOUNCED_MAX_BYTES, WorkerModels
from cryomamba_server.model_store.catalog import ModelCatalog

log = logging.getLogger(__name__)

_LOOK_S: Final = 2.0


class ModelAnnouncer:
    """Looks at the models every two seconds, and tells the broker what has changed, or all after its restart.

    Parameters
    ----------
    worker : str
    registered_epoch : callable
        Returns the epoch of the broker with which the worker is registered, None if with none.
    """

    def __init__(self, worker: str, settings: Settings, registered_epoch: Callable[[], int | None]) -> None:
        self._worker, self._registered_epoch = worker, registered_epoch
        self._catalog = ModelCatalog(settings)
        self._announced: tuple[int, tuple[OfferedModel, ...]] | None = None

    async def run(self, requester: BusRequester) -> None:
        """Announce, without end."""
        while True:
            try:
                models = await asyncio.to_thread(self._catalog.models)
                await self._announce(requester, models)
            except (CryoMambaError, OSError) as error:
                log.debug("The models could not be announced: %s", error)
            await asyncio.sleep(_LOOK_S)

    async def _announce(self, requester: BusRequester, models: tuple[OfferedModel, ...]) -> None:
        epoch = self._registered_epoch()
        if epoch is None or self._announced == (epoch, models):
            return
        if not models and (self._announced is None or self._announced[0] != epoch):
            # A broker begins with no models.
            self._announced = epoch, models
            return
        self._announced = None
        for body in announcements(self._worker, models):
            await requester.request(messages.WORKER_MODELS, body)
        self._announced = epoch, models
        log.info("Announced %d models: %s.", len(models), ", ".join(model.name for model in models[:20]) or "none")


def announcements(worker: str, models: Sequence[OfferedModel]) -> Iterator[WorkerModels]:
    """Yield the messages that announce models, each small enough for the bus; at least one."""
    group: list[OfferedModel] = []
    nbytes, first = 0, True
    for model in models:
        size = len(model.model_dump_json().encode())
        if group and nbytes + size > ANNOUNCED_MAX_BYTES:
            yield WorkerModels(worker=worker, models=tuple(group), first=first)
            group, nbytes, first = [], 0, False
        group.append(model)
        nbytes += size
    yield WorkerModels(worker=worker, models=tuple(group), first=first)
