"""How far one site goes: a model of the services from measured costs, checked against measurements.

``python -m benchmarks.scaling`` measures on this machine (about two minutes), prints the costs, what the model predicts
of larger loads beside what they really did, and the simulated tables of docs/explanations/scaling.md. ``--save FILE``
keeps the costs, and ``--costs FILE`` uses them without measuring.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from benchmarks.scaling.costs import Assumptions, Costs
from benchmarks.scaling.measure import Measured, measure
from benchmarks.scaling.model import Facility, FacilityResult, facility, submits

CALLS, BURST, CLIENTS = 60, 300, 16
FEW, MANY, JOBS, SOME_HZ, FAST_HZ, SECONDS = 60, 200, 4, 5.0, 10.0, 8.0
WATCHERS = JOBS_A_DAY = (10, 1_000, 100_000)
DAY_S = 86_400.0
_MOST = 1000


@dataclass(frozen=True, slots=True)
class Design:
    """How many processes there are, and what keeps jobs and artifacts."""

    gateways: int = 1
    shards: int = 1
    postgres: bool = False
    objects: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """Shares of the capacity of each part, by its name."""

    parts: dict[str, float]
    age_s: float
    delivered: float

    @property
    def first(self) -> str:
        return max(self.parts, key=lambda name: self.parts[name])


def running(jobs_a_day: int, assumed: Assumptions) -> int:
    """Return how many jobs run at once on average, at least one."""
    return max(1, round(jobs_a_day / DAY_S * assumed.job_s))


def loads(costs: Costs, watchers: int, jobs_a_day: int, design: Design, assumed: Assumptions) -> Load:
    """Simulate a facility."""
    jobs = running(jobs_a_day, assumed)
    result: FacilityResult = facility(
        costs,
        Facility(
            watchers=watchers,
            jobs=jobs,
            submits_s=jobs_a_day / DAY_S,
            gateways=design.gateways,
            shards=design.shards,
            commit_s=assumed.postgres_commit if design.postgres else costs.commit,
            commits_at_once=assumed.postgres_parallel if design.postgres else 1,
        ),
        seconds=60.0 if jobs * design.gateways < 1000 else 10.0,
        assumed=assumed,
    )
    each = watchers / design.gateways
    write_MB_s = jobs_a_day * assumed.job_MB / DAY_S
    return Load(
        {
            "gateway": result.gateway,
            "broker": result.broker,
            "store": result.store,
            "network": each * costs.frame_bytes * 8 / 1e6 / assumed.network_Mbit_s,
            "descriptors": each / assumed.descriptors,
            "disk": write_MB_s / (assumed.object_MB_s if design.objects else costs.disk_MB_s * design.shards),
        },
        float(np.percentile(result.ages, 99)) if result.ages else math.nan,
        result.delivered,
    )


def enlarged(costs: Costs, watchers: int, jobs_a_day: int, assumed: Assumptions) -> Design:
    """Return the smallest design in which no part is used beyond the limit, enlarging what is used most."""
    design = Design()
    for _ in range(20):
        load = loads(costs, watchers, jobs_a_day, design, assumed)
        used = load.parts[load.first]
        if used <= assumed.busy:
            break
        if load.first in {"gateway", "network", "descriptors"}:
            # A gateway that is overloaded is busy all the time, and how much is left over is not seen.
            lacking = max(used / assumed.busy, 1.0 / max(load.delivered, 0.05))
            design = replace(design, gateways=min(_MOST, math.ceil(design.gateways * max(lacking, 1.1))))
        elif load.first == "disk":
            design = replace(design, objects=True)
        elif load.first == "store" and not design.postgres:
            design = replace(design, postgres=True)
        else:
            design = replace(
                design, shards=design.shards + max(1, math.ceil(design.shards * (used / assumed.busy - 1)))
            )
    return design


def check(measured: Measured) -> None:
    """Print what the model predicts of the larger loads beside what they did."""
    costs, cores = measured.costs, os.cpu_count() or 1
    print(f"{'model against measurement':<58}{'model':>9}{'measured':>10}{'differs':>9}")
    burst = measured.submits[CLIENTS]
    predicted = submits(costs, CLIENTS, burst.count, cores)
    _row(f"{CLIENTS} clients: submits a second", predicted.rate, burst.rate)
    median = float(np.median(burst.answers))
    _row(f"{CLIENTS} clients: answer p50, ms", float(np.median(predicted.answers)) * 1e3, median * 1e3)
    for rate_hz in (1.0, FAST_HZ):
        real = measured.watching[MANY, rate_hz]
        offered = Facility(MANY, JOBS, rate_hz=rate_hz, cores=cores, receivers=True)
        result = facility(costs, offered, SECONDS)
        what = f"{MANY} watchers, {JOBS} jobs, {rate_hz:g} Hz"
        _row(f"{what}: gateway, % of a core", result.gateway * 100, real.gateway / real.seconds * 100)
        _row(f"{what}: broker, % of a core", result.broker * 100, real.broker / real.seconds * 100)
        _row(f"{what}: frames received, %", result.delivered * 100, 100 * real.frames / max(1, real.wanted))
        if result.ages and real.ages:
            age = float(np.median(result.ages)) * 1e3
            _row(f"{what}: age of a frame p50, ms", age, float(np.median(real.ages)) * 1e3)
    real = measured.watching[MANY, 1.0]
    _row(
        f"{MANY} watchers: memory of the gateway, MB",
        costs.gateway_MB + (MANY - JOBS) * costs.watcher_MB,
        real.gateway_MB,
    )


def _row(what: str, model: float, measured: float) -> None:
    differs = (model - measured) / measured if measured else math.nan
    print(
        f"{what:<58}{model:>9.1f}{measured:>10.1f}{differs:>+9.0%}{'' if abs(differs) <= 0.2 else '  more than 20 %'}"
    )


def tables(costs: Costs, assumed: Assumptions) -> None:
    """Print what one site does at each load, and what a larger one needs."""
    heads = ("gateway", "broker", "store", "network", "descriptors", "disk")
    print(f"\n{'one site':>9}{'jobs':>9}" + "".join(f"{head:>12}" for head in heads) + f"{'p99 s':>8}  breaks first")
    print(f"{'watchers':>9}{'a day':>9}" + "".join(f"{'% used':>12}" for _ in heads))
    for watchers in WATCHERS:
        for jobs_a_day in JOBS_A_DAY:
            load = loads(costs, watchers, jobs_a_day, Design(), assumed)
            row = "".join(f"{load.parts[head] * 100:>12.1f}" for head in heads)
            first = load.first if load.parts[load.first] > assumed.busy else "-"
            print(f"{watchers:>9,}{jobs_a_day:>9,}{row}{_age(load):>8}  {first}")
    print(
        f"\n{'enlarged':>9}{'jobs':>9}{'gateways':>10}{'brokers':>9}{'store':>11}{'artifacts':>11}{'workers':>9}"
        f"{'cores':>7}{'GB':>6}{'TB/day':>8}{'p99 s':>8}  most used"
    )
    for watchers in WATCHERS:
        for jobs_a_day in JOBS_A_DAY:
            design = enlarged(costs, watchers, jobs_a_day, assumed)
            load = loads(costs, watchers, jobs_a_day, design, assumed)
            memory = design.gateways * costs.gateway_MB + watchers * costs.watcher_MB + design.shards * costs.broker_MB
            print(
                f"{watchers:>9,}{jobs_a_day:>9,}{design.gateways:>10}{design.shards:>9}"
                f"{'PostgreSQL' if design.postgres else 'SQLite':>11}{'objects' if design.objects else 'disk':>11}"
                f"{running(jobs_a_day, assumed):>9}{design.gateways + design.shards:>7}{memory / 1e3:>6.1f}"
                f"{jobs_a_day * assumed.job_MB / 1e6:>8.2f}{_age(load):>8}"
                f"  {load.first} {load.parts[load.first]:.0%}"
            )


def _age(load: Load) -> str:
    return "-" if math.isnan(load.age_s) else f"{load.age_s:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--costs", type=Path, help="Use these costs, without measuring.")
    parser.add_argument("--save", type=Path, help="Keep the measured costs in this file.")
    parser.add_argument("--no-tables", action="store_true", help="Only measure and check.")
    options = parser.parse_args()
    if options.costs is not None:
        costs = Costs(**json.loads(options.costs.read_text("utf-8")))
    else:
        measured = measure(
            calls=CALLS,
            burst=BURST,
            clients=CLIENTS,
            few=FEW,
            many=MANY,
            jobs=JOBS,
            some_hz=SOME_HZ,
            fast_hz=FAST_HZ,
            seconds=SECONDS,
        )
        costs = measured.costs
        if options.save is not None:
            options.save.write_text(json.dumps(asdict(costs), indent=1) + "\n", "utf-8")
    print("measured costs")
    for name, value in asdict(costs).items():
        unit, factor = ("", 1.0) if name.endswith(("MB", "MB_s", "bytes", "commits")) else (" ms", 1e3)
        print(f"  {name:<20}{value * factor:>12.3f}{unit}")
    if options.costs is None:
        print()
        check(measured)
    if not options.no_tables:
        tables(costs, Assumptions())


if __name__ == "__main__":
    main()
