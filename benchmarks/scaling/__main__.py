"""How far one site goes: a model of the services from measured costs, checked against measurements.

``python -m benchmarks.scaling`` measures on this machine (about six minutes), prints the costs, what the model predicts
of larger loads beside what they really did, and the simulated tables of docs/explanations/scaling.md. ``--save FILE``
keeps the measurements, and ``--measured FILE`` uses them without measuring again.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from benchmarks.scaling.check import check
from benchmarks.scaling.costs import Assumptions, Costs
from benchmarks.scaling.fit import fit, median_costs
from benchmarks.scaling.measure import Loads, Measurements, measure
from benchmarks.scaling.model import Facility, FacilityResult, facility
from pydantic import TypeAdapter

LOADS = Loads(
    submits={1: 40, 8: 200, 32: 400},
    small=(*((watchers, 4, rate_hz) for watchers in (4, 60, 120) for rate_hz in (1.0, 5.0)), (4, 4, 20.0)),
    large=((200, 4, 1.0), (200, 4, 10.0), (200, 16, 2.0)),
    seconds=4.0,
)
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
            "broker": result.broker_held,
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
    parser.add_argument("--measured", type=Path, help="Use these measurements.")
    parser.add_argument("--save", type=Path, help="Keep the measurements in this file.")
    parser.add_argument("--no-tables", action="store_true", help="Only measure and check.")
    parser.add_argument("--rounds", type=int, default=4, help="How often each load is measured.")
    options = parser.parse_args()
    kept = TypeAdapter(Measurements)
    if options.measured is not None:
        measured = kept.validate_json(options.measured.read_bytes())
    else:
        measured = measure(LOADS, options.rounds)
    if options.save is not None:
        options.save.write_bytes(kept.dump_json(measured))
    found = fit(measured, LOADS)
    check(measured, found, LOADS)
    costs = median_costs(found)
    print("\nmeasured costs, medians of the rounds")
    for name, value in asdict(costs).items():
        unit, factor = ("", 1.0) if name.endswith(("MB", "MB_s", "bytes", "commits")) else (" ms", 1e3)
        print(f"  {name:<24}{value * factor:>12.3f}{unit}")
    if not options.no_tables:
        tables(costs, Assumptions())


if __name__ == "__main__":
    main()
