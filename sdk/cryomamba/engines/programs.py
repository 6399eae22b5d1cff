"""Engines that run a program on a file: any tool with a command line that reads an MRC file and writes one."""

from __future__ import annotations

import math
import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Generic

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Availability, Engine, Labels, P, Pass, Slices, Tile, VolumeContext, Voxels, Work
from cryomamba.engines.densities import Found, as_result
from cryomamba.engines.program_output import percentage
from cryomamba.engines.program_process import find_program, run_program
from cryomamba.errors import ErrorCode, JobFailedError, VolumeError
from cryomamba.geometry import Shape, Spacing

_SLAB_VOXELS: Final = 4_000_000
_PREVIEW_VOXELS: Final = 2_000_000
_COPIED: Final = 0.05
"""Share of the preparation after which the tomogram has been copied."""
_RUN: Final = 0.95
"""Share of the preparation after which the program has ended."""
_PROGRAM_S: Final = 1.0
_TILES_S: Final = 0.02
"""Seconds per million voxels: of a program, as they differ; and of reading what it has written."""


@dataclass(frozen=True, slots=True)
class ProgramFiles:
    """What a program is given.

    Attributes
    ----------
    tomogram : Path
        An MRC file (mode 2, float32) of the tomogram with its voxel size, whatever its own format is.
    output : Path
        Where the program must write its result: an MRC file of the same shape.
    voxel_size_A : tuple of float
        Ångström along z, y, x.
    threads : int
        How many threads the program may use.
    """

    tomogram: Path
    output: Path
    voxel_size_A: Spacing
    threads: int


