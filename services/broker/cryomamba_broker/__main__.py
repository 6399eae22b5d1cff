"""``python -m cryomamba_broker``: start the broker."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from typing import Final

from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba.settings import Settings
from cryomamba_broker.server import Broker
from cryomamba_server.service import run_program, service_parser
from cryomamba_server.systemd import READY, notify_systemd

DISK_FULL_RETRY_S: Final = 5.0

logger = logging.getLogger(__name__)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run a broker until `stop` is set; if the disk is full, wait until it is not."""
    while not stop.is_set():
        try:
            async with Broker(settings) as broker:
                notify_systemd(READY)
                await broker.serve(stop)
        except UnavailableError as error:
            if error.code is not ErrorCode.INSUFFICIENT_STORAGE:
                raise
            logger.warning("%s Trying again every %.0f s.", error, DISK_FULL_RETRY_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(DISK_FULL_RETRY_S):
                    await stop.wait()


def main(arguments: list[str] | None = None) -> int:
    """Run the broker and return its exit code; 0 after a signal."""
    service_parser(
        "broker",
        description="The broker: stores the jobs and forwards every preview frame.",
        variables="CRYOMAMBA_HOME, CRYOMAMBA_BUS_JOBS, CRYOMAMBA_BUS_PREVIEW_IN, CRYOMAMBA_BUS_PREVIEW_OUT, "
        "CRYOMAMBA_BUS_EVENTS, CRYOMAMBA_ROOTS, CRYOMAMBA_LEASE_S, CRYOMAMBA_DISK_RESERVE and CRYOMAMBA_LOG",
    ).parse_args(arguments)
    return run_program("broker", serve)


if __name__ == "__main__":
    sys.exit(main())
