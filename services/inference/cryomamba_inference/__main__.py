"""``python -m cryomamba_inference``: start the inference service."""

from __future__ import annotations

import argparse
import logging
import sys

from cryomamba._version import __version__
from cryomamba.errors import CryoMambaError
from cryomamba.logs import configure_logging
from cryomamba.settings import load_settings
from cryomamba.shutdown import run_service
from cryomamba_inference.service import InferenceService

logger = logging.getLogger("cryomamba_inference")


def main(arguments: list[str] | None = None) -> int:
    """Run the inference service and return the exit code: 0 after a signal, 1 if it cannot start."""
    parser = argparse.ArgumentParser(
        prog="python -m cryomamba_inference",
        description="The inference service: claims jobs from the broker and segments their volumes.",
        epilog="Configured by CRYOMAMBA_HOME, CRYOMAMBA_BUS_JOBS, CRYOMAMBA_BUS_PREVIEW_IN, CRYOMAMBA_ROOTS, "
        "CRYOMAMBA_PROCESSES, CRYOMAMBA_PREVIEW_CODEC and CRYOMAMBA_LOG; see docs/reference/configuration.md. "
        "SIGTERM or Ctrl-C ends it; a job that it was computing goes back to the queue.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.parse_args(arguments)
    try:
        settings = load_settings()
        configure_logging(settings.log, service="inference")
        service = InferenceService(settings)
        run_service(service.serve)
    except CryoMambaError as error:
        # Before the configuration is read there is no handler; the last resort of logging writes to stderr.
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