class ProgramEngine(Engine[P], Generic[P]):
    """A segmentation method that is a program with a command line. A subclass implements :meth:`arguments`.

    The program gets the tomogram as an MRC file and writes a mask as another; both lie in the job's temporary folder,
    which is also its working directory. It runs first on a small binned copy, which gives the preview, then on the
    tomogram. A cancel ends it and all processes that it has started; so does the end of the service. If it fails, its
    last line on standard error is the job's message.

    Attributes
    ----------
    program : str
        Name of the program, beside the Python interpreter or on ``PATH``; or its path.
    install : str
        How to install it, for people who lack it.
    previews : bool
        Whether it runs on a binned copy first; False for a program that depends on the voxel size.
    """

    program: ClassVar[str]
    install: ClassVar[str] = ""
    previews: ClassVar[bool] = True
    needs_tile_data: ClassVar[bool] = False
    # The copy of the tomogram, and what the program writes; both are removed before the runner writes the mask.
    scratch_per_voxel: ClassVar[int] = 8

    def __init__(self, parameters: P) -> None:
        super().__init__(parameters)
        self._shape: Shape = (0, 0, 0)
        self._stored: Path | None = None
        self._in_memory: Labels = np.zeros((0, 0, 0), np.uint8)

    @abstractmethod
    def arguments(self, files: ProgramFiles) -> Sequence[str | Path | float]:
        """Return the arguments of the program, without its name; each becomes a string."""

    def progress(self, line: str) -> float | None:
        """Return how much is done, from 0 to 1, by a line that the program has printed; None if it does not say.

        The default takes the last percentage of the line. The program must write its lines at once, not in blocks.
        """
        return percentage(line)

    def decode(self, block: Voxels) -> Found:
        """Return labels, booleans, or scores from 0 to 1, of a part of what the program has written.

        The default takes it as it is. Override it for a program that writes 255 for label 1, or probabilities:
        ``return block > 0.5``.
        """
        return block

    @classmethod
    def availability(cls) -> Availability:
        """Return whether the program is installed."""
        if find_program(cls.program) is not None:
            return Availability()
        hint = cls.install or "Install it, and make sure that it is on PATH where the inference service runs."
        return Availability(ok=False, reason=f"The program '{Path(cls.program).name}' is not installed.", hint=hint)

    def passes(self) -> Sequence[Pass]:
        """Return a preview of the binned copy, if it is wanted, and the result."""
        result = Pass("reading the mask")
        return (Pass("quick preview", factor=0, voxels=_PREVIEW_VOXELS), result) if self.previews else (result,)

    def work(self, shape: Shape, voxel_size_A: Spacing) -> Work:  # noqa: ARG002 (part of the interface)
        """Return that nearly all the time is the program's."""
        millions = math.prod(shape) / 1e6
        return Work(_PROGRAM_S * millions, _TILES_S * millions)

    def prepare(self, context: VolumeContext) -> None:
        """Run the program and read what it has written."""
        self._shape = context.shape
        with ExitStack() as files:
            if context.scratch is None:
                folder = Path(files.enter_context(tempfile.TemporaryDirectory(prefix="cryomamba-")))
            else:
                folder = context.scratch / "program"
                folder.mkdir(exist_ok=True)
            given = ProgramFiles(folder / "tomogram.mrc", folder / "mask.mrc", context.voxel_size_A, context.threads)
            self._copy(context, given)
            self._run(context, given, folder)
            given.tomogram.unlink(missing_ok=True)
            self._read(context, given, None if context.scratch is None else folder / "labels.raw")
            given.output.unlink(missing_ok=True)

    def predict(self, tile: Tile) -> Labels:
        """Return a part of what the program has found."""
        z, y, x = (slice(start, start + count) for start, count in zip(tile.start, tile.shape, strict=True))
        if self._stored is None:
            return self._in_memory[z, y, x].copy()
        return np.array(np.memmap(self._stored, self._dtype, "r", shape=self._shape)[z, y, x])

    @property
    def _dtype(self) -> type[np.uint8 | np.uint16]:
        return np.uint8 if self.output == "scores" or max(self.labels) <= np.iinfo(np.uint8).max else np.uint16

    def _copy(self, context: VolumeContext, files: ProgramFiles) -> None:
        from cryomamba.volumes.write import write_volume

        def slabs() -> Iterator[Voxels]:
            for done, where in _slabs(context.shape):
                context.report_progress(_COPIED * done, "copying the tomogram")
                yield context.read(where)

        write_volume(files.tomogram, slabs(), context.voxel_size_A, shape=context.shape)

    def _run(self, context: VolumeContext, files: ProgramFiles, folder: Path) -> None:
        done, doing = 0.0, f"running {Path(self.program).name}"

        def on_line(line: str) -> None:
            nonlocal done
            done = max(done, self.progress(line) or 0.0)

        def check() -> None:
            context.report_progress(_COPIED + (_RUN - _COPIED) * done, doing)

        program = find_program(self.program) or self.program
        command = [program, *(str(argument) for argument in self.arguments(files))]
        with context.compute_slot:
            run_program(command, folder=folder, threads=context.threads, on_line=on_line, check=check)

    def _read(self, context: VolumeContext, files: ProgramFiles, stored: Path | None) -> None:
        """Check what the program has written and store it: in memory without a path, as of a binned copy."""
        name = Path(self.program).name
        if not files.output.is_file():
            raise _unusable(f"The program '{name}' ended without writing its mask")
        try:
            if stored is None:
                kept: npt.NDArray[Any] = np.empty(self._shape, self._dtype)
                self._decode_into(kept, context, files.output)
                self._in_memory = kept
            else:
                mapped = np.memmap(stored, self._dtype, "w+", shape=self._shape)
                self._decode_into(mapped, context, files.output)
                mapped.flush()
        except VolumeError as error:
            raise _unusable(f"The program '{name}' wrote a mask that cannot be read: {error.message}") from None
        self._stored = stored

    def _decode_into(self, kept: npt.NDArray[Any], context: VolumeContext, output: Path) -> None:
        from cryomamba.volumes.mrc import open_volume

        by = f"The program '{Path(self.program).name}'"
        with open_volume(output) as found:
            if found.shape != self._shape:
                raise _unusable(f"{by} wrote a mask of the shape {found.shape} for a tomogram of {self._shape}")
            for done, where in _slabs(self._shape):
                context.report_progress(_RUN + (1 - _RUN) * done, "reading the mask")
                block = found.read(*where)
                kept[where] = as_result(self.decode(block), self, block.shape, by=by)


def _slabs(shape: Shape) -> Iterator[tuple[float, Slices]]:
    """Yield how much is done, and the next sections."""
    depth, height, width = shape
    planes = max(1, _SLAB_VOXELS // (height * width))
    for z in range(0, depth, planes):
        yield z / depth, (slice(z, min(z + planes, depth)), slice(0, height), slice(0, width))


def _unusable(what: str) -> JobFailedError:
    hint = "Report this to the engine's author."
    return JobFailedError(f"{what.rstrip('.')}.", code=ErrorCode.ENGINE_FAILED, hint=hint)
