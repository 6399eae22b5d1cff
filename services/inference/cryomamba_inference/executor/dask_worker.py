"""What Dask workers execute: the function of a job, loaded once in each of them, and checks of the machine."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, Final

import zstandard

from cryomamba.engines.api import Points
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba_inference.executor.base import Array, Computation, Load, compute
from cryomamba_inference.executor.served_volume import ServedVolume, pickled
from cryomamba_inference.failures import UnreadableFileError, as_error
from cryomamba_inference.free_memory import release_free_memory
from cryomamba_inference.threads import one_thread

PACKAGES: Final = ("cryomamba", "numpy", "scipy", "numba", "onnxruntime")
"""Packages whose versions may change a mask, or what is sent."""
_DROPPED_AFTER_S: Final = 5.0


def own_versions() -> dict[str, str]:
    """Return the versions of Python, without its patch level, and of :data:`PACKAGES` here."""
    found = {"python": ".".join(map(str, sys.version_info[:2]))}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def pack(value: Any) -> bytes:  # noqa: ANN401 (anything that pickles)
    """Pickle and compress."""
    return compressed(ForkingPickler.dumps(value))


def compressed(content: bytes | memoryview) -> bytes:
    """Compress what was pickled."""
    return zstandard.ZstdCompressor(level=1).compress(content)


def unpack(packed: bytes) -> Any:  # noqa: ANN401 (what was packed)
    """Undo :func:`pack`; only for what comes from Dask, which must be trusted as a whole, or is checked by that."""
    return ForkingPickler.loads(zstandard.ZstdDecompressor().decompress(packed))


@dataclass(frozen=True, slots=True)
class TileFunction:
    """Reads a tile and computes it.

    Attributes
    ----------
    work : Engine or callable
    load : callable
    """

    work: Computation
    load: Load

    def __call__(self, position: Any) -> tuple[Array, Points | None]:  # noqa: ANN401 (what `load` takes)
        """Return what is computed for the tile at a position of the plan."""
        return compute(self.work, self.load(position))


@dataclass(frozen=True, slots=True)
class FunctionFile:
    """The function of a job, in a file that all workers see; each loads it with its first task.

    Attributes
    ----------
    path : str
    sha256 : str
        Of the file.
    versions : tuple of (str, str)
        Those of the client, which must be those of the worker.
    """

    path: str
    sha256: str
    versions: tuple[tuple[str, str], ...]

    @classmethod
    def write(cls, function: Callable[..., Any], path: Path, served: ServedVolume | None = None) -> FunctionFile:
        """Write a function into a new file; the volume that it reads may be served, too."""
        packed = compressed(pickled(function, served))
        path.write_bytes(packed)
        return cls(str(path), hashlib.sha256(packed).hexdigest(), tuple(own_versions().items()))

    def load(self, worker: str) -> Callable[..., Any]:
        """Read the function.

        Raises
        ------
        InvalidRequestError
            The worker has other packages, or does not see a file.
        """
        require_versions(dict(self.versions), own_versions(), worker)
        try:
            packed = Path(self.path).read_bytes()
            if hashlib.sha256(packed).hexdigest() != self.sha256:
                raise OSError(errno.EIO, "the file is damaged", self.path)
            function: Callable[..., Any] = unpack(packed)
        except ImportError as error:
            raise InvalidRequestError(
                f"The Dask worker {worker} cannot import {error.name or 'a package'}, which the engine needs.",
                code=ErrorCode.ENGINE_UNAVAILABLE,
                hint="Install the package of the engine in the environment of every worker.",
            ) from error
        except OSError as error:
            raise UnreadableFileError(worker, str(error.filename)) from error
        return function


class LoadedFunctions:
    """The functions that a worker has loaded; each is dropped soon after its file is gone, as it is with its job."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._functions: dict[FunctionFile, Callable[[Any], Any]] = {}

    def get(self, file: FunctionFile) -> Callable[[Any], Any]:
        """Return a function, which is loaded once."""
        with self._lock:
            if file not in self._functions:
                if not self._functions:
                    threading.Thread(target=self._drop, name="cryomamba-functions", daemon=True).start()
                self._functions[file] = file.load(_address())
            return self._functions[file]

    def _drop(self) -> None:
        while True:
            time.sleep(_DROPPED_AFTER_S)
            with self._lock:
                gone = [file for file in self._functions if not Path(file.path).exists()]
                for file in gone:
                    del self._functions[file]
                if gone:
                    release_free_memory()
                if not self._functions:
                    return


_loaded = LoadedFunctions()


def call_packed(file: FunctionFile, item: Any) -> bytes:  # noqa: ANN401 (as the function has it)
    """Call a function with one thread, as the processes of a pool do; return the packed output or error, as a pair."""
    try:
        function = _loaded.get(file)
        with _single_threaded:
            return pack(("done", function(item)))
    except Exception as error:  # noqa: BLE001 (an engine may raise anything; every error is reported)
        return pack(("failed", as_error(error)))


def call_once(file: FunctionFile) -> Any:  # noqa: ANN401 (as the function has it)
    """Call a function that takes nothing, and forget it."""
    function: Callable[..., Any] = file.load(_address())
    return function()


def require_versions(wanted: Mapping[str, str], found: Mapping[str, str | None], worker: str) -> None:
    """Refuse a worker whose packages are others than the client's.

    Raises
    ------
    InvalidRequestError
        ``engine_unavailable``.
    """
    if not found.get("cryomamba"):
        raise InvalidRequestError(
            f"CryoMamba is not installed where the Dask worker {worker} runs.",
            code=ErrorCode.ENGINE_UNAVAILABLE,
            hint=f"Install it there with: pip install 'cryomamba[dask]=={wanted['cryomamba']}'.",
        )
    for name, here in wanted.items():
        there = found.get(name) or ""
        if there != here:
            raise InvalidRequestError(
                f"The Dask worker {worker} has {_named(name, there)}, and this process {_named(name, here)}: the mask "
                "could be another one.",
                code=ErrorCode.ENGINE_UNAVAILABLE,
                hint="Start the workers in an environment with the same packages as this one.",
            )


def unreadable(paths: list[str]) -> list[str]:
    """Return which files and folders the process cannot read."""
    return [path for path in paths if not os.access(path, os.R_OK)]


def _named(name: str, number: str) -> str:
    title = "Python" if name == "python" else name
    return f"{title} {number}" if number else f"no {title}"


def _address() -> str:
    from distributed import get_worker

    try:
        return str(get_worker().address)
    except ValueError:
        return "here"


class _SingleThreaded:
    """Limits numerical libraries to one thread while any thread of the worker is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limit: AbstractContextManager[object] | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._limit is None:
                self._limit = one_thread()
                self._limit.__enter__()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._limit is not None:
                self._limit.__exit__(None, None, None)
                self._limit = None


_single_threaded = _SingleThreaded()
