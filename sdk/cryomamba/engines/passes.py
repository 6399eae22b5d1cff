"""The passes of an engine over a volume."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """How long an engine expects to work on a volume, in seconds on two cores of a common computer.

    Only the ratio of these times to each other and to those of other stages matters: progress is weighted by it.

    Attributes
    ----------
    prepare_s, tiles_s : float
        Of ``prepare``, and of all tiles of the pass at full resolution.
    """

    prepare_s: float
    tiles_s: float


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over the whole volume. The last pass of an engine gives the result; earlier ones are coarse previews.

    A coarse preview (any factor but 1) runs on a small binned copy before the volume has been read once, so that
    people see something within a second. It uses a second engine with the same parameters, prepared on the copy as if
    that were the volume, with the copy's larger voxels; the whole copy is one tile.

    Attributes
    ----------
    stage : str
        Name of the stage, shown to people while the pass runs.
    factor : int
        Binning along every axis. 1 is full resolution, which the last pass and no other must have. 0 lets the runner
        use the downsampling factor of the preview, which is also the minimum for a coarse preview.
    voxels : int or None
        Maximum number of voxels of the binned copy of a coarse preview; the factor is raised until the copy fits.
    seconds : float
        Minimum duration of the pass. The runner waits for the rest; a cancel ends the wait.
    concurrent : bool
        For a coarse preview that is cheap: compute it in a background thread, if there is a core to spare, while the
        volume is measured and the engine prepared. Two engines of the class then work at the same time.
    """

    stage: str = "segmenting"
    factor: int = 1
    voxels: int | None = None
    seconds: float = 0.0
    concurrent: bool = False
