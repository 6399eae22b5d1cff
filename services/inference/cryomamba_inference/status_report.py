"""What a worker reports of itself to the broker, for the metrics."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import Final

import psutil

from cryomamba.client.bus_requester import BusRequester
from cryomamba.errors import CryoMambaError
from cryomamba.wire.messages import WORKER_STATUS
from cryomamba.wire.requests import WorkerStatus
from cryomamba_inference.limits import resident_nbytes

INTERVAL_S: Final = 5.0


class StatusReport:
    """Counts, measures and sends what a worker reports; for one event loop.

    Attributes
    ----------
    compute_starts, jobs_run : int
        Set by the service.
    """

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._longest_lag = 0.0
        self.compute_starts = 0
        self.jobs_run = 0

    def observe_lag(self, seconds: float) -> None:
        """Note a lag of the event loop."""
        self._longest_lag = max(self._longest_lag, seconds)

    async def send_repeatedly(self, requester: BusRequester) -> None:
        """Report every few seconds, forever; what cannot be measured, or does not reach the broker, is left out."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            # Without a free descriptor nothing can be measured, and the jobs must go on.
            with suppress(CryoMambaError, OSError, psutil.Error):
                await requester.request(WORKER_STATUS, await self.measure(), timeout=INTERVAL_S)

    async def measure(self) -> WorkerStatus:
        """Return the present status, and begin to measure the lag of the loop anew."""
        memory, cpu = await asyncio.to_thread(_measure_processes)
        lag, self._longest_lag = self._longest_lag, 0.0
        return WorkerStatus(
            worker=self._worker,
            memory_bytes=memory,
            cpu_seconds=cpu,
            compute_starts=self.compute_starts,
            jobs_run=self.jobs_run,
            loop_lag_seconds=lag,
        )


def _measure_processes() -> tuple[int, float]:
    """Return resident memory and processor time of this process and those that it has started."""
    cpu = 0.0
    root = psutil.Process()
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            cpu += times.user + times.system
    return resident_nbytes(os.getpid()), cpu
