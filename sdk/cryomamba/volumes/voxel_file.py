"""Positioned reading and writing of voxels in a file.

A memory map would be simpler, but its pages count as resident memory of the process, and one of a file that somebody
truncates ends the process (SIGBUS). Reads into a small buffer are as fast and need no more memory than that.
"""

from __future__ import annotations

import io
import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.system_errors import system_errors_translated
from cryomamba.volumes.header_fields import HeaderFields

BUFFER_NBYTES = 1 << 20
# Up to this length, reading across the gap between two rows of a block is cheaper than two system calls.
_BRIDGED_NBYTES = 8 << 10

Span = tuple[int, int]
Block = tuple[Span, Span, Span]
Array = NDArray[np.generic]


class VoxelFile:
    """The voxels of an open file, addressed as (sections, rows, columns).

    Parameters
    ----------
    file : io.FileIO
        Open and unbuffered; closed by the caller.
    header : HeaderFields
        Layout of the file.

    Notes
    -----
    Methods may be called from several threads: reads have a position of their own (or, on systems without such reads,
    happen under a lock), and a block is written under a lock.
    """

    def __init__(self, file: io.FileIO, header: HeaderFields) -> None:
        self._file = file
        self._layout = header
        self._dtype = np.dtype(header.dtype)
        self._lock = threading.RLock()

    def read_into(self, target: Array, sections: Span, rows: Span, columns: Span) -> None:
        """Read a block into `target`, an array of its shape in file order, of any numeric dtype, strided or not."""
        width = self._layout.file_shape[2]
        first, last = (0, width) if self._bridges(columns) else columns
        inner = slice(columns[0] - first, columns[1] - first)
        direct = inner == slice(0, last - first) and self._takes_bytes(target)
        buffer = np.empty(0, np.uint8) if direct else self._buffer(rows, (first, last))
        for section in range(*sections):
            plane = target[section - sections[0]]
            for group in self._row_groups(rows, (first, last)):
                lines = plane[group[0] - rows[0] : group[1] - rows[0]]
                if direct:
                    self._transfer_rows(lines.view(np.uint8).reshape(-1), section, group, (first, last))
                else:
                    lines[...] = self._decoded(buffer, section, group, (first, last))[:, inner]

    def write_from(self, source: Array, sections: Span, rows: Span, columns: Span) -> None:
        """Write `source`, a block in file order of the file's own dtype (not for voxels of 4 bits)."""
        width = self._layout.file_shape[2]
        first, last = (0, width) if self._bridges(columns) else columns
        inner = slice(columns[0] - first, columns[1] - first)
        buffer = self._buffer(rows, (first, last))
        for section in range(*sections):
            plane = source[section - sections[0]]
            for group in self._row_groups(rows, (first, last)):
                # Rows are shared with neighbouring blocks, so reading and writing them back is one transaction.
                with self._lock:
                    if inner != slice(0, last - first):
                        self._transfer_rows(buffer, section, group, (first, last))
                    view = self._view(buffer, group, (first, last))
                    view[:, inner] = plane[group[0] - rows[0] : group[1] - rows[0]]
                    self._put(view.reshape(-1).view(np.uint8), self._offset(section, group[0], first))

    def chunks(self, nbytes: int = BUFFER_NBYTES, every: int = 1) -> Iterator[Array]:
        """Yield all voxels (or one of `every` chunks) as flat chunks, in file order and native byte order.

        All chunks share one buffer: each is valid until the next is requested.
        """
        header = self._layout
        unit = header.row_nbytes if header.nibbles else self._dtype.itemsize
        size = max(nbytes // unit, 1) * unit
        buffer = np.empty(min(size, header.data_nbytes), np.uint8)
        for start in range(0, header.data_nbytes, size * every):
            chunk = buffer[: min(size, header.data_nbytes - start)]
            self._get(chunk, header.data_offset + start)
            if header.nibbles:
                yield unpack_nibbles(chunk.reshape(-1, unit), header.file_shape[2]).reshape(-1)
                continue
            values = chunk.view(self._dtype)
            if not self._dtype.isnative:
                values = values.byteswap(inplace=True).view(self._dtype.newbyteorder("="))
            yield values

    def _bridges(self, columns: Span) -> bool:
        gap = self._layout.file_shape[2] - (columns[1] - columns[0])
        return self._layout.nibbles or gap * self._dtype.itemsize <= _BRIDGED_NBYTES

    def _takes_bytes(self, target: Array) -> bool:
        same = not self._layout.nibbles and self._dtype.isnative and target.dtype == self._dtype
        return same and all(plane.flags.c_contiguous for plane in target[:1])

    def _run_nbytes(self, columns: Span) -> int:
        return self._layout.row_nbytes if self._layout.nibbles else (columns[1] - columns[0]) * self._dtype.itemsize

    def _rows_at_once(self, columns: Span) -> int:
        if columns[1] - columns[0] < self._layout.file_shape[2]:
            return 1
        return max(BUFFER_NBYTES // self._run_nbytes(columns), 1)

    def _row_groups(self, rows: Span, columns: Span) -> Iterator[Span]:
        step = self._rows_at_once(columns)
        for row in range(rows[0], rows[1], step):
            yield row, min(row + step, rows[1])

    def _buffer(self, rows: Span, columns: Span) -> NDArray[np.uint8]:
        count = min(self._rows_at_once(columns), rows[1] - rows[0])
        return np.empty(max(count, 0) * self._run_nbytes(columns), np.uint8)

    def _view(self, buffer: NDArray[np.uint8], group: Span, columns: Span) -> Array:
        count, length = group[1] - group[0], self._run_nbytes(columns)
        raw = buffer[: count * length]
        if self._layout.nibbles:
            return unpack_nibbles(raw.reshape(count, length), self._layout.file_shape[2])
        return raw.view(self._dtype).reshape(count, -1)

    def _decoded(self, buffer: NDArray[np.uint8], section: int, group: Span, columns: Span) -> Array:
        self._transfer_rows(buffer, section, group, columns)
        return self._view(buffer, group, columns)

    def _transfer_rows(self, buffer: NDArray[np.uint8], section: int, group: Span, columns: Span) -> None:
        nbytes = (group[1] - group[0]) * self._run_nbytes(columns)
        self._get(buffer[:nbytes], self._offset(section, group[0], columns[0]))

    def _offset(self, section: int, row: int, column: int) -> int:
        header = self._layout
        line = section * header.file_shape[1] + row
        return header.data_offset + line * header.row_nbytes + column * self._dtype.itemsize

    def read_rows(self, sections: Sequence[int], rows: Sequence[int], columns: Span) -> Array:
        """Return a part of single rows, far from each other in the file, as (sections, rows, columns).

        It reads nothing in between, so it is the way to a few voxels of each of very many rows.
        """
        out = np.empty((len(sections), len(rows), columns[1] - columns[0]), self._dtype.newbyteorder("="))
        if self._layout.nibbles:
            for (n, section), (m, row) in itertools.product(enumerate(sections), enumerate(rows)):
                self.read_into(out[n : n + 1, m : m + 1], (section, section + 1), (row, row + 1), columns)
            return out
        nbytes = self._run_nbytes(columns)
        starts = [row * self._layout.row_nbytes for row in rows]
        for n, section in enumerate(sections):
            first = self._offset(section, 0, columns[0])
            content = b"".join(self._read_parts(nbytes, [first + start for start in starts]))
            if len(content) != nbytes * len(rows):
                raise _truncated()
            out[n] = np.frombuffer(content, self._dtype).reshape(len(rows), -1)
        return out

    def _read_parts(self, nbytes: int, offsets: Sequence[int]) -> Iterable[bytes]:
        if hasattr(os, "pread"):
            # A loop in C: there are a hundred thousand of them in a section.
            return map(os.pread, itertools.repeat(self._file.fileno()), itertools.repeat(nbytes), offsets)
        return [self._read_at(nbytes, offset) for offset in offsets]

    def _read_at(self, nbytes: int, offset: int) -> bytes:
        with self._lock:
            self._file.seek(offset)
            return self._file.read(nbytes)

    def _get(self, buffer: NDArray[np.uint8], offset: int) -> None:
        view, done = buffer.data, 0
        while done < len(view):
            count = self._read_into(view[done:], offset + done)
            if not count:
                raise _truncated()
            done += count

    def _read_into(self, view: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            # Without the lock: several threads read one file at the same time.
            count: int = os.preadv(self._file.fileno(), [view], offset)
            return count
        with self._lock:
            self._file.seek(offset)
            return self._file.readinto(view) or 0

    def _put(self, data: NDArray[np.uint8], offset: int) -> None:
        view, done = data.data, 0
        with self._lock, system_errors_translated():
            self._file.seek(offset)
            while done < len(view):
                done += self._file.write(view[done:]) or 0


def _truncated() -> VolumeError:
    return VolumeError(
        "The file was truncated while it was read.",
        code=ErrorCode.VOLUME_CHANGED,
        hint="Once the file is complete and no longer changes, try again.",
    )


def unpack_nibbles(rows: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Return voxels of 4 bits, stored two per byte with the low half first, as uint8 (rows, columns)."""
    values = np.empty((rows.shape[0], rows.shape[1], 2), np.uint8)
    np.bitwise_and(rows, 15, out=values[:, :, 0])
    np.right_shift(rows, 4, out=values[:, :, 1])
    return values.reshape(rows.shape[0], -1)[:, :columns]


def spans(index: slice, size: int) -> Span:
    """Return start and stop of a slice of step 1 within an axis; other steps raise ``IndexError``."""
    start, stop, step = index.indices(size)
    if step != 1:
        raise IndexError("only slices of step 1 can be read from a volume")
    return start, max(start, stop)
