"""A Dask scheduler and its workers as processes on the loopback interface, as somebody starts them on a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Self

from cryomamba.testing import wait_until

_HOST = ("--host", "127.0.0.1")
_START_S = 300


class DaskProcesses:
    """Starts and kills the processes; a context manager.

    Parameters
    ----------
    folder : Path
        Existing; for logs and temporary files.
    modules : Path, optional
        Folder with modules that the workers can import.
    hidden : Path, optional
        Folder that is empty for the workers, as one that is not on their machines: they run in a mount namespace.
    """

    def __init__(self, folder: Path, modules: Path | None = None, hidden: Path | None = None) -> None:
        self._folder, self._hidden = folder, hidden
        self._environment = {**os.environ, "PYTHONPATH": "" if modules is None else str(modules)}
        self._logs: list[IO[bytes]] = []
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self.address = ""

    def start_scheduler(self) -> None:
        """Start the scheduler; a second one gets the port of the first."""
        file = self._folder / "scheduler.json"
        file.unlink(missing_ok=True)
        port = self.address.rpartition(":")[2] or "0"
        self.scheduler = self._start(
            "scheduler", *_HOST, "--port", port, "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file)
        )
        wait_until(lambda: file.is_file() and _address(file) != "", timeout=_START_S, what="the scheduler")
        self.address = _address(file)

    def start_workers(self, count: int, *, threads: int = 1) -> None:
        """Start workers, and wait until the scheduler has them all."""
        for _ in range(count):
            self.workers.append(
                self._start(
                    "worker", self.address, *_HOST, "--nthreads", str(threads), "--no-nanny", "--no-dashboard",
                    "--local-directory", str(self._folder / "workers"),
                )
            )  # fmt: skip
        alive = sum(worker.poll() is None for worker in self.workers)
        wait_until(lambda: len(self.nthreads()) == alive, timeout=_START_S, what="the workers")

    def nthreads(self) -> dict[str, int]:
        """Return the threads of each worker that the scheduler has, by address."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            return dict(client.nthreads())

    def tasks(self) -> int:
        """Return how many tasks the scheduler has."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            return int(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))

    def busy(self) -> int:
        """Return how many tasks the workers are computing."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            return sum(client.run(lambda dask_worker: dask_worker.state.executing_count).values())

    def kill_worker(self, number: int) -> None:
        """End a worker by SIGKILL."""
        self.workers[number].kill()
        self.workers[number].wait()

    def kill_scheduler(self) -> None:
        """End the scheduler by SIGKILL, and wait for the end of its workers, which follow it."""
        if self.scheduler is not None:
            self.scheduler.kill()
            self.scheduler.wait()
        for worker in self.workers:
            worker.wait()
        self.workers.clear()

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        log = (self._folder / f"{command[0]}-{len(self._logs)}.log").open("wb")
        self._logs.append(log)
        apart: list[str] = []
        if self._hidden is not None and command[0] == "worker":
            mounting = 'mount -t tmpfs none "$0" && exec "$@"'
            apart = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounting, str(self._hidden)]
        return subprocess.Popen(
            [*apart, sys.executable, "-m", f"distributed.cli.dask_{command[0]}", *command[1:]],
            stdout=log,
            stderr=log,
            env=self._environment,
            cwd=self._folder,
        )

    def __enter__(self) -> Self:
        try:
            self.start_scheduler()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        processes = [*self.workers, *([] if self.scheduler is None else [self.scheduler])]
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
        for log in self._logs:
            log.close()


def _address(file: Path) -> str:
    try:
        return str(json.loads(file.read_text())["address"])
    except (ValueError, KeyError):
        # It is being written.
        return ""
