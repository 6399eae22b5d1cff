"""The costs of each unit of work, from what small loads used."""

from __future__ import annotations

from dataclasses import astuple
from typing import cast

import numpy as np
from benchmarks.scaling.costs import Costs
from benchmarks.scaling.load import FRAME_BYTES, Submitted
from benchmarks.scaling.measure import Key, Loads, Measurements, Round
from numpy.typing import NDArray
from scipy.optimize import nnls


def fit(measured: Measurements, loads: Loads) -> list[Costs]:
    """Return the costs that explain the small loads, of each round."""
    memory = {key[0]: measured.memory_MB[key[0]] for key in loads.small}
    each_MB, gateway_MB = np.polyfit(list(memory), list(memory.values()), 1).tolist()
    return [_fit_round(one, loads.small, max(0.0, each_MB), gateway_MB) for one in measured.rounds]


def _fit_round(one: Round, small: tuple[Key, ...], watcher_MB: float, gateway_MB: float) -> Costs:
    """Return the costs that explain the small loads of a round.

    Beyond its idle use, a gateway needs jobs · a + jobs · rate · b + watchers · c + watchers · rate · d a second,
    and the broker jobs · e + jobs · rate · f. The costs are those of the least relative squares that are not negative.
    The age of a frame grows with the watchers of its job; half of them have it at the median.
    """
    watched = {key: one.watching[key] for key in small}
    terms = np.array([(jobs, jobs * rate, watchers, watchers * rate) for watchers, jobs, rate in watched])
    idle_gateway, idle_broker = one.idle
    gateway = _fitted(terms, [load.gateway - idle_gateway for load in watched.values()])
    broker = _fitted(terms[:, :2], [load.broker - idle_broker for load in watched.values()])
    worker = [load.worker / jobs / rate for (_, jobs, rate), load in watched.items()]
    fans = np.array([(1.0, watchers / jobs / 2) for watchers, jobs, _ in watched])
    delay = _fitted(fans, [load.age_p50 for load in watched.values()])
    most = max(watched)
    alone, *_, some = [one.submits[clients] for clients in sorted(one.submits)[:-1]]
    return Costs(
        idle_gateway=idle_gateway,
        idle_broker=idle_broker,
        # A submit takes less where several wait.
        submit_gateway=some.gateway,
        submit_broker=some.broker,
        submit_client=some.client,
        submit_wait=_wait(alone, one.commit),
        submit_commits=alone.commits,
        commit=one.commit,
        job_second_broker=broker[0],
        job_second_gateway=gateway[0],
        frame_worker=min(worker),
        frame_broker=broker[1],
        frame_gateway=gateway[1],
        watcher_second_gateway=gateway[2],
        send_gateway=gateway[3],
        send_delay=delay[1],
        receive_client=watched[most].receive,
        frame_wait=max(0.0, delay[0] - broker[1] - gateway[1]),
        connect_gateway=watched[most].connecting,
        gateway_MB=gateway_MB,
        watcher_MB=watcher_MB,
        broker_MB=one.broker_MB,
        disk_MB_s=one.disk_MB_s,
        frame_bytes=FRAME_BYTES,
    )


def median_costs(found: list[Costs]) -> Costs:
    """Return the median of each cost."""
    return Costs(*np.median([astuple(costs) for costs in found], axis=0).tolist())


def _wait(alone: Submitted, commit: float) -> float:
    """Return the time of a submit alone in which nobody computes and the disk does not commit."""
    cpu = alone.gateway + alone.broker + alone.client
    return max(0.0, alone.answer_p50 - cpu - alone.commits * commit)


def _fitted(terms: NDArray[np.float64], used: list[float]) -> list[float]:
    """Return the costs of the terms, each row weighted by what was used."""
    weights = 1 / np.maximum(used, 1e-6)
    return cast("list[float]", nnls(terms * weights[:, None], np.ones(len(used)))[0].tolist())
