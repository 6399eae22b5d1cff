"""A whole stack of real services on free ports with a home of its own."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from cryomamba.testing.waiting import wait_until

Service = Literal["broker", "inference", "gateway"]
SERVICES: tuple[Service, ...] = ("broker", "inference", "gateway")


def free_ports(count: int) -> list[int]:
    """Return loopback TCP ports that nobody uses just now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for found in sockets:
            found.bind(("127.0.0.1", 0))
        return [found.getsockname()[1] for found in sockets]


class Stack:
    """Broker, inference and gateway as processes; their output goes to ``<home>/logs``.

    Parameters
    ----------
    home : path
        The state folder; nothing is written elsewhere.
    roots : list of path
        Folders from which volumes may be read; the home if none.
    env : mapping
        More environment variables for the services.

    Attributes
    ----------
    env_of : dict
        Environment variables of one service alone, by its name; read when it starts.
    """

    def __init__(self, home: Path, *, roots: list[Path] | None = None, env: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.ports = dict(zip(("jobs", "preview_in", "preview_out", "events", "gateway"), free_ports(5), strict=True))
        bus = {f"CRYOMAMBA_BUS_{name.upper()}": f"tcp://127.0.0.1:{self.ports[name]}" for name in list(self.ports)[:4]}
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CRYOMAMBA_")},
            **bus,
            "CRYOMAMBA_HOME": str(home),
            "CRYOMAMBA_GATEWAY_PORT": str(self.ports["gateway"]),
            "CRYOMAMBA_ROOTS": os.pathsep.join(str(root) for root in roots or [home]),
            "CRYOMAMBA_PROCESSES": "1",
            **(env or {}),
        }
        self.env_of: dict[str, dict[str, str]] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def bus_url(self) -> str:
        """Where a client connects straight to the bus."""
        return f"tcp://127.0.0.1:{self.ports['jobs']}"

    @property
    def http_url(self) -> str:
        """Where the gateway listens."""
        return f"http://127.0.0.1:{self.ports['gateway']}"

    def log(self, service: str) -> str:
        """Return what a service has printed."""
        path = self.home / "logs" / f"{service}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def start(self, *services: Service) -> Self:
        """Start services (all three if none are named) without waiting for them."""
        logs = self.home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        for service in services or SERVICES:
            with (logs / f"{service}.log").open("ab") as log:
                self.processes[service] = subprocess.Popen(  # noqa: S603 (our own module)  # nosec B603
                    [sys.executable, "-m", f"cryomamba_{service}"],
                    env={**self.env, **self.env_of.get(service, {})},
                    cwd=self.home,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
        return self

    def wait_ready(self, *, timeout: float = 90.0) -> Self:
        """Wait until the gateway says that broker and a worker are there."""
        wait_until(self._ready, timeout=timeout, what="the services to be ready")
        return self

    def _ready(self) -> bool:
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise AssertionError(f"{name} ended with status {process.returncode}:\n{self.log(name)}")
        ready = f"{self.http_url}/v1/readyz"
        try:
            with urllib.request.urlopen(ready, timeout=5) as reply:  # noqa: S310 (our own, on loopback)  # nosec B310
                return bool(reply.status == 200)
        except (OSError, http.client.HTTPException):
            # Nobody there yet, or for a moment another program on a port that was free.
            return False

    def kill(self, service: str) -> None:
        """End a service with SIGKILL, as a crash would."""
        process = self.processes.pop(service)
        process.kill()
        process.wait()

    def stop(self, service: str, *, timeout: float = 30.0) -> int:
        """Ask a service to end and return its exit status."""
        process = self.processes.pop(service)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout)

    def close(self) -> None:
        """End whatever still runs: asked first, killed if it does not listen."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
