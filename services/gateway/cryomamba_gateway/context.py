"""What all routes share."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from cryomamba.settings import Settings

from .link import BusLink
from .live.messages import Translator
from .metrics import Metrics
from .system import system_info

__all__ = ["Context", "Gateway"]


class Gateway:
    """The gateway's parts; it holds no state of any job.

    Attributes
    ----------
    settings : Settings
    metrics : Metrics
    bus : BusLink
        From :meth:`start` on.
    translator : Translator
    system : SystemInfo
        From :meth:`start` on.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.translator = Translator()
        self.started = time.monotonic()
        self.bus: BusLink

    async def start(self) -> None:
        """Begin to look for the broker; inside the event loop."""
        self.system = await system_info()
        self.bus = BusLink(self.settings)
        await self.bus.start()
        self.metrics.bus.set_function(lambda: float(self.bus.connected))

    async def close(self) -> None:
        """Give everything back."""
        await self.bus.close()


def _gateway(connection: HTTPConnection) -> Gateway:
    found: Gateway = connection.app.state.gateway
    return found


Context = Annotated[Gateway, Depends(_gateway)]
