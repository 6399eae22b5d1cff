"""Broker, inference and gateway as processes of this machine, on free ports and with a data directory of their own."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Self

from cryomamba.errors import UnavailableError

Service = Literal["broker", "inference", "gateway"]
SERVICES: Final[tuple[Service, ...]] = ("broker", "inference", "gateway")

_READY_TIMEOUT_S: Final = 240.0
_STOP_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.05
_LAST_LINES: Final = 5


def free_ports(count: int) -> list[int]:
    """Return loopback TCP ports that no program uses at the moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for found in sockets:
            found.bind(("127.0.0.1", 0))
        return [found.getsockname()[1] for found in sockets]


class ReservedPorts:
    """Loopback TCP ports that, on Linux, other programs do not get by chance until they are released.

    There a bound socket that does not listen lets others with ``SO_REUSEADDR`` listen on its port, as all services do,
    and the kernel gives the port to no outgoing connection. Elsewhere such a socket would keep the services away, so
    the ports are only free at the moment.
    """

    def __init__(self, count: int) -> None:
        self._sockets = [socket.socket() for _ in range(count)]
        for found in self._sockets:
            found.bind(("127.0.0.1", 0))
            # Only now: a port that is bound with it could be one that another program has reserved in the same way.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.numbers: list[int] = [found.getsockname()[1] for found in self._sockets]
        if sys.platform != "linux":
            self.release()

    def release(self) -> None:
        """Let any program have the ports."""
        for found in self._sockets:
            found.close()


class Stack:
    """All three services, started and stopped together; a context manager. For one thread.

    The services see none of the ``CRYOMAMBA_`` variables of this process.

    Parameters
    ----------
    home : Path
        The data directory.
    roots : list of Path, optional
        Allowed input directories; the data directory if not given.
    env : mapping, optional
        More environment variables for the services. Inference uses one process unless ``CRYOMAMBA_PROCESSES`` is here.
    logs : Path, optional
        Folder of the log files, one per service; ``<home>/logs`` if not given.
    new_session : bool
        Keep Ctrl-C at the terminal from reaching the services, for a program that stops them itself.
    python : Path, optional
        The interpreter of the environment that the services run in, with the engines that are installed there; this
        one if not given.

    Attributes
    ----------
    processes : dict
        The running services by name.
    env_of : dict
        Environment variables of a single service, by its name; read when it starts.
    """

    def __init__(
        self,
        home: Path,
        *,
        roots: list[Path] | None = None,
        env: Mapping[str, str] | None = None,
        logs: Path | None = None,
        new_session: bool = False,
        python: Path | None = None,
    ) -> None:
        self.home = home
        self._python = sys.executable if python is None else str(python)
        self.logs = logs or home / "logs"
        names = ("jobs", "preview_in", "preview_out", "events", "gateway")
        self._reserved = ReservedPorts(len(names))
        self.ports = dict(zip(names, self._reserved.numbers, strict=True))
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
        self._new_session = new_session

    @property
    def bus_url(self) -> str:
        """Address of the broker, for clients that connect to it directly."""
        return f"tcp://127.0.0.1:{self.ports['jobs']}"

    @property
    def http_url(self) -> str:
        """Address of the gateway."""
        return f"http://127.0.0.1:{self.ports['gateway']}"

    def log(self, service: str) -> str:
        """Return everything that a service has printed."""
        path = self.logs / f"{service}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def start(self, *services: Service) -> Self:
        """Start services (all three if none are named) without waiting for them."""
        for folder in (self.home, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        for service in services or SERVICES:
            with (self.logs / f"{service}.log").open("ab") as log:
                self.processes[service] = subprocess.Popen(  # noqa: S603 (our own module)  # nosec B603
                    [self._python, "-m", f"cryomamba_{service}"],
                    env={**self.env, **self.env_of.get(service, {})},
                    cwd=self.home,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=self._new_session,
                )
        return self

    def wait_ready(self, *, timeout: float = _READY_TIMEOUT_S) -> Self:
        """Wait until the gateway reports that the broker answers and a worker is connected.

        Raises
        ------
        UnavailableError
            A service ended, or they were not ready after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not self._ready():
            self._require_running()
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"The services were not ready after {timeout:.0f} s.", hint=f"See the logs in {self.logs}."
                )
            time.sleep(_POLL_S)
        return self

    def _ready(self) -> bool:
        gateway = http.client.HTTPConnection("127.0.0.1", self.ports["gateway"], timeout=5)
        try:
            gateway.request("GET", "/v1/readyz")
            return gateway.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            # It does not listen yet, or another program has just taken a port that was free.
            return False
        finally:
            gateway.close()

    def _require_running(self) -> None:
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise UnavailableError(
                    f"The service '{name}' ended with status {process.returncode} before all were ready.",
                    hint=f"See the logs in {self.logs}.",
                    details={"log": self.log(name).splitlines()[-_LAST_LINES:]},
                )

    def kill(self, service: str) -> None:
        """End a service with SIGKILL, as a crash would."""
        process = self.processes.pop(service)
        process.kill()
        process.wait()

    def stop(self, service: str, *, timeout: float = _STOP_TIMEOUT_S) -> int:
        """Stop a service with SIGTERM, wait for it, and return its exit status."""
        process = self.processes.pop(service)
        process.terminate()
        return process.wait(timeout)

    def close(self) -> None:
        """Stop all services that run, and release the ports; a service that has not ended after 30 s is killed."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()
        self._reserved.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
