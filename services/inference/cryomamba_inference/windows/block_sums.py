"""The sums of windows, block by block in a scratch file, so that memory does not grow with the volume."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np

from cryomamba.system_errors import disk_full_error, is_disk_full
from cryomamba_inference.windows.plan import BlockSpec, WindowPlan
from cryomamba_inference.windows.predictor import Sums


class BlockSums:
    """Adds windows to the blocks that they have nodes of, and hands out blocks that are complete; a context manager.

    A block has a record in the file from its first window to its last; then the record is used for another block. So
    the file holds the blocks along the front of the work only.

    Parameters
    ----------
    folder : Path
        Where the file is; it has no name.
    channels : int
    blocks : iterable of int
        Which blocks are wanted.
    """

    def __init__(self, folder: Path, plan: WindowPlan, channels: int, blocks: Iterable[int]) -> None:
        self._plan, self._channels = plan, channels
        wanted = set(blocks)
        self._blocks_of = [[block for block in each if block in wanted] for each in plan.blocks.of_windows]
        self._missing = dict.fromkeys(wanted, 0)
        for each in self._blocks_of:
            for block in each:
                self._missing[block] += 1
        self._record_nbytes = plan.blocks.largest * channels * 4
        self._records: dict[int, int] = {}
        self._free: list[int] = []
        self._count = 0
        self._file = tempfile.TemporaryFile(dir=folder, prefix="windows-")  # noqa: SIM115 (closed by __exit__)

    @property
    def records(self) -> int:
        """Most blocks that were in the file at the same time."""
        return self._count

    def add(self, window: int, sums: Sums) -> Iterator[tuple[BlockSpec, Sums]]:
        """Add a window, and yield each block that is complete with its sums (channels, z, y, x).

        Raises
        ------
        UnavailableError
            ``insufficient_storage``: the disk is full.
        """
        box = self._plan[window].box
        for index in self._blocks_of[window]:
            spec = self._plan.blocks[index]
            total = self._read(spec)
            _add(total, spec, sums, [low for low, _ in box])
            self._missing[index] -= 1
            if self._missing[index]:
                self._write(index, total)
            else:
                if index in self._records:
                    self._free.append(self._records.pop(index))
                yield spec, total

    def _read(self, spec: BlockSpec) -> Sums:
        total = np.zeros((self._channels, *(last - first for first, last in spec.nodes)), np.int32)
        record = self._records.get(spec.index)
        if record is not None:
            self._file.seek(record * self._record_nbytes)
            self._file.readinto(total.reshape(-1).view(np.uint8).data)
        return total

    def _write(self, index: int, total: Sums) -> None:
        if index not in self._records:
            if not self._free:
                self._free.append(self._count)
                self._count += 1
            self._records[index] = self._free.pop()
        self._file.seek(self._records[index] * self._record_nbytes)
        try:
            self._file.write(total.reshape(-1).view(np.uint8).data)
            self._file.flush()
        except OSError as error:
            if is_disk_full(error):
                raise disk_full_error() from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def needed_windows(plan: WindowPlan, blocks: Iterable[int]) -> list[int]:
    """Return the windows that have nodes of any of these blocks, ascending."""
    wanted = set(blocks)
    return [window for window, each in enumerate(plan.blocks.of_windows) if not wanted.isdisjoint(each)]


def _add(total: Sums, spec: BlockSpec, sums: Sums, first: list[int]) -> None:
    """Add the part of a window, whose first node is `first`, that is in a block."""
    into, part = [slice(None)], [slice(None)]
    for (low, high), start, size in zip(spec.nodes, first, sums.shape[1:], strict=True):
        begin, end = max(low, start), min(high, start + size)
        into.append(slice(begin - low, end - low))
        part.append(slice(begin - start, end - start))
    total[tuple(into)] += sums[tuple(part)]
