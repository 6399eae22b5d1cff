"""Damaged MRC files: each must end with a documented error or with the right voxels.

``python -m tests.fuzz.mutants --count 10000 --seed 1`` reads that many in this process, whose memory is limited by the
kernel, and prints a table. The last line names a file that crashes or hangs it.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import random
import resource
import signal
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE
from numpy.typing import NDArray

from cryomamba.errors import CryoMambaError, VolumeError
from cryomamba.volumes import inspect, open_volume
from cryomamba.volumes.mrc import Volume
from cryomamba.volumes.statistics import check_finite_sample, stream_statistics

SHAPES: Final = ((3, 4, 5), (1, 7, 2), (6, 1, 3))
KINDS: Final = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2", 101: "u1"}
ROOM: Final = 512 * 1024 * 1024
HANG_S: Final = 10
_EXTREME: Final = (0, 1, -1, 2, 3, 5, 127, 255, 1023, 1024, 65535, 2**24, 2**31 - 1, -(2**31), 0x01000000, 0x4D525044)
_FLOATS: Final = (0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, 3.4e38, float("inf"), float("-inf"), float("nan"), 7.5)


def original(kind: int, order: str, shape: tuple[int, int, int], extended: int, rng: np.random.Generator) -> bytes:
    """Return an intact file."""
    record = np.zeros((), HEADER_DTYPE.newbyteorder(order))
    record["nz"], record["ny"], record["nx"] = record["mz"], record["my"], record["mx"] = shape
    record["mode"], record["nsymbt"] = kind, extended
    record["cella"], record["cellb"] = tuple(10.0 * n for n in shape[::-1]), (90, 90, 90)
    record["mapc"], record["mapr"], record["maps"], record["ispg"] = 1, 2, 3, 1
    record["map"], record["machst"] = b"MAP ", (0x44, 0x44, 0, 0) if order == "<" else (0x11, 0x11, 0, 0)
    columns = (shape[2] + 1) // 2 if kind == 101 else shape[2]
    values = rng.integers(0, 100, (shape[0], shape[1], columns)).astype(f"{order}{KINDS[kind]}")
    return record.tobytes() + bytes(extended) + values.tobytes()


def originals() -> list[bytes]:
    """Return intact files of each kind."""
    rng = np.random.default_rng(0)
    return [
        original(kind, order, shape, extended, rng)
        for kind in KINDS
        for order in "<>"
        for shape in SHAPES
        for extended in (0, 96)
    ]


def _field(raw: bytearray, rng: random.Random) -> None:
    """One to three numbers of the header get extreme values."""
    for _ in range(rng.randint(1, 3)):
        at = 4 * rng.randrange(56)
        order = rng.choice("<>")
        value = rng.choice(_EXTREME) if rng.random() < 0.6 else rng.randint(-(2**31), 2**31 - 1)
        raw[at : at + 4] = (
            struct.pack(f"{order}f", rng.choice(_FLOATS)) if rng.random() < 0.2 else struct.pack(f"{order}i", value)
        )


def _bits(raw: bytearray, rng: random.Random) -> None:
    """Some bits of the header flip."""
    for _ in range(rng.randint(1, 12)):
        raw[rng.randrange(min(1024, len(raw)))] ^= 1 << rng.randrange(8)


def _geometry(raw: bytearray, rng: random.Random) -> None:
    """Another mode, order of axes, kind of file or machine stamp."""
    what = rng.randrange(5)
    if what == 0:
        raw[12:16] = struct.pack("<i", rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 12, 16, 101, 102, -1]))
    elif what == 1:
        raw[64:76] = struct.pack("<3i", *(rng.choice([1, 2, 3, 0, 7]) for _ in range(3)))
    elif what == 2:
        raw[152:160] = b"IMOD" + struct.pack("<i", rng.randrange(64))
    elif what == 3:
        raw[88:96] = struct.pack("<2i", rng.choice([0, 1, 401, 630, -1]), rng.choice(_EXTREME))
    else:
        raw[208:216] = rng.randbytes(8)


def _cut(raw: bytearray, rng: random.Random) -> None:
    """The file is truncated or extended."""
    if rng.random() < 0.7:
        del raw[rng.randrange(len(raw)) :]
    else:
        raw += rng.randbytes(rng.randint(1, 4000))


def _splice(raw: bytearray, rng: random.Random) -> None:
    """Some bytes are deleted, inserted or duplicated."""
    at, length = rng.randrange(len(raw)), rng.randint(1, 300)
    if rng.random() < 0.5:
        del raw[at : at + length]
    else:
        raw[at:at] = rng.choice([rng.randbytes(length), bytes(raw[at : at + length]), bytes(length), b"\xff" * length])


def _noise(raw: bytearray, rng: random.Random) -> None:
    """Random bytes replace the file."""
    raw[:] = rng.randbytes(rng.choice([0, 1, 2, 1023, 1024, 1025, 3000]))


Mutation = Callable[[bytearray, random.Random], None]
PLAIN: Final[Sequence[Mutation]] = (_field, _bits, _geometry, _cut, _splice, _noise)
PACKED: Final = ("gzip", "bzip2", "gzip-damaged", "bzip2-damaged", "gzip-members", "gzip-bomb")


def mutant(number: int, seed: int) -> tuple[str, bytes]:
    """Return the kind of damage, and the file."""
    rng = random.Random(f"{seed}/{number}")
    intact = _ORIGINALS[rng.randrange(len(_ORIGINALS))]
    raw = bytearray(intact)
    mutation = rng.choice(PLAIN)
    mutation(raw, rng)
    name = mutation.__name__.strip("_")
    if rng.random() < 0.6:
        return name, bytes(raw)
    packing = rng.choice(PACKED)
    return f"{packing} {name}", _pack(packing, raw, rng)


def _pack(packing: str, raw: bytearray, rng: random.Random) -> bytes:
    if packing == "gzip-bomb":
        # An intact header of a large volume, and zeros that compress a thousandfold.
        raw[:] = bytearray(_ORIGINALS[0])
        raw[0:12] = struct.pack("<3i", 4096, 4096, rng.choice([1, 2, 600, 2**20]))
        raw += bytes(rng.choice([100, 20_000_000]))
    if packing == "gzip-members":
        half = len(raw) // 2
        return gzip.compress(bytes(raw[:half]), 1) + gzip.compress(bytes(raw[half:]), 1)
    packed = bytearray(gzip.compress(bytes(raw), 1) if packing.startswith("gzip") else bz2.compress(bytes(raw)))
    if packing.endswith("damaged"):
        _splice(packed, rng) if rng.random() < 0.5 else _flip(packed, rng)
    return bytes(packed)


def _flip(packed: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 5)):
        packed[rng.randrange(2, len(packed))] ^= 1 << rng.randrange(8)


def expected(volume: Volume, plain: bytes) -> NDArray[Any]:
    """Return the voxels in z, y, x, by a reader of a few lines."""
    header = volume.header
    count = header.file_shape[0] * header.file_shape[1]
    stored = np.frombuffer(plain, np.uint8, count * header.row_nbytes, header.data_offset).reshape(count, -1)
    if header.nibbles:
        rows = np.stack([stored & 15, stored >> 4], axis=-1).reshape(count, -1)[:, : header.file_shape[2]]
    else:
        rows = stored.view(header.dtype)
    return rows.reshape(header.file_shape).transpose(header.to_zyx)


def judge(path: Path, raw: bytes, scratch: Path) -> str:
    """Inspect and read a file, and return the result: "read" or the code of the error.

    Raises
    ------
    AssertionError
        The voxels are not those of the file.
    """
    outcomes: list[str] = []
    for step in (_inspect, _read):
        try:
            step(path, raw, scratch)
            outcomes.append("read")
        except VolumeError as error:
            assert error.message
            assert error.hint
            outcomes.append(str(error.code))
        except CryoMambaError as error:
            outcomes.append(str(error.code))
    return outcomes[-1]


def _inspect(path: Path, raw: bytes, scratch: Path) -> None:
    del raw, scratch
    meta = inspect(path)
    assert all(n > 0 for n in meta.shape)
    assert all(np.isfinite(n) and n > 0 for n in meta.voxel_size_A)


def _read(path: Path, raw: bytes, scratch: Path) -> None:
    with open_volume(path, scratch=scratch) as volume:
        z, y, x = volume.shape
        if volume.header.data_nbytes > len(raw) * 4 and volume.meta.compression is None:
            raise AssertionError("a volume larger than its file was opened")
        plain = raw if volume.meta.compression is None else _unpacked(raw, volume)
        corner = volume.read(slice(0, min(z, 9)), slice(0, min(y, 9)), slice(0, min(x, 9)))
        right = expected(volume, plain)
        assert np.array_equal(corner, right[:9, :9, :9].astype(np.float32), equal_nan=True)
        total = sum(piece.size for piece in volume.chunks())
        assert total == right.size
        check_finite_sample(volume)
        statistics = stream_statistics(volume)
        assert statistics.minimum == float(right.min())
        assert statistics.maximum == float(right.max())


def _unpacked(raw: bytes, volume: Volume) -> bytes:
    nbytes = volume.header.data_offset + volume.header.data_nbytes
    whole = gzip.decompress(raw) if volume.meta.compression == "gzip" else bz2.decompress(raw)
    return whole[:nbytes]


_ORIGINALS: Final = originals()


def _limit() -> None:
    """Let the kernel limit how much address space this process may add."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> int:
    """Read damaged files; the exit status is 1 after any other result than those two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    _limit()
    outcomes: Counter[tuple[str, str]] = Counter()
    wrong = 0
    # The name is printed before its file is read, so that it is the last line if that ends this process.
    with tempfile.TemporaryDirectory(prefix="cryomamba-mutants-") as folder:
        path, scratch = Path(folder, "mutant.mrc"), Path(folder, "scratch")
        scratch.mkdir()
        for number in range(options.first, options.first + options.count):
            name, raw = mutant(number, options.seed)
            sys.stderr.write(f"\r{number} {name:<30}")
            path.write_bytes(raw)
            # The default action of SIGALRM ends the process, also if it hangs in C code.
            signal.alarm(HANG_S)
            try:
                outcomes[name, judge(path, raw, scratch)] += 1
            except Exception as error:  # noqa: BLE001 (any exception is a finding)
                wrong += 1
                sys.stdout.write(f"mutant {number} of seed {options.seed} ({name}): {type(error).__name__}: {error}\n")
            signal.alarm(0)
            for left in scratch.iterdir():
                left.unlink()
    for (name, outcome), count in sorted(outcomes.items()):
        sys.stdout.write(f"{name:<28} {outcome:<24} {count:>6}\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    sys.stdout.write(f"{sum(outcomes.values())} files, {wrong} findings, peak {peak} MiB resident\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
