"""``python -m cryomamba_broker``: start the broker."""

from __future__ import annotations

import asyncio
import sys

from cryomamba.service import run_program, service_parser
from cryomamba.settings import Settings
from cryomamba.systemd import READY, tell

from .server import Broker


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run a broker until `stop` is set."""
    async with Broker(settings) as broker:
        tell(READY)
        await broker.serve(stop)


def main(arguments: list[str] | None = None) -> int:
    """Run the broker and return its exit code; 0 after a signal."""
    service_parser(
        "broker",
        description="The broker: keeps the jobs and forwards every preview frame.",
        variables="CRYOMAMBA_HOME, CRYOMAMBA_BUS_JOBS, CRYOMAMBA_BUS_PREVIEW_IN, CRYOMAMBA_BUS_PREVIEW_OUT, "
        "CRYOMAMBA_BUS_EVENTS, CRYOMAMBA_ROOTS, CRYOMAMBA_LEASE_S, CRYOMAMBA_DISK_RESERVE and CRYOMAMBA_LOG",
    ).parse_args(arguments)
    return run_program("broker", serve)


if __name__ == "__main__":
    sys.exit(main())
