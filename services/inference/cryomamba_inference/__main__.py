"""``python -m cryomamba_inference``: start the inference service."""

from __future__ import annotations

import asyncio
import sys

from cryomamba.settings import Settings
from cryomamba_inference.service import InferenceService
from cryomamba_server.service import run_program, service_parser


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop` is set; a job that was being computed goes back to the queue."""
    await InferenceService(settings).serve(stop)


def main(arguments: list[str] | None = None) -> int:
    """Run the inference service and return its exit code; 0 after a signal."""
    service_parser(
        "inference",
        description="The inference service: claims jobs from the broker and segments their volumes.",
        variables="CRYOMAMBA_HOME, CRYOMAMBA_BUS_JOBS, CRYOMAMBA_BUS_PREVIEW_IN, CRYOMAMBA_ROOTS, "
        "CRYOMAMBA_PROCESSES, CRYOMAMBA_DASK, CRYOMAMBA_PREVIEW_CODEC, CRYOMAMBA_JOB_MEMORY, CRYOMAMBA_JOB_SECONDS "
        "and CRYOMAMBA_LOG",
    ).parse_args(arguments)
    return run_program("inference", serve)


if __name__ == "__main__":
    sys.exit(main())
