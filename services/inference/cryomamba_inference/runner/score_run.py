"""From the scores of tiles to the mask, by way of a scratch file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np

from cryomamba.engines.api import Engine, Labels
from cryomamba.errors import JobFailedError
from cryomamba.masks.hysteresis import SCORE_MAX, SCORE_SLAB_VOXELS, Scores, write_mask
from cryomamba.masks.slabs import slab_depth
from cryomamba.volumes import HeaderFields, MaskWriter
from cryomamba_inference.executor import TileExecutor
from cryomamba_inference.score_file import ScoreFile, ScorePlanes
from cryomamba_inference.tiling import Box


class ScoreRun:
    """The scores of all tiles, on disk until the mask has been made from them; a context manager.

    Parameters
    ----------
    path : Path
        The scratch file, deleted at the end.
    """

    def __init__(self, engine: Engine[Any], header: HeaderFields, path: Path) -> None:
        self._engine, self._header, self._path = engine, header, path
        self._planes = ScorePlanes(path, header.shape)

    def __enter__(self) -> Self:
        self._file = ScoreFile(self._path, self._header.shape)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def put(self, spec: Box, scores: Labels) -> None:
        """Store the scores of a tile's core."""
        if scores.dtype != np.uint8:
            raise JobFailedError(
                f"The engine returned scores as {scores.dtype}; uint8 is required.",
                hint="Report this to the engine's author.",
            )
        self._file.write(spec.target, scores.astype(np.uint8, copy=False))

    def write_mask(
        self, write: Callable[[int, Scores], None], executor: TileExecutor, report: Callable[[float], None]
    ) -> None:
        """Apply the engine's thresholds, and give `write` the first z and the mask (0 and 1) of each slab.

        `report` takes the fraction that is done, and raises to stop.
        """
        self._file.close()
        thresholds = self._engine.thresholds()
        write_mask(self._header.shape, self._planes, write, thresholds, progress=report, parallel_map=executor.map)

    def save(self, path: Path, report: Callable[[float], None]) -> None:
        """Save the scores as an MRC volume on the tomogram's grid, for later re-thresholding; `report` as before."""
        depth, _, _ = self._header.shape
        planes = slab_depth(self._header.shape, SCORE_SLAB_VOXELS)
        with MaskWriter(path, self._header, labels=SCORE_MAX, engine=self._engine.name, what="scores") as saved:
            for z in range(0, depth, planes):
                last = min(z + planes, depth)
                saved.write(z, 0, 0, self._planes(slice(z, last)).astype(np.uint16))
                report(last / depth)
