"""Shows the windows around the focus while the volume is still being read, with the statistics of a small sample."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from cryomamba.engines.api import VolumeContext, Voxels
from cryomamba.engines.windows import WindowEngine
from cryomamba.errors import CryoMambaError
from cryomamba.masks.region import Region
from cryomamba.volumes import Statistics, Volume
from cryomamba_inference.executor import TileExecutor
from cryomamba_inference.runner.binned_copy import array_statistics
from cryomamba_inference.runner.control import Position
from cryomamba_inference.runner.window_run import WindowRun
from cryomamba_inference.windows.plan import WindowSpec

log = logging.getLogger(__name__)

_PLANES: Final = 8
_SAMPLE: Final = 500_000
_WINDOWS_MAX: Final = 16
_POLL_S: Final = 0.1


class FirstWindows:
    """Computes a few windows of the section in focus, on the executor that is idle until the volume has been read.

    What they show is replaced by the pass that follows; they count for nothing else. Nothing is raised: what fails here
    fails again, and is said, in that pass.

    Parameters
    ----------
    engine : WindowEngine
        A second engine of this class and with these parameters does the work.
    """

    def __init__(
        self,
        run: WindowRun,
        engine: WindowEngine[Any],
        volume: Volume,
        executor: TileExecutor,
        *,
        region: Region | None,
        focus: Position | None,
    ) -> None:
        self._run, self._engine, self._volume, self._executor = run, engine, volume, executor
        self._region = region
        self._left = deque(run.first_windows(focus, _WINDOWS_MAX))
        self._busy: dict[int, WindowSpec] = {}

    def begin(self, check: Callable[[], None]) -> None:
        """Prepare on a sample and send the first windows; `check` is called often, and raises to stop."""
        try:
            statistics = self._sampled()
            if statistics is None:
                self._left.clear()
                return
            header = self._volume.header
            self._engine = type(self._engine)(self._engine.parameters)
            self._engine.prepare(
                VolumeContext(
                    header.shape,
                    header.voxel_size_A,
                    statistics,
                    read=lambda where: self._volume.read(*where),
                    report_progress=lambda *_: check(),
                    coarse=True,
                    within=None if self._region is None else self._region.read,
                )
            )
            self._run.begin(self._executor, self._engine, self._volume)
            self._submit()
        except CryoMambaError as error:
            check()
            self._give_up(error)

    def poll(self, timeout_s: float = 0.0) -> None:
        """Show the windows that are finished, and send the next."""
        if not self._busy:
            return
        try:
            for result in self._executor.completed(timeout_s):
                self._run.show(self._busy.pop(result.index), result, self._engine, self._region)
            self._submit()
        except CryoMambaError as error:
            self._give_up(error)

    def finish(self, check: Callable[[], None]) -> None:
        """Wait for the windows that are being computed, which loads the model for the pass that follows.

        `check` is called often, and raises to stop.
        """
        self._left.clear()
        while self._busy:
            check()
            self.poll(_POLL_S)
        check()
        self._executor.end()

    def _submit(self) -> None:
        while self._left and self._executor.free_slots > 0:
            spec = self._left.popleft()
            if self._run.is_inside(spec, self._region):
                self._busy[spec.index] = spec
                self._executor.submit(spec.index, spec)

    def _give_up(self, error: CryoMambaError) -> None:
        log.info("No quick preview: %s", error)
        self._left.clear()
        self._busy.clear()
        self._executor.end()

    def _sampled(self) -> Statistics | None:
        """Return the statistics of a few sections; None if nothing of the region is in them, or they are not finite."""
        depth, height, width = self._volume.shape
        planes = np.unique(np.linspace(0, depth - 1, min(depth, _PLANES)).round().astype(int))
        stride = max(1, math.ceil(math.sqrt(len(planes) * height * width / _SAMPLE)))
        found = []
        for z in planes:
            where = (slice(int(z), int(z) + 1), slice(0, height), slice(0, width))
            plane: Voxels = self._volume.read(*where)[0, ::stride, ::stride]
            found.append(
                plane.reshape(-1) if self._region is None else plane[self._region.read(where)[0, ::stride, ::stride]]
            )
        sample = np.concatenate(found)
        return array_statistics(sample) if sample.size and np.isfinite(sample).all() else None
