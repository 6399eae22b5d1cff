"""The gateway's parts, and the dependencies that routes declare."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Annotated, Final

from fastapi import Depends
from starlette.requests import HTTPConnection

from cryomamba.access.visibility import Visibility
from cryomamba.client import calls
from cryomamba.client.bus_transport import BusTransport
from cryomamba.errors import CryoMambaError
from cryomamba.models.server import ServerInfo
from cryomamba.settings import Settings
from cryomamba_gateway.access.auth import PRINCIPAL
from cryomamba_gateway.access.connections import Connection, Connections
from cryomamba_gateway.access.principal import Principal
from cryomamba_gateway.access.rate_limit import ConcurrencyLimit, RequestRate
from cryomamba_gateway.bus_connection import BusConnection
from cryomamba_gateway.input_folders import InputFolders
from cryomamba_gateway.input_listings import InputListings
from cryomamba_gateway.live.messages import MessageEncoder
from cryomamba_gateway.live.send_scheduler import SendScheduler
from cryomamba_gateway.metrics import Metrics
from cryomamba_gateway.model_registry import ModelRegistry
from cryomamba_gateway.system import system_info
from cryomamba_gateway.uploads.store import UploadLimits, UploadStore
from cryomamba_gateway.volumes.catalog import VolumeCatalog
from cryomamba_gateway.volumes.reader import VolumeReader
from cryomamba_gateway.volumes.reading import LevelFolder
from cryomamba_gateway.webhooks.delivery import WebhookDelivery
from cryomamba_gateway.webhooks.sender import WebhookSender
from cryomamba_server.loop_lag import measure_loop_lag
from cryomamba_server.signing import UrlSigner
from cryomamba_server.tokens import TokenStore
from cryomamba_server.unauthenticated import UnauthenticatedConnections
from cryomamba_server.webhook_addresses import WebhookPolicy

__all__ = ["Caller", "Context", "Gateway"]

ACTIVITY_S: Final = 2.0
SWEEP_S: Final = 3600.0

logger = logging.getLogger(__name__)


class Gateway:
    """The gateway's parts. It holds no job state, so any number of gateways can run side by side.

    Attributes
    ----------
    settings : Settings
    metrics : Metrics
    bus : BusConnection
        From :meth:`start` on.
    encoder : MessageEncoder
    scheduler : SendScheduler
        Shared by all WebSocket clients.
    system : SystemInfo
        From :meth:`start` on.
    tokens, signer, rate, sockets
        Access: tokens and signed links, requests per minute and open WebSockets of each token.
    connections : Connections
    uploads : UploadStore
        From :meth:`start` on.
    reader, volumes : VolumeReader, VolumeCatalog
        Volumes over HTTP; from :meth:`start` on.
    inputs : InputListings
        From :meth:`start` on.
    models : ModelRegistry
        From :meth:`start` on.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics(settings.home)
        self.encoder = MessageEncoder()
        self.scheduler = SendScheduler()
        self.started = time.monotonic()
        self.tokens = TokenStore(settings.keys)
        self.rate = RequestRate(settings.requests_per_minute)
        self.sockets = ConcurrencyLimit(settings.sockets_per_token)
        limits = settings.max_unauthenticated, settings.max_unauthenticated_per_address
        self.connections = Connections(UnauthenticatedConnections[Connection](*limits), lambda: self.tokens.enabled)
        self.bus: BusConnection
        self.signer: UrlSigner
        self.uploads: UploadStore
        self.reader: VolumeReader
        self.volumes: VolumeCatalog
        self.inputs: InputListings
        self.models: ModelRegistry
        self._server_info: asyncio.Future[ServerInfo] | None = None

    async def start(self) -> None:
        """Start, inside the event loop; the broker need not be reachable yet."""
        self.system = await system_info()
        self.bus = BusConnection(self.settings)
        await self.bus.start()
        self.signer = await asyncio.to_thread(UrlSigner, self.settings.keys)
        self.uploads = UploadStore(self.settings.uploads, UploadLimits.from_settings(self.settings))
        self.reader = VolumeReader(self.settings.volume_cache, _level_folder(self.settings))
        self.inputs = InputListings(InputFolders(self.settings.roots, self.settings.own_folders))
        self.volumes = VolumeCatalog(self.settings, self.bus, self.uploads, self.reader)
        self.models = ModelRegistry(self.settings, self.bus, self.uploads)
        self._sweeping = asyncio.create_task(self._sweep(), name="gateway-sweep")
        self._measuring = asyncio.create_task(measure_loop_lag(self.metrics.loop_lag.observe), name="gateway-loop-lag")
        self._sender = await asyncio.to_thread(WebhookSender, WebhookPolicy(self.settings.webhook_networks))
        delivery = WebhookDelivery(self.bus, self.tokens, self._sender)
        self._delivering = asyncio.create_task(delivery.run(), name="gateway-webhooks")
        self.metrics.bus.set_function(lambda: float(self.bus.connected))

    async def close(self) -> None:
        """Release everything."""
        tasks = (self._sweeping, self._measuring, self._delivering)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.bus.close()
        await asyncio.to_thread(self.uploads.close)
        await asyncio.to_thread(self.reader.close)
        self.inputs.close()
        self.models.close()
        self._sender.close()

    async def _sweep(self) -> None:
        while True:
            try:
                swept = await self.uploads.sweep()
                await self.models.remove_abandoned()
                await self.reader.levels.sweep()
            except OSError as error:
                logger.warning("Files that nobody needs could not be removed: %s.", error.strerror)
            else:
                if swept:
                    logger.info("%d abandoned uploads were removed.", swept)
            await asyncio.sleep(SWEEP_S)

    def check_grant(self, path: str, grant: str) -> None:
        """Check the grant of a link to a Zarr hierarchy.

        Raises
        ------
        AccessError
            ``forbidden``: forged, for another hierarchy, or expired.
        """
        self.signer.check_grant(path, grant)

    async def server_info(self) -> ServerInfo:
        """Return the broker's description of the server; all who ask at the same time share one request.

        Raises
        ------
        CryoMambaError
            As :meth:`BusConnection.call` does.
        """
        asked = self._server_info
        if asked is None or asked.done():
            asked = asyncio.ensure_future(self.bus.call(Visibility.everything(), calls.server_info()))
            self._server_info = asked
        return await asyncio.shield(asked)

    async def metrics_text(self) -> bytes:
        """Return all metrics; those of the broker and the workers only if it answers within two seconds."""
        everything = Visibility.everything()
        try:
            async with asyncio.timeout(ACTIVITY_S):
                activity = await self.bus.call(everything, calls.server_activity())
                return self.metrics.text(activity, await self.bus.ask(everything, BusTransport.metrics))
        except (CryoMambaError, TimeoutError):
            return self.metrics.text(None)


def _level_folder(settings: Settings) -> LevelFolder:
    return LevelFolder(settings.levels, settings.volume_levels, settings.disk_reserve)


def _gateway(connection: HTTPConnection) -> Gateway:
    found: Gateway = connection.app.state.gateway
    return found


def _caller(connection: HTTPConnection) -> Principal:
    found: Principal = connection.scope[PRINCIPAL]
    return found


Caller = Annotated[Principal, Depends(_caller)]
Context = Annotated[Gateway, Depends(_gateway)]
