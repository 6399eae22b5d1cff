"""The trained models of a server: those that workers have announced, and those of the data directory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from cryomamba.access.visibility import Visibility
from cryomamba.client import calls, model_calls
from cryomamba.errors import ConflictError, CryoMambaError, NotFoundError, no_such_model
from cryomamba.models.job_filter import JobFilter
from cryomamba.models.jobs import JobState
from cryomamba.models.model_listing import ListedModel, ModelUpload, OfferedModel
from cryomamba.settings import Settings
from cryomamba_gateway.bus_connection import BusConnection
from cryomamba_gateway.uploads.store import UploadStore
from cryomamba_server.model_store.catalog import ModelCatalog
from cryomamba_server.model_store.store import ModelStore

T = TypeVar("T")
log = logging.getLogger(__name__)

ANNOUNCED_S: Final = 6.0
"""Workers look at their models every two seconds."""
_POLL_S: Final = 0.25
_EVERYTHING: Final = Visibility.everything()
_JOBS_SHOWN: Final = 10


class ModelRegistry:
    """The models of a server, for one event loop.

    A change of the data directory reaches workers by itself; methods that change something wait for that, for a few
    seconds, so that a job that is submitted next finds the models as they are.
    """

    def __init__(self, settings: Settings, bus: BusConnection, uploads: UploadStore) -> None:
        self._bus, self._uploads = bus, uploads
        self._store, self._catalog = ModelStore.of(settings), ModelCatalog(settings)
        # Reading new weights for their checksums takes long: nobody else's requests wait for a thread meanwhile.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="models")
        self._adding = asyncio.Lock()

    async def listed(self) -> list[ListedModel]:
        """Return all models, by name."""
        announced, own = await self._announced(), await self._run(self._catalog.models)
        known = {(model.name, model.sha256) for model in announced}
        new = [ListedModel(**dict(model)) for model in own if (model.name, model.sha256) not in known]
        return sorted([*announced, *new], key=lambda model: model.name)

    async def get(self, name: str) -> ListedModel:
        """Return a model.

        Raises
        ------
        NotFoundError
            There is none of this name.
        """
        found = next((model for model in await self.listed() if model.name == name), None)
        if found is None:
            raise no_such_model(name)
        return found

    async def add(self, upload: ModelUpload, visibility: Visibility, owner: str) -> ListedModel:
        """Make a model of an upload.

        Raises
        ------
        NotFoundError
            There is no such upload.
        ConflictError
            There is a model of this name, or parts of the upload are missing or damaged.
        InvalidRequestError
            It is no model that can be used.
        """

        def add(path: Path, filename: str) -> None:
            self._store.add(path, upload.name, filename)

        if upload.name in {model.name for model in await self.listed()}:
            raise ConflictError(f"There is already a model '{upload.name}'.", hint="Choose another name, or remove it.")
        # One at a time: others' uploads are verified in the same threads.
        async with self._adding:
            await self._uploads.use(upload.upload_id, visibility, add)
        _, model = await self._own(upload.name)
        if upload.accept_licence:
            await self._run(lambda: self._catalog.licences.accept(model.name, model.sha256, model.licence, owner))
        return await self._once(upload.name, lambda found: found is not None and bool(found.workers))

    async def remove(self, name: str) -> None:
        """Remove a model from the data directory.

        Raises
        ------
        NotFoundError
            There is none of this name.
        ConflictError
            A job that has not ended needs it, or it does not belong to the data directory.
        """
        loop = asyncio.get_running_loop()

        def check() -> None:
            asyncio.run_coroutine_threadsafe(self._require_unused(name), loop).result()

        await self._require_unused(name)
        try:
            await asyncio.to_thread(self._store.remove, name, check)
        except NotFoundError:
            await self.get(name)
            raise ConflictError(
                f"The model '{name}' does not belong to the data directory of this server.",
                hint="It is in a folder of CRYOMAMBA_MODELS, or on another machine; remove it there.",
            ) from None
        await self._until(name, lambda found: found is None)

    async def accept_licence(self, name: str, licence: str, owner: str) -> ListedModel:
        """Accept the licence of a model for the data directory.

        Raises
        ------
        NotFoundError
            There is no such model.
        ConflictError
            It states another licence, or the gateway cannot see it.
        """
        model = await self.get(name)
        if model.licence != licence:
            raise ConflictError(
                f"The model '{name}' states another licence: {model.licence or 'none'}.",
                hint="Read it, and accept it as it is stated.",
            )
        _, own = await self._own(name)
        await self._run(lambda: self._catalog.licences.accept(own.name, own.sha256, own.licence, owner))
        return await self._once(name, lambda found: found is not None and found.licence_accepted)

    async def _own(self, name: str) -> tuple[Path, OfferedModel]:
        found = await self._run(lambda: self._catalog.find(name))
        if found is None:
            raise ConflictError(
                f"The gateway cannot see the model '{name}'.",
                hint="It is on another machine; use 'cryomamba models' there.",
            )
        return found

    async def _require_unused(self, name: str) -> None:
        wanted = JobFilter(state=(JobState.PENDING, JobState.RUNNING), model=name)
        page = await self._bus.call(_EVERYTHING, calls.list_jobs(wanted, limit=_JOBS_SHOWN))
        if page.jobs:
            count = f"{len(page.jobs)}{' or more' if page.cursor else ''}"
            raise ConflictError(
                f"The model '{name}' is needed by jobs that have not ended: {count}.",
                hint="Cancel them, or wait until they have ended.",
                details={"jobs": [job.job_id for job in page.jobs]},
            )

    async def _announced(self) -> list[ListedModel]:
        found: list[ListedModel] = []
        cursor: str | None = None
        while True:
            page = await self._bus.call(_EVERYTHING, model_calls.list_models(cursor=cursor))
            found += page.models
            cursor = page.cursor
            if cursor is None:
                return found

    async def _once(self, name: str, reached: Callable[[ListedModel | None], bool]) -> ListedModel:
        await self._until(name, reached)
        return await self.get(name)

    async def _until(self, name: str, reached: Callable[[ListedModel | None], bool]) -> None:
        """Wait until workers have announced a change; without workers, or if it takes too long, do not."""
        try:
            async with asyncio.timeout(ANNOUNCED_S):
                while (await self._bus.call(_EVERYTHING, calls.server_info())).workers:
                    if reached(next((model for model in await self._announced() if model.name == name), None)):
                        return
                    await asyncio.sleep(_POLL_S)
        except (TimeoutError, CryoMambaError) as error:
            log.debug("Workers have not announced the change of the model %s yet: %s", name, error)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def remove_abandoned(self) -> None:
        """Remove what additions that were killed a day ago have left."""
        await self._run(self._store.remove_abandoned)

    def close(self) -> None:
        """End the thread after its present work."""
        self._thread.shutdown(wait=False, cancel_futures=True)
