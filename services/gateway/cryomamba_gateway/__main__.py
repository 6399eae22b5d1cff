"""``python -m cryomamba_gateway``: start the gateway."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from cryomamba._version import __version__
from cryomamba.errors import CryoMambaError
from cryomamba.logs import configure_logging
from cryomamba.settings import load_settings
from cryomamba.shutdown import run_service

from .server import serve

logger = logging.getLogger("cryomamba_gateway")


def main(arguments: list[str] | None = None) -> int:
    """Run the gateway and return the exit code: 0 after a signal, 1 if it cannot start."""
    parser = argparse.ArgumentParser(
        prog="python -m cryomamba_gateway",
        description="The gateway: HTTP and WebSocket in front of the bus.",
        epilog="Configured by CRYOMAMBA_HOME, CRYOMAMBA_GATEWAY_HOST, CRYOMAMBA_GATEWAY_PORT, "
        "CRYOMAMBA_GATEWAY_ORIGINS, CRYOMAMBA_GATEWAY_HOSTS, CRYOMAMBA_GATEWAY_CERTFILE, "
        "CRYOMAMBA_GATEWAY_KEYFILE, the CRYOMAMBA_BUS_ endpoints and CRYOMAMBA_LOG; see "
        "docs/reference/configuration.md. SIGTERM or Ctrl-C ends it.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--certfile", type=Path, help="certificate chain (PEM) with which to serve TLS")
    parser.add_argument("--keyfile", type=Path, help="private key (PEM) that belongs to it")
    chosen = parser.parse_args(arguments)
    try:
        settings = load_settings()
        if chosen.certfile is not None:
            tls = {"gateway_certfile": chosen.certfile, "gateway_keyfile": chosen.keyfile}
            settings = settings.model_copy(update=tls)
        configure_logging(settings.log, service="gateway")
        run_service(lambda stop: serve(settings, stop))
    except CryoMambaError as error:
        # Before the configuration is read there is no handler; the last resort of logging writes to stderr.
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
