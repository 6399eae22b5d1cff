"""One client over two transports: ``http://`` through a gateway, ``tcp://`` or ``ipc://`` directly to the broker."""

from cryomamba.client.async_client import AsyncClient, aconnect
from cryomamba.client.job import AsyncJob
from cryomamba.client.sync_client import Client, Job, connect

__all__ = ["AsyncClient", "AsyncJob", "Client", "Job", "aconnect", "connect"]
