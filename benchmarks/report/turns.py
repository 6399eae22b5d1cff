"""Times of several ways to do the same, which take turns, so that what the machine does meanwhile slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


def seconds_in_turns(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round of each way, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if number:
                times[name].append(time.perf_counter() - started)
    return times


def ratio(times: Mapping[str, list[float]], name: str, yardstick: str) -> float:
    """Return the ratio of the shortest times, which other work on the machine has disturbed least."""
    return min(times[name]) / min(times[yardstick])
