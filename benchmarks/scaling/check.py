"""What the model predicts of the large loads of each round, beside what they did in that round."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
from benchmarks.scaling.costs import Costs
from benchmarks.scaling.measure import Key, Loads, Measurements, Round
from benchmarks.scaling.model import Facility, facility, submits

WITHIN = 0.2
Pairs = Iterator[tuple[str, float, float]]


def check(measured: Measurements, costs: Sequence[Costs], loads: Loads) -> None:
    """Print the medians over the rounds, the median difference, and the least and the greatest one.

    The model of each round has the costs of its small loads.
    """
    print(
        f"{'model against measurement, medians of ' + str(len(costs)) + ' rounds':<56}{'model':>9}{'measured':>10}",
        end="",
    )
    print(f"{'differs':>9}{'rounds':>16}")
    found: dict[str, list[tuple[float, float]]] = {}
    for one, of_round in zip(measured.rounds, costs, strict=True):
        for what, *pair in _pairs(one, of_round, loads):
            found.setdefault(what, []).append((pair[0], pair[1]))
    most = max(measured.memory_MB)
    grown = costs[0].gateway_MB + most * costs[0].watcher_MB
    found[f"{most} watchers: memory of the gateway, MB"] = [(grown, measured.memory_MB[most])]
    for what, pairs in found.items():
        model, real = np.array(pairs).T
        differs = model / real - 1
        middle = float(np.median(differs))
        missed = "" if abs(middle) <= WITHIN else "  missed"
        spread = f"{differs.min():+.0%} to {differs.max():+.0%}"
        print(f"{what:<56}{np.median(model):>9.1f}{np.median(real):>10.1f}{middle:>+9.0%}{spread:>16}{missed}")


def _pairs(one: Round, costs: Costs, loads: Loads) -> Pairs:
    yield from _submit_pairs(one, costs, max(loads.submits), loads)
    for load in loads.large:
        yield from _watch_pairs(one, costs, load, loads.seconds)


def _submit_pairs(one: Round, costs: Costs, clients: int, loads: Loads) -> Pairs:
    burst = one.submits[clients]
    predicted = submits(costs, clients, loads.submits[clients], os.cpu_count() or 1)
    name = f"{clients} clients"
    yield f"{name}: gateway, CPU ms a submit", costs.submit_gateway * 1e3, burst.gateway * 1e3
    yield f"{name}: broker, CPU ms a submit", costs.submit_broker * 1e3, burst.broker * 1e3
    yield f"{name}: submits a second", predicted.rate, burst.rate
    yield f"{name}: answer p50, ms", float(np.median(predicted.answers)) * 1e3, burst.answer_p50 * 1e3


def _watch_pairs(one: Round, costs: Costs, load: Key, seconds: float) -> Pairs:
    watchers, jobs, rate_hz = load
    real = one.watching[load]
    offered = Facility(watchers, jobs, rate_hz=rate_hz, cores=os.cpu_count() or 1, measured=True)
    result = facility(costs, offered, seconds)
    name = f"{watchers} watchers, {jobs} jobs, {rate_hz:g} Hz"
    yield f"{name}: gateway, % of a core", result.gateway * 100, real.gateway * 100
    yield f"{name}: broker, % of a core", result.broker * 100, real.broker * 100
    yield f"{name}: frames received, %", result.delivered * 100, real.arrived * 100
    yield f"{name}: age of a frame p50, ms", float(np.median(result.ages)) * 1e3, real.age_p50 * 1e3
