"""One client over two transports: ``http://`` through the gateway, ``tcp://`` or ``ipc://`` straight to the bus."""

from cryomamba.client._aio import AsyncClient, aconnect
from cryomamba.client._sync import Client, connect

__all__ = ["AsyncClient", "Client", "aconnect", "connect"]
