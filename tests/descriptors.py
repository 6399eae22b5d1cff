"""A process that may open few more files and connections, or none."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def few_descriptors(free: int = 0) -> Iterator[None]:
    """Lower the limit of this process to so many more descriptors than the lowest free one; as a context manager."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def exhaust(pid: int, free: int = 0) -> None:
    """Lower the limit of another process of ours to so many more descriptors than its lowest free one."""
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}  # noqa: PTH208 (only the names exist)
    lowest = next(number for number in range(len(used) + 1) if number not in used)
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest + free, hard))


def restore(pid: int) -> None:
    """Give another process of ours as many descriptors as it may have."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
