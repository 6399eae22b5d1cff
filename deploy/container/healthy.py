"""``healthy.py broker|inference|gateway``: exit status 0 if this container's service does its part, 1 if not."""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.request
from typing import Final

import cryomamba
from cryomamba.errors import CryoMambaError
from cryomamba.settings import load_settings

PATIENCE_S: Final = 5.0


def broker() -> bool:
    """Whether the broker answers."""
    with cryomamba.connect(load_settings().bus_jobs) as client:
        return client.info().protocol > 0


def inference() -> bool:
    """Whether the broker has recently received a message from a worker of this container."""
    with cryomamba.connect(load_settings().bus_jobs) as client:
        return socket.gethostname() in {worker.host for worker in client.info().workers}


def gateway() -> bool:
    """Whether the gateway lives; it does so without a broker too."""
    port = os.environ.get("CRYOMAMBA_GATEWAY_PORT", "8000")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/healthz", timeout=PATIENCE_S) as reply:
        return bool(json.load(reply)["status"] == "OK")


CHECKS: Final = {"broker": broker, "inference": inference, "gateway": gateway}


def main(arguments: list[str]) -> int:
    """Check the service that is named."""
    try:
        return 0 if CHECKS[arguments[0]]() else 1
    except (CryoMambaError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
