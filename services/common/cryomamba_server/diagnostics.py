"""What ``doctor`` looks at. Each check returns findings and raises nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from cryomamba._version import __version__
from cryomamba.errors import CryoMambaError

if TYPE_CHECKING:
    from cryomamba.settings import Settings

Level = Literal["ok", "warn", "fail"]

_REQUIREMENT: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:.*extra == ['\"]([\w-]+)['\"])?")
_DISK_WARN_BYTES: Final = 10 * 1000**3
_DISK_FAIL_BYTES: Final = 1000**3
_CONNECT_S: Final = 2.0
_GPU_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the doctor.

    Attributes
    ----------
    level : {'ok', 'warn', 'fail'}
        ``warn``: something is missing that not everybody needs. ``fail``: something does not work.
    what, message, hint : str
        What was looked at, what was found, and what to do about it.
    """

    level: Level
    what: str
    message: str
    hint: str = ""


def versions() -> Iterator[CheckResult]:
    """Say what runs here."""
    system = f"{platform.system()} {platform.release()} ({platform.machine()})"
    yield CheckResult("ok", "version", f"cryomamba {__version__}, Python {platform.python_version()}, {system}")
    yield CheckResult("ok", "machine", f"{os.cpu_count()} cores, {_memory()}")


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB of memory"
    except (AttributeError, ValueError, OSError):
        return "memory unknown"


def extras() -> Iterator[CheckResult]:
    """Say which extras are installed whole."""
    try:
        requirements = importlib.metadata.requires("cryomamba") or []
    except importlib.metadata.PackageNotFoundError:
        yield CheckResult("fail", "install", "The package's own metadata is missing.", "Install it with pip or make.")
        return
    missing: dict[str, list[str]] = {"": []}
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is not None:
            absent = missing.setdefault(match[2] or "", [])
            if not _installed(match[1]):
                absent.append(match[1])
    for extra, names in missing.items():
        what = f"extra {extra}" if extra else "packages"
        if not names:
            yield CheckResult("ok", what, "installed")
        elif not extra:
            yield CheckResult("fail", what, f"missing: {', '.join(names)}", "Install again: pip install cryomamba")
        else:
            hint = f"If this machine needs it: pip install 'cryomamba[{extra}]'"
            yield CheckResult("warn", what, f"missing: {', '.join(names)}", hint)


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def storage(settings: Settings) -> Iterator[CheckResult]:
    """Look whether the home folder can be written to and has room, and whether the roots are there."""
    home = settings.home
    there = next(folder for folder in (home, *home.parents) if folder.is_dir())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        yield CheckResult("fail", "home", f"{home}: {error.strerror}", "Set CRYOMAMBA_HOME to a folder of your own.")
    else:
        yield CheckResult("ok", "home", f"{home} can be written to")
    free = shutil.disk_usage(there).free
    level: Level = "ok" if free >= _DISK_WARN_BYTES else "warn" if free >= _DISK_FAIL_BYTES else "fail"
    hint = "" if level == "ok" else "Make room, or set CRYOMAMBA_HOME to a larger disk."
    yield CheckResult(level, "disk", f"{free / 1e9:.1f} GB free", hint)
    for root in settings.roots:
        if root.is_dir():
            yield CheckResult("ok", "root", f"volumes may be read below {root}")
        else:
            yield CheckResult("warn", "root", f"{root} is not a folder", "Correct CRYOMAMBA_ROOTS.")


def services(settings: Settings) -> Iterator[CheckResult]:
    """Look whether broker and gateway answer where this environment expects them."""
    yield _service("broker", settings.bus_jobs, settings.bus_jobs, "CRYOMAMBA_BUS_JOBS")
    gateway = f"http://{settings.gateway_host}:{settings.gateway_port}"
    yield _service(
        "gateway", gateway, f"tcp://{settings.gateway_host}:{settings.gateway_port}", "CRYOMAMBA_GATEWAY_PORT"
    )
    for name in ("preview_in", "preview_out", "events"):
        endpoint = str(getattr(settings, f"bus_{name}"))
        state = "in use" if _listening(endpoint) else "free"
        yield CheckResult("ok", "port", f"{endpoint} ({name.replace('_', '-')}): {state}")


