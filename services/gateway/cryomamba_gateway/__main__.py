"""``python -m cryomamba_gateway``: start the gateway."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryomamba.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run the gateway and return its exit code; 0 after a signal."""
    # The helper processes import this module once more, and need no web server.
    from cryomamba_gateway.server import serve
    from cryomamba_server.service import run_program, service_parser

    parser = service_parser(
        "gateway",
        description="Run the gateway: HTTP and WebSocket access to the server.",
        variables="CRYOMAMBA_HOME, CRYOMAMBA_GATEWAY_HOST, CRYOMAMBA_GATEWAY_PORT, CRYOMAMBA_GATEWAY_ORIGINS, "
        "CRYOMAMBA_GATEWAY_HOSTS, CRYOMAMBA_GATEWAY_CERTFILE, CRYOMAMBA_GATEWAY_KEYFILE, the CRYOMAMBA_BUS_ endpoints "
        "and CRYOMAMBA_LOG",
    )
    parser.add_argument("--certfile", type=Path, help="certificate chain (PEM) for TLS")
    parser.add_argument("--keyfile", type=Path, help="private key (PEM) of the certificate")
    chosen = parser.parse_args(arguments)

    def with_certificate(settings: Settings) -> Settings:
        if chosen.certfile is None:
            return settings
        return settings.model_copy(update={"gateway_certfile": chosen.certfile, "gateway_keyfile": chosen.keyfile})

    return run_program("gateway", partial(serve, start_reader=True), configure=with_certificate)


if __name__ == "__main__":
    sys.exit(main())
