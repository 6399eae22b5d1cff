"""The connection to a Dask cluster: found by its address, checked before a job, and made again when it is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from cryomamba.errors import InvalidRequestError, UnavailableError
from cryomamba.optional_imports import requires_extra
from cryomamba_inference.executor.dask_worker import (
    PACKAGES,
    FunctionFile,
    call_once,
    own_versions,
    require_versions,
    unreadable,
)
from cryomamba_inference.executor.served_volume import UnreachableVolumeError
from cryomamba_inference.failures import UnreadableFileError

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)

FROM_CONFIGURATION: Final = "config"
"""In place of an address: take the scheduler from Dask's own configuration."""
_CONNECT_S: Final = 10.0
_RETRY_S: Final = 0.5
_CLOSE_S: Final = 2.0
_COUNTED_EVERY_S: Final = 1.0
_ANSWER_S: Final = 5.0


class DaskCluster:
    """A scheduler and its workers; not thread-safe.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://10.1.2.3:8786``; the path of its scheduler file; or `FROM_CONFIGURATION`.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._client: Client | None = None
        self._reconnecting: Future[Client] | None = None
        self._closed = threading.Event()
        self._threads, self._counted_at = 0, 0.0

    @property
    def client(self) -> Client:
        """The client of the open connection."""
        if self._client is None:
            raise RuntimeError("call connect() first")
        return self._client

    @property
    def alive(self) -> bool:
        """Whether there is a connection."""
        return self._client is not None and self._client.status == "running"

    def connect(self) -> None:
        """Open a connection, unless there is one.

        Raises
        ------
        InvalidRequestError
            Dask is not installed, or the address or the configuration is not usable.
        UnavailableError
            The scheduler does not answer.
        """
        if not self.alive:
            self.close()
            self._closed = threading.Event()
            self._client = _open(self.address)

    def require_usable(self, paths: Sequence[Path]) -> None:
        """Require that each worker has the same packages as this process, and sees these files and folders.

        Workers that come later are checked when they get their first task.

        Raises
        ------
        InvalidRequestError
            The message names the worker, and what is missing or different.
        """
        wanted = own_versions()
        for worker, answer in self.client.get_versions(packages=list(PACKAGES))["workers"].items():
            found = dict(answer["packages"])
            found["python"] = ".".join(str(found["python"]).split(".")[:2])
            require_versions(wanted, found, worker)
        names = [str(path.absolute()) for path in paths]
        for worker, missing in self.client.run(unreadable, names, on_error="return").items():
            if isinstance(missing, BaseException):
                log.warning("The Dask worker %s did not answer: %r", worker, missing)
            elif missing:
                raise UnreadableFileError(worker, missing[0])

    def require_volume(self, name: str, unreachable: FunctionFile) -> None:
        """Require that each worker can read a volume.

        Parameters
        ----------
        name : str
            Of the volume.
        unreachable : FunctionFile
            Returns why a worker cannot; empty if it can.

        Raises
        ------
        VolumeError
            The message names the worker, and what it was answered.
        """
        for worker, why in self.client.run(call_once, unreachable, on_error="return").items():
            if isinstance(why, BaseException):
                log.warning("The Dask worker %s did not answer: %r", worker, why)
            elif why:
                raise UnreachableVolumeError(worker, name, why)

    @property
    def dashboard_url(self) -> str | None:
        """Address of the scheduler's dashboard; None if it has none."""
        with suppress(KeyError, OSError, ValueError):
            link = self.client.dashboard_link
            if link is not None and urlsplit(link).scheme in {"http", "https"}:
                return str(link)
        return None

    @property
    def threads(self) -> int:
        """How many tasks the workers can run at the same time; a second old at most."""
        if self.alive and time.monotonic() > self._counted_at + _COUNTED_EVERY_S:
            with suppress(OSError):
                counts = self.client.sync(self.client.scheduler.ncores, callback_timeout=_ANSWER_S)
                self._threads = sum(counts.values())
            self._counted_at = time.monotonic()
        return self._threads

    def reconnect(self, timeout_s: float) -> bool:
        """Wait for a new connection after one was lost; return whether there is one.

        Attempts go on in the background until it is closed.
        """
        if self._reconnecting is None:
            lost, self._client = self._client, None
            self._reconnecting = Future()
            arguments = (lost, self.address, self._reconnecting, self._closed)
            threading.Thread(target=_reconnect, args=arguments, name="dask-reconnect", daemon=True).start()
        try:
            self._client = self._reconnecting.result(timeout_s)
        except TimeoutError:
            return False
        self._reconnecting, self._threads, self._counted_at = None, 0, 0.0
        return True

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._closed.set()
        client, self._client = self._client, None
        reconnecting, self._reconnecting = self._reconnecting, None
        if reconnecting is not None and not reconnecting.cancel():
            with suppress(Exception):
                client = reconnecting.result(0)
        if client is not None:
            _close(client)


