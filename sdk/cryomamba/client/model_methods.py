"""What can be asked about trained models."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import ValidationError

from cryomamba.client import model_calls
from cryomamba.client.transport import ProgressCallback, Transport
from cryomamba.models.model_listing import LicenceAcceptance, ListedModel, ModelUpload
from cryomamba.trained_models.packing import is_archive, pack
from cryomamba.wire.requests import invalid_fields


class ModelMethods:
    """The requests about trained models, for one event loop."""

    transport: Transport

    async def models(self) -> list[ListedModel]:
        """Return the trained models of the server, by name, with the workers that have them."""
        found: list[ListedModel] = []
        cursor: str | None = None
        while True:
            page = await self.transport.call(model_calls.list_models(cursor=cursor))
            found += page.models
            cursor = page.cursor
            if cursor is None:
                return found

    async def model(self, name: str) -> ListedModel:
        """Return a trained model of the server."""
        return await self.transport.call(model_calls.get_model(name))

    async def add_model(
        self,
        path: str | os.PathLike[str],
        name: str,
        *,
        accept_licence: bool = False,
        progress: ProgressCallback | None = None,
        reading: ProgressCallback | None = None,
    ) -> ListedModel:
        """Add a trained model to the server; an administrator may.

        Parameters
        ----------
        path : path
            The folder of a model, a weights file beside its sidecar, or an archive (.zip, .tar, .tar.gz) of a folder.
        name : str
            By which jobs ask for it.
        accept_licence : bool
            Whether you accept the licence that the model states; otherwise it can be accepted later, before its first
            use.
        progress, reading : callable, optional
            As for :meth:`~cryomamba.client.AsyncClient.upload`.

        Raises
        ------
        InvalidRequestError
            It is no model that can be used, or this connection takes no files; connect to a gateway.
        ConflictError
            There is a model of this name.
        AccessError
            The token lacks the scope ``admin``.
        """
        async with _sendable(Path(path)) as file:
            upload_id = await self.transport.send_file(file, progress=progress, reading=reading)
        try:
            request = ModelUpload(upload_id=upload_id, name=name, accept_licence=accept_licence)
        except ValidationError as error:
            raise invalid_fields(error) from None
        return await self.transport.call(model_calls.add_model(request))

    async def remove_model(self, name: str) -> None:
        """Remove a trained model from the server; an administrator may.

        Raises
        ------
        ConflictError
            Jobs that have not ended need it.
        """
        await self.transport.call(model_calls.remove_model(name))

    async def accept_licence(self, name: str, licence: str) -> ListedModel:
        """Accept the licence of a trained model, once for the whole server.

        Parameters
        ----------
        licence : str
            The licence as the model states it.

        Raises
        ------
        ConflictError
            The model states another licence.
        """
        try:
            acceptance = LicenceAcceptance(licence=licence)
        except ValidationError as error:
            raise invalid_fields(error) from None
        return await self.transport.call(model_calls.accept_licence(name, acceptance))


@asynccontextmanager
async def _sendable(path: Path) -> AsyncGenerator[Path, None]:
    """Yield the file to send: an archive as it is, or one that is made of a model."""
    if is_archive(path.name) and not await asyncio.to_thread(path.is_dir):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="cryomamba-") as folder:
        archive = Path(folder) / "model.zip"
        await asyncio.to_thread(pack, path, archive)
        yield archive
