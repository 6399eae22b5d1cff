"""The tasks of one function in flight on a Dask cluster; those that were lost are submitted again."""

from __future__ import annotations

import logging
import queue
import time
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from cryomamba.errors import CryoMambaError, ErrorCode, JobFailedError
from cryomamba_inference.executor.dask_cluster import DaskCluster
from cryomamba_inference.executor.dask_worker import FunctionFile, call_packed, unpack

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as DaskFuture

log = logging.getLogger(__name__)

_TASKS_PER_THREAD: Final = 2
"""So that no worker waits for its next task."""


class DaskTasks:
    """Submits items to a function on the workers and collects its outputs; not thread-safe.

    A task whose worker is lost is done again on another one, by Dask, as often as its ``allowed-failures`` says. When
    the scheduler is lost, all tasks in flight are submitted again to the one that answers next at its address.

    Parameters
    ----------
    cluster : DaskCluster
        Connected.
    function : FunctionFile
    patience_s : float
        For how long a lost scheduler, or the first worker, is waited for.
    """

    def __init__(self, cluster: DaskCluster, function: FunctionFile, patience_s: float) -> None:
        self._cluster, self._function, self._patience_s = cluster, function, patience_s
        self._items: dict[int, Any] = {}
        self._submitted = 0
        self._idle_since: float | None = None
        self._send_all()

    def _send_all(self) -> None:
        """Submit all items in flight."""
        self._answers: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._futures: dict[int, DaskFuture[bytes]] = {}
        self._connected = True
        self._name = f"cryomamba-{uuid4().hex[:12]}"
        for number in self._items:
            self._send(number)

    @property
    def _client(self) -> Client:
        return self._cluster.client

    def __len__(self) -> int:
        return len(self._items)

    @property
    def limit(self) -> int:
        """How many items may be in flight."""
        return _TASKS_PER_THREAD * max(self._cluster.threads, 1)

    @property
    def free(self) -> int:
        """How many more items may be submitted now."""
        return max(0, self.limit - len(self._items))

    def submit(self, number: int, item: Any) -> None:  # noqa: ANN401 (as the function has it)
        """Submit an item; those that were submitted earlier are computed earlier."""
        self._items[number] = item
        if self._connected:
            self._send(number)

    def _send(self, number: int) -> None:
        self._submitted += 1
        answers = self._answers
        try:
            future = self._client.submit(
                call_packed,
                self._function,
                self._items[number],
                key=(self._name, number),
                pure=False,
                priority=-self._submitted,
            )
            future.add_done_callback(lambda done: answers.put((number, _answer(done))))
            self._futures[number] = future
        except Exception as error:  # noqa: BLE001 (as above)
            self._lost(error)

    def _lost(self, error: BaseException) -> None:
        """Note that the connection is lost; re-raise any other error."""
        if self._cluster.alive and not _is_loss(error):
            raise error
        if self._connected:
            log.warning("The connection to the Dask scheduler at %s is lost.", self._cluster.address)
        self._connected = False

    def completed(self, timeout_s: float) -> list[tuple[int, Any]]:
        """Return the numbers and outputs that are ready; wait for one at most `timeout_s`.

        Raises
        ------
        CryoMambaError
            The function failed; or workers or scheduler were lost for too long (``worker_lost``, retryable).
        """
        if not self._cluster.alive:
            self._connected = False
        self._require_patience()
        if not self._connected:
            if self._cluster.reconnect(timeout_s):
                log.warning("The Dask scheduler answers again; %d tasks are computed again.", len(self._items))
                self._send_all()
            return []
        return [found for number, answer in self._take(timeout_s) if (found := self._output(number, answer))]

    def _take(self, timeout_s: float) -> list[tuple[int, Any]]:
        taken = []
        with suppress(queue.Empty):
            taken.append(self._answers.get(timeout=timeout_s))
            while True:
                taken.append(self._answers.get_nowait())
        return taken

    def _output(self, number: int, answer: bytes | BaseException) -> tuple[int, Any] | None:
        if isinstance(answer, BaseException):
            raised = _typed(answer)
            if raised is not None:
                raise raised from answer
            # Cancelled, and not by this object: the connection was lost.
            self._connected = False
            return None
        self._futures.pop(number, None)
        del self._items[number]
        kind, output = unpack(answer)
        if kind == "failed":
            raise output
        return number, output

    def _require_patience(self) -> None:
        """Raise if there has been no scheduler or no worker for too long."""
        if self._connected and self._cluster.threads > 0:
            self._idle_since = None
            return
        now = time.monotonic()
        if self._idle_since is None:
            self._idle_since = now
        if now - self._idle_since > self._patience_s:
            what = "No worker is connected to" if self._connected else "The connection was lost to"
            raise JobFailedError(
                f"{what} the Dask scheduler at {self._cluster.address}.",
                code=ErrorCode.WORKER_LOST,
                hint="See that scheduler and workers are running, and retry the job.",
                retryable=True,
            )

    def cancel(self) -> None:
        """Discard all tasks; one that is being computed is finished for nothing. Idempotent."""
        futures = list(self._futures.values())
        self._items, self._futures, self._answers = {}, {}, queue.SimpleQueue()
        if self._cluster.alive and self._connected:
            with suppress(Exception):
                self._client.cancel(futures, force=True)
        self._connected = False


def _answer(future: DaskFuture[bytes]) -> bytes | BaseException:
    try:
        packed: bytes = future.result()
    except BaseException as error:  # noqa: BLE001 (raised where it is awaited)
        return error
    return packed


def _is_loss(error: BaseException) -> bool:
    """Whether an error means that scheduler or results are gone."""
    from distributed.client import FutureCancelledError

    return isinstance(error, (FutureCancelledError, CancelledError, OSError))


def _typed(error: BaseException) -> CryoMambaError | None:
    """Return the error for the exception of a task; None if the task was cancelled or its result lost."""
    from distributed import KilledWorker

    if isinstance(error, CryoMambaError):
        return error
    if isinstance(error, KilledWorker):
        return JobFailedError(
            "A tile was given to several Dask workers, one after the other, and each of them was lost.",
            code=ErrorCode.WORKER_LOST,
            hint="They may have run out of memory: give them more, or have each compute fewer tiles at once.",
            retryable=True,
        )
    if _is_loss(error):
        return None
    return JobFailedError(
        f"A Dask worker failed: {type(error).__name__}.",
        code=ErrorCode.WORKER_LOST,
        hint="See the log of the workers.",
        retryable=True,
    )
