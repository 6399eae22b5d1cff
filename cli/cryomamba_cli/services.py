"""The three services under honcho: started for a demo on free ports, or in the foreground for ``run``."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import cryomamba
from cryomamba.errors import ErrorCode, InvalidRequestError, UnavailableError

SERVICES: Final = ("broker", "inference", "gateway")
_READY_S: Final = 60.0
_STARTED_S: Final = 5.0
_STOP_S: Final = 10.0
_PAUSE_S: Final = 0.1


def honcho(*arguments: str) -> list[str]:
    """Return the command that runs honcho in this environment.

    Raises
    ------
    InvalidRequestError
        The services are not installed.
    """
    needed = ("honcho", *(f"cryomamba_{service}" for service in SERVICES))
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise InvalidRequestError(
            f"The services are not installed here: {', '.join(missing)} is missing.",
            code=ErrorCode.UNAVAILABLE,
            hint="Install them with: pip install 'cryomamba[server]'.",
        )
    return [sys.executable, "-m", "honcho", *arguments]


def procfile(folder: Path) -> Path:
    """Return the source checkout's Procfile; where there is none, write the same into a folder."""
    checkout = Path(cryomamba.__file__).resolve().parents[2] / "Procfile"
    if checkout.is_file():
        return checkout
    own = folder / "Procfile"
    own.write_text("".join(f"{name}: python -m cryomamba_{name}\n" for name in SERVICES), encoding="utf-8")
    return own


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return this environment with `more`, and with this Python first on the path, for the Procfile's ``python``."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    return {**os.environ, "PATH": path, **more}


class Stack:
    """Broker, inference and gateway, with a home and ports of their own; a context manager.

    Parameters
    ----------
    home : Path
        Existing empty folder for all state.
    root : Path
        Folder from which volumes may be read.
    log : Path
        File for everything that the services print.
    """

    def __init__(self, home: Path, *, root: Path, log: Path) -> None:
        from cryomamba.testing import free_ports

        ports = free_ports(5)
        names = ("BUS_JOBS", "BUS_PREVIEW_IN", "BUS_PREVIEW_OUT", "BUS_EVENTS")
        bus = {f"CRYOMAMBA_{name}": f"tcp://127.0.0.1:{port}" for name, port in zip(names, ports, strict=False)}
        self.url = f"http://127.0.0.1:{ports[4]}"
        self.log = log
        self._home = home
        self._env = {
            **bus,
            "CRYOMAMBA_HOME": str(home),
            "CRYOMAMBA_GATEWAY_HOST": "127.0.0.1",
            "CRYOMAMBA_GATEWAY_PORT": str(ports[4]),
            "CRYOMAMBA_ROOTS": str(root),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start honcho on the Procfile, out of reach of the terminal's Ctrl-C: :meth:`stop` ends it in order."""
        # An env file of its own: the .env of a checkout would put another home over this one.
        own = self._home / "demo.env"
        own.touch()
        command = honcho("--no-colour", "-e", str(own), "-f", str(procfile(self._home)), "start")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own command)  # nosec B603
                command,
                env=environment(self._env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until the gateway says that broker and a worker are there.

        Raises
        ------
        UnavailableError
            A service ended, or it took more than a minute.
        """
        import httpx

        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise UnavailableError("A service ended before all were ready.", hint=f"See {self.log}.")
            try:
                if httpx.get(f"{self.url}/v1/readyz", timeout=5.0, trust_env=False).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(_PAUSE_S)
        raise UnavailableError(f"The services were not ready within {_READY_S:.0f} s.", hint=f"See {self.log}.")

    def stop(self) -> None:
        """End all three and wait until they are gone."""
        process, self._process = self._process, None
        if process is None:
            return
        # honcho cannot be ended in order before it has started everything.
        deadline = time.monotonic() + _STARTED_S
        while process.poll() is None and self._started() < len(SERVICES) and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _started(self) -> int:
        return self.log.read_text(encoding="utf-8", errors="replace").count(" started (pid=")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
