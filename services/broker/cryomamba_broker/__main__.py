"""``python -m cryomamba_broker``: start the broker."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from cryomamba._version import __version__
from cryomamba.errors import CryoMambaError
from cryomamba.logs import configure_logging
from cryomamba.settings import Settings, load_settings
from cryomamba.shutdown import run_service

from .server import Broker

logger = logging.getLogger("cryomamba_broker")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run a broker until `stop` is set."""
    async with Broker(settings) as broker:
        await broker.serve(stop)


def main(arguments: list[str] | None = None) -> int:
    """Run the broker and return the exit code: 0 after a signal, 1 if it cannot start."""
    parser = argparse.ArgumentParser(
        prog="python -m cryomamba_broker",
        description="The broker: keeps the jobs and forwards every preview frame.",
        epilog="Configured by CRYOMAMBA_HOME, CRYOMAMBA_BUS_JOBS, CRYOMAMBA_BUS_PREVIEW_IN, "
        "CRYOMAMBA_BUS_PREVIEW_OUT, CRYOMAMBA_BUS_EVENTS, CRYOMAMBA_ROOTS, CRYOMAMBA_LEASE_S and CRYOMAMBA_LOG; "
        "see docs/reference/configuration.md. SIGTERM or Ctrl-C ends it.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.parse_args(arguments)
    try:
        settings = load_settings()
        configure_logging(settings.log, service="broker")
        run_service(lambda stop: serve(settings, stop))
    except CryoMambaError as error:
        # Before the configuration is read there is no handler; the last resort of logging writes to stderr.
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
