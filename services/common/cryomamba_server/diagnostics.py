"""The checks of ``doctor``. Each yields its results and raises nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cryomamba._version import __version__
from cryomamba.errors import CryoMambaError
from cryomamba_server.check_result import CheckResult, Level
from cryomamba_server.diagnostics_access import keys, models, through_proxy
from cryomamba_server.diagnostics_machine import display, is_installed, memory

if TYPE_CHECKING:
    from cryomamba.endpoints import BusEndpoints
    from cryomamba.settings import Settings

_REQUIREMENT: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:.*extra == ['\"]([\w-]+)['\"])?")
_DISK_WARN_BYTES: Final = 10 * 1000**3
_DISK_FAIL_BYTES: Final = 1000**3
_CONNECT_S: Final = 2.0


def versions() -> Iterator[CheckResult]:
    """Report the versions and the machine."""
    system = f"{platform.system()} {platform.release()} ({platform.machine()})"
    yield CheckResult("ok", "version", f"cryomamba {__version__}, Python {platform.python_version()}, {system}")
    yield CheckResult("ok", "machine", f"{os.cpu_count()} cores, {_memory()}")


def _memory() -> str:
    if sys.platform == "win32":
        return "memory unknown"
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB of memory"
    except (ValueError, OSError):
        return "memory unknown"


def extras() -> Iterator[CheckResult]:
    """Check the packages of each extra."""
    try:
        requirements = importlib.metadata.requires("cryomamba") or []
    except importlib.metadata.PackageNotFoundError:
        yield CheckResult("fail", "install", "the metadata of the package is missing", "pip install cryomamba")
        return
    missing: dict[str, list[str]] = {"": []}
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is not None:
            absent = missing.setdefault(match[2] or "", [])
            if not is_installed(match[1]):
                absent.append(match[1])
    for extra, names in missing.items():
        what = f"extra {extra}" if extra else "packages"
        if not names:
            yield CheckResult("ok", what, "installed")
        elif not extra:
            yield CheckResult("fail", what, f"missing: {', '.join(names)}", f"pip install {' '.join(names)}")
        else:
            hint = f"If this machine needs it: pip install 'cryomamba[{extra}]'"
            yield CheckResult("warn", what, f"missing: {', '.join(names)}", hint)


def storage(settings: Settings) -> Iterator[CheckResult]:
    """Check that the data directory is writable and its disk not full, and that the input directories exist."""
    home = settings.home
    existing = next(folder for folder in (home, *home.parents) if folder.is_dir())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        hint = "Set CRYOMAMBA_HOME to a folder that you may write to."
        yield CheckResult("fail", "data directory", f"{home}: {error.strerror}", hint)
    else:
        yield CheckResult("ok", "data directory", f"{home} is writable")
    free = shutil.disk_usage(existing).free
    level: Level = "ok" if free >= _DISK_WARN_BYTES else "warn" if free >= _DISK_FAIL_BYTES else "fail"
    hint = "" if level == "ok" else "Free some space, or set CRYOMAMBA_HOME to a folder on a larger disk."
    yield CheckResult(level, "disk", f"{free / 1e9:.1f} GB free", hint)
    for root in settings.roots:
        if root.is_dir():
            yield CheckResult("ok", "input directory", f"{root} and its subfolders")
        else:
            yield CheckResult("warn", "input directory", f"{root} is not a folder", "Correct CRYOMAMBA_ROOTS.")


def services(settings: Settings) -> Iterator[CheckResult]:
    """Check that broker and gateway respond, where they have announced it or else at the configured addresses."""
    from cryomamba.client.address import gateway_of

    bus = _bus_endpoints(settings)
    yield _check_service("broker", bus.jobs, bus.jobs, "CRYOMAMBA_BUS_JOBS")
    gateway = gateway_of(settings)
    yield _check_service("gateway", gateway, gateway, "CRYOMAMBA_GATEWAY_PORT")
    for name in ("preview_in", "preview_out", "events"):
        endpoint = str(getattr(bus, name))
        state = "in use" if _listening(endpoint) else "free"
        yield CheckResult("ok", "port", f"{endpoint} ({name.replace('_', '-')}): {state}")


def _bus_endpoints(settings: Settings) -> BusEndpoints:
    from cryomamba.endpoints import BusEndpoints, ConnectionFile

    try:
        return ConnectionFile.read(settings.connection_file).endpoints
    except CryoMambaError:
        return BusEndpoints.from_settings(settings)


def server(url: str) -> Iterator[CheckResult]:
    """Check that a given server responds, also to WebSockets."""
    from cryomamba.settings import load_settings

    result = _check_server("server", url, "Check the address, and that the services run there.")
    yield result
    if result.level != "fail" and urlsplit(url).scheme in {"http", "https"}:
        yield from through_proxy(url, load_settings())


def _check_service(what: str, url: str, endpoint: str, variable: str) -> CheckResult:
    if not _listening(endpoint):
        return CheckResult(
            "warn", what, f"not running at {url}", "If you need the services, start them with 'cryomamba run'."
        )
    return _check_server(what, url, f"Another program may use this address; set another one with {variable}.")


def _check_server(what: str, url: str, hint: str) -> CheckResult:
    import cryomamba

    try:
        with cryomamba.connect(url) as client:
            info = client.info()
    except CryoMambaError as error:
        return CheckResult("fail", what, f"{url}: {error.message}", error.hint or hint)
    if not info.workers:
        hint = "Start one with 'python -m cryomamba_inference', or all services with 'cryomamba run'."
        return CheckResult("warn", what, f"{url} runs version {info.version}, without a worker", hint)
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
    """Check which engines can run in this environment."""
    from cryomamba.engines.registry import Registry

    registry = Registry.discover()
    for info in registry.infos():
        if info.available:
            yield CheckResult("ok", "engine", info.name + (" (default)" if info.default else ""))
        elif info.name in registry.broken:
            yield CheckResult("fail", "engine", f"{info.name}: {info.reason}", info.hint)
        else:
            yield CheckResult("warn", "engine", f"{info.name} is not available: {info.reason}", info.hint)
    if registry.default is None:
        hint = "Install engines with: pip install 'cryomamba[inference]', or use a server with --server."
        yield CheckResult("warn", "engine", "no engine is available in this environment", hint)


def gpu() -> Iterator[CheckResult]:
    """Report the NVIDIA GPUs; none is needed."""
    from cryomamba_server.gpus import list_gpus

    try:
        gpus = list_gpus()
    except CryoMambaError as error:
        yield CheckResult("warn", "gpu", error.message, error.hint)
        return
    if not gpus:
        yield CheckResult("ok", "gpu", "none found; the engines of CryoMamba need none")
    for one in gpus:
        yield CheckResult("ok", "gpu", f"{one.name}, {one.memory_bytes / 1e9:.1f} GB of memory")


def run_checks(server_url: str | None) -> list[CheckResult]:
    """Run all checks, including that of a server if one is given; takes some seconds."""
    from cryomamba.settings import load_settings

    results = [*versions(), *memory(), *extras()]
    try:
        settings = load_settings()
    except CryoMambaError as error:
        results.append(CheckResult("fail", "settings", error.message, error.hint))
    else:
        results += [*storage(settings), *keys(settings), *services(settings), *models(settings)]
    rest: Sequence[Callable[[], Iterable[CheckResult]]] = (engines, gpu, display)
    results += [result for check in rest for result in check()]
    return results + (list(server(server_url)) if server_url else [])
