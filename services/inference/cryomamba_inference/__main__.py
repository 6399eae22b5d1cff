"""``python -m cryomamba_inference``: start the inference service."""

from __future__ import annotations

import asyncio
import os
import sys

from cryomamba.settings import Settings
from cryomamba_inference.service import InferenceService, new_run
from cryomamba_server.service import run_program, service_parser


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop` is set; jobs that were being computed go back to the queue."""
    # Made before the group, which would wrap the error for wrong settings.
    run = new_run()
    workers = [InferenceService(settings, slot, run=run) for slot in range(1, settings.slots + 1)]
    async with asyncio.TaskGroup() as tasks:
        for slot, worker in enumerate(workers, 1):
            tasks.create_task(worker.serve(stop), name=f"worker {slot}")


def with_shared_processors(settings: Settings) -> Settings:
    """Return the settings for several jobs at a time: without a number of processes, they share the processors."""
    if settings.slots == 1 or settings.processes:
        return settings
    return settings.model_copy(update={"processes": max(1, (os.cpu_count() or 1) // settings.slots)})


def main(arguments: list[str] | None = None) -> int:
    """Run the inference service and return its exit code; 0 after a signal."""
    service_parser(
        "inference",
        description="The inference service: claims jobs from the broker and segments their volumes.",
        variables="CRYOMAMBA_HOME, CRYOMAMBA_BUS_JOBS, CRYOMAMBA_BUS_PREVIEW_IN, CRYOMAMBA_ROOTS, "
        "CRYOMAMBA_SLOTS, CRYOMAMBA_PROCESSES, CRYOMAMBA_DASK, CRYOMAMBA_PREVIEW_CODEC, CRYOMAMBA_JOB_MEMORY, "
        "CRYOMAMBA_JOB_SECONDS and CRYOMAMBA_LOG",
    ).parse_args(arguments)
    return run_program("inference", serve, configure=with_shared_processors)


if __name__ == "__main__":
    sys.exit(main())
