"""Statistics of a 2 GiB tomogram in one pass, against numpy over a memory map.

``stream_statistics`` gives extremes, mean, spread, percentiles, histogram and the count of voxels that are not finite.
The floor is ``memmap.sum()``, one number; the usual way is four calls (min, max, mean, std). Each runs in a process of
its own, after one reading that brings the file into the page cache. Resident memory counts pages of the map; anonymous
memory is what the process itself holds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from cryomamba.volumes import check_finite_sample, open_volume, stream_statistics, write_volume

SHAPE = (2048, 512, 512)
ROUNDS = 3


def memmap_sum(path: Path) -> None:
    np.memmap(path, np.float32, "r", offset=1024).sum()


def four_calls(path: Path) -> None:
    voxels = np.memmap(path, np.float32, "r", offset=1024)
    voxels.min(), voxels.max(), voxels.mean(), voxels.std()


def one_pass(path: Path) -> None:
    with open_volume(path) as volume:
        stream_statistics(volume)


def finite_sample(path: Path) -> None:
    with open_volume(path) as volume:
        check_finite_sample(volume)


WAYS: dict[str, Callable[[Path], None]] = {
    "memmap.sum()": memmap_sum,
    "min, max, mean, std of the memmap": four_calls,
    "stream_statistics": one_pass,
    "check_finite_sample": finite_sample,
}


class PeakMemory(threading.Thread):
    """Watches the memory of this process from a thread."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.anonymous = self.resident = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.002):
            fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            self.anonymous = max(self.anonymous, int(fields["RssAnon"].split()[0]))
            self.resident = max(self.resident, int(fields["VmRSS"].split()[0]))


def measure(way: str, path: Path) -> None:
    memory = PeakMemory()
    memory.start()
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        WAYS[way](path)
        times.append(time.perf_counter() - started)
    memory.done.set()
    memory.join()
    print(min(times), memory.anonymous, memory.resident)


def slabs() -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    slab = np.random.default_rng(0).normal(3, 2, (16, *SHAPE[1:])).astype(np.float32)
    for _ in range(SHAPE[0] // 16):
        yield slab


def main() -> None:
    nbytes = 4 * np.prod(SHAPE, dtype=np.int64)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tomogram.mrc"
        write_volume(path, slabs(), 10.0, shape=SHAPE)
        print(f"{'':34}{'seconds':>9}{'GB/s':>7}{'anonymous MB':>14}{'resident MB':>13}")
        for way in WAYS:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.statistics_pass", way, str(path)],
                capture_output=True,
                text=True,
                check=True,
            )
            seconds, anonymous, resident = map(float, done.stdout.split())
            rate = f"{nbytes / seconds / 1e9:7.1f}" if way != "check_finite_sample" else f"{'':7}"
            print(f"{way:34}{seconds:9.3f}{rate}{anonymous / 1024:14.0f}{resident / 1024:13.0f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