def server(url: str) -> Iterator[CheckResult]:
    """Look whether a server that was named answers."""
    yield _answers("server", url, "Look at the address, and whether the services run there.")


def _service(what: str, url: str, endpoint: str, variable: str) -> CheckResult:
    if not _listening(endpoint):
        return CheckResult(
            "warn", what, f"not running at {url}", "Start the services with 'cryomamba run' when you need them."
        )
    return _answers(what, url, f"Another program may use this address: choose another with {variable}.")


def _answers(what: str, url: str, hint: str) -> CheckResult:
    import cryomamba

    try:
        with cryomamba.connect(url) as client:
            info = client.info()
    except CryoMambaError as error:
        return CheckResult("fail", what, f"{url}: {error.message}", error.hint or hint)
    if not info.workers:
        hint = "Start one with 'python -m cryomamba_inference', or all with 'cryomamba run'."
        return CheckResult("warn", what, f"{url} runs version {info.version}, but has no worker", hint)
    count = len(info.workers)
    return CheckResult("ok", what, f"{url} runs version {info.version} with {count} worker{'s' if count > 1 else ''}")


def _listening(endpoint: str) -> bool:
    parts = urlsplit(endpoint)
    if parts.scheme == "ipc":
        return Path(endpoint.removeprefix("ipc://")).exists()
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 0), _CONNECT_S):
            return True
    except OSError:
        return False


def engines() -> Iterator[CheckResult]:
    """Say which methods can run in this environment."""
    from cryomamba.engines.registry import Registry

    registry = Registry.discover()
    for info in registry.infos():
        if info.available:
            yield CheckResult("ok", "engine", info.name + (" (default)" if info.default else ""))
        elif info.name in registry.broken:
            yield CheckResult("fail", "engine", f"{info.name}: {info.reason}", info.hint)
        else:
            yield CheckResult("warn", "engine", f"{info.name} cannot run here: {info.reason}", info.hint)
    if registry.default is None:
        hint = "Install them with: pip install 'cryomamba[inference]', or use a server with --server."
        yield CheckResult("warn", "engine", "no engine can run in this environment", hint)


def gpu() -> Iterator[CheckResult]:
    """Say which NVIDIA GPUs there are; none is needed."""
    program = shutil.which("nvidia-smi")
    if program is None:
        yield CheckResult("ok", "gpu", "none found; the engines that come with CryoMamba need none")
        return
    question = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        # The program is the one that the PATH names, its arguments are ours.
        answer = subprocess.run(  # noqa: S603  # nosec B603
            question, capture_output=True, text=True, timeout=_GPU_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        yield CheckResult("warn", "gpu", "nvidia-smi is there but does not answer", "Look at the NVIDIA driver.")
        return
    for line in answer.stdout.splitlines():
        yield CheckResult("ok", "gpu", line.strip())


def display() -> Iterator[CheckResult]:
    """Look whether a window could be opened, where the desktop is installed."""
    if not _installed("napari"):
        return
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        yield CheckResult("ok", "display", "a window can be opened")
    else:
        hint = "The desktop needs a screen: log in to one, or use 'ssh -X'. The command line needs none."
        yield CheckResult("warn", "display", "neither DISPLAY nor WAYLAND_DISPLAY is set", hint)


def examine(named: str | None) -> list[CheckResult]:
    """Run every check, and the one of a named server."""
    from cryomamba.settings import load_settings

    findings = [*versions(), *extras()]
    try:
        settings = load_settings()
    except CryoMambaError as error:
        findings.append(CheckResult("fail", "settings", error.message, error.hint))
    else:
        findings += [*storage(settings), *services(settings)]
    rest: Sequence[Callable[[], Iterable[CheckResult]]] = (engines, gpu, display)
    findings += [finding for check in rest for finding in check()]
    return findings + (list(server(named)) if named else [])
