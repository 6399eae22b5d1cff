"""One client over two transports: ``http://`` through the gateway, ``tcp://`` or ``ipc://`` straight to the bus."""

from cryomamba.client.async_client import AsyncClient, aconnect
from cryomamba.client.sync_client import Client, connect

__all__ = ["AsyncClient", "Client", "aconnect", "connect"]