def _reconnect(lost: Client | None, address: str, found: Future[Client], closed: threading.Event) -> None:
    if lost is not None:
        _close(lost)
    while not closed.is_set():
        try:
            client = _open(address)
        except UnavailableError:
            closed.wait(_RETRY_S)
            continue
        except Exception as error:  # noqa: BLE001 (raised where it is waited for)
            found.set_exception(error)
            return
        if found.set_running_or_notify_cancel():
            found.set_result(client)
        else:
            _close(client)
        return
    found.cancel()


def _close(client: Client) -> None:
    # Of a scheduler that is gone, all that can be closed is on this side.
    with suppress(Exception):
        client.close(timeout=_CLOSE_S)


def _open(address: str) -> Client:
    with requires_extra("dask"):
        from distributed import Client

    _log_as_the_rest()
    where = _where(address)
    try:
        return Client(timeout=_CONNECT_S, set_as_default=False, name="cryomamba", **where)
    except (TypeError, RuntimeError) as error:
        # What Dask raises for an address that its security settings do not fit.
        log.debug("Dask refuses the address: %r", error)
        raise InvalidRequestError(
            f"Dask's configuration has no certificates for {address}, or allows no connection without.",
            hint="Name them in distributed.comm.tls of a file in ~/.config/dask: ca-file, and cert and key of client.",
        ) from error
    except (OSError, ValueError) as error:
        log.debug("The Dask scheduler cannot be reached: %r", error)
        raise UnavailableError(
            f"The Dask scheduler at {address} cannot be reached.",
            hint="Check its address, and that it is running: 'dask scheduler' prints the address when it starts.",
        ) from error


def _where(address: str) -> dict[str, Any]:
    """Return the arguments of a client for an address."""
    import dask

    if address == FROM_CONFIGURATION:
        if not dask.config.get("scheduler-address", None) and not dask.config.get("scheduler-file", None):
            raise InvalidRequestError(
                "Dask's configuration names no scheduler.",
                hint="Set DASK_SCHEDULER_ADDRESS, or scheduler-address in ~/.config/dask; or give the address.",
            )
        found = dask.config.get("scheduler-address", None)
        return {"address": found} if found else {"scheduler_file": dask.config.get("scheduler-file")}
    if "://" in address:
        return {"address": address}
    if not Path(address).is_file():
        raise UnavailableError(
            f"There is no scheduler file {address}.",
            hint="Give an address such as tcp://host:8786, or the file that 'dask scheduler --scheduler-file' writes.",
        )
    return {"scheduler_file": address}


def _log_as_the_rest() -> None:
    """Pass Dask's log records to this process's handlers, in their format; at first Dask installs its own."""
    for name in ("distributed", "tornado", "tornado.application", "bokeh"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # A lost connection is reported once, by this module.
    for name in ("distributed.client", "distributed.batched", "distributed.core"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
