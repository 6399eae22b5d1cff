"""Computes tiles on the workers of a Dask cluster, which read the volume by its path."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from cryomamba.engines.api import Engine
from cryomamba.volumes import Volume
from cryomamba_inference.executor.base import LOCAL_JOB, Computation, Item, Load, Output, Result
from cryomamba_inference.executor.dask_cluster import DaskCluster
from cryomamba_inference.executor.dask_tasks import DaskTasks
from cryomamba_inference.executor.dask_worker import FunctionFile, TileFunction
from cryomamba_inference.executor.served_volume import ServedVolume, unreachable
from cryomamba_inference.volume_preparation.node_map import copied_to

PATIENCE_S: Final = 120.0
_POLL_S: Final = 0.1


class DaskExecutor:
    """An executor whose tiles are tasks of a Dask cluster.

    The engine and what it has prepared are in files that the workers see, and each worker loads them once. A task is
    the position of a tile, and its result is compressed.

    Parameters
    ----------
    address : str
        See :class:`DaskCluster`.
    processes : int
        How many cores of this machine may be used for what is not a tile.
    volumes : str, optional
        The address of a gateway, or of the volume up to ``.ome.zarr``: workers that do not see the path read there.
    token : str, optional
        For that gateway.
    patience_s : float
        For how long a lost scheduler, or the first worker, is waited for.
    """

    remote: bool = True

    def __init__(
        self,
        address: str,
        processes: int,
        *,
        volumes: str | None = None,
        token: str | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._cluster, self._processes, self._patience_s = DaskCluster(address), processes, patience_s
        self._volumes, self._token = volumes, token
        self._served: ServedVolume | None = None
        self._folder: Path | None = None
        self._shared: Path | None = None
        self._tasks: DaskTasks | None = None
        self.dashboard_url: str | None = None

    def connect(
        self, files: Sequence[Path], folder: Path, volume: Volume | None = None, job_id: str = LOCAL_JOB
    ) -> None:
        """Connect to the scheduler; require that its workers fit, see files and folder, and can read the volume."""
        self._cluster.connect()
        self._folder = folder.absolute()
        self.dashboard_url = self._cluster.dashboard_url
        # What was decompressed is in the folder.
        elsewhere = volume is not None and self._folder not in volume.path.absolute().parents
        seen = [*files] if volume is None or (self._volumes and elsewhere) else [*files, volume.path]
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix="visible-") as probe:
            self._cluster.require_usable([*seen, Path(probe.name)])
        self._served = None
        if volume is not None and volume.path not in seen and self._volumes is not None:
            self._served = ServedVolume.of(self._volumes, job_id, self._token)
            self._served.require_same(volume)
            self._require_reached(volume, self._served)

    def _require_reached(self, volume: Volume, served: ServedVolume) -> None:
        # In a file, because it has the token: what goes through the scheduler may not be encrypted.
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="visible-") as folder:
            check = partial(unreachable, str(volume.path.absolute()), served)
            self._cluster.require_volume(volume.meta.name, FunctionFile.write(check, Path(folder) / "function"))

    def warm_up(self, engine: Engine[Any] | None = None) -> None:
        """Do nothing: the workers are running."""

    def begin(
        self,
        work: Computation,
        load: Load,
        *,
        tile_voxels: int,  # noqa: ARG002 (protocol)
        result_nbytes: int,  # noqa: ARG002 (protocol)
        in_threads: bool = False,  # noqa: ARG002 (protocol)
    ) -> None:
        """Send the prepared engine, or the callable, to the workers."""
        self._begin(TileFunction(work, load))

    def _begin(self, function: Callable[[Any], Any]) -> None:
        self.end()
        if self._folder is None:
            raise RuntimeError("call connect() first")
        # Not after the job's end: the caller deletes its folder.
        self._shared = Path(tempfile.mkdtemp(dir=self._folder, prefix="shared-"))
        with copied_to(self._shared):
            file = FunctionFile.write(function, self._shared / "function", self._served)
        self._tasks = DaskTasks(self._cluster, file, self._patience_s)

    @property
    def processes(self) -> int:
        """How many cores of this machine may be used for what is not a tile."""
        return self._processes

    @property
    def free_slots(self) -> int:
        """Two tasks for each thread of the workers, less those in flight."""
        return 0 if self._tasks is None else self._tasks.free

    def submit(self, index: int, position: Any, /) -> None:  # noqa: ANN401 (what `load` takes)
        """Submit a tile as a task."""
        if self._tasks is None:
            raise RuntimeError("call begin() first")
        self._tasks.submit(index, position)

    def completed(self, timeout_s: float) -> list[Result]:
        """Return finished tiles; wait for one at most `timeout_s`."""
        found = [] if self._tasks is None else self._tasks.completed(timeout_s)
        return [Result(index, labels, points) for index, (labels, points) in found]

    def end(self) -> None:
        """Cancel unfinished tasks; the engine is released on the workers."""
        tasks, self._tasks = self._tasks, None
        if tasks is not None:
            tasks.cancel()
        shared, self._shared = self._shared, None
        if shared is not None:
            shutil.rmtree(shared, ignore_errors=True)

    def map(self, function: Callable[[Item], Output], items: Iterable[Item], /) -> Iterator[Output]:
        """Yield the results in order, computed a few items ahead."""
        self._begin(function)
        tasks, queue, outputs = self._tasks, enumerate(items), dict[int, Output]()
        sent = yielded = 0
        try:
            while tasks is not None and tasks is self._tasks:
                while sent - yielded < max(tasks.limit, 1) and (following := next(queue, None)) is not None:
                    tasks.submit(*following)
                    sent += 1
                if yielded == sent:
                    return
                while yielded not in outputs:
                    outputs.update(tasks.completed(_POLL_S))
                yield outputs.pop(yielded)
                yielded += 1
        finally:
            # An abandoned generator may be finalized long after something else has begun.
            if tasks is self._tasks:
                self.end()

    def close(self) -> None:
        """Cancel all tasks and close the connection."""
        self.end()
        self._cluster.close()
