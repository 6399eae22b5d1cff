"""The services as queues, in simpy: each process is a server that does one thing at a time, the disk another one.

A gateway sends a frame to its watchers one after the other, and takes the newest frame of a job next: older ones that
wait are dropped, as in the gateway. The broker computes on one core, whatever its threads, because they share an
interpreter; a commit occupies the disk and not the core.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy
from benchmarks.scaling.costs import Assumptions, Costs

Steps = Generator[Any, Any, None]
SAMPLED = 200
_REPORT_S = 0.5


class Server:
    """Does one piece of work after the other, on a core if cores are limited; counts how long it was busy."""

    def __init__(self, env: simpy.Environment, capacity: int = 1, cores: simpy.Resource | None = None) -> None:
        self._env, self._cores = env, cores
        self._queue = simpy.Resource(env, capacity)
        self.capacity, self.busy_s = capacity, 0.0

    def work(self, seconds: float) -> Steps:
        """Wait for the turn, and work."""
        with self._queue.request() as turn:
            yield turn
            if self._cores is None:
                yield self._env.timeout(seconds)
            else:
                with self._cores.request() as core:
                    yield core
                    yield self._env.timeout(seconds)
            self.busy_s += seconds

    def load(self, seconds: float) -> float:
        """Return the share of its capacity that was used."""
        return self.busy_s / seconds / self.capacity


@dataclass(slots=True)
class SubmitResult:
    """Submits per second, and seconds of each answer."""

    rate: float
    answers: list[float]


def submits(costs: Costs, clients: int, count: int, cores: int) -> SubmitResult:
    """Simulate clients on the same machine, each of which submits again when it is answered."""
    env = simpy.Environment()
    machine = simpy.Resource(env, cores)
    gateway, broker = Server(env, cores=machine), Server(env, cores=machine)
    disk, client = Server(env), Server(env, cores=machine)
    left, answers = [count], list[float]()

    def one_client() -> Steps:
        while left[0] > 0:
            left[0] -= 1
            began = env.now
            yield from client.work(costs.submit_client)
            yield from gateway.work(costs.submit_gateway)
            yield from broker.work(costs.submit_broker)
            yield from disk.work(costs.submit_commits * costs.commit)
            yield env.timeout(costs.submit_wait)
            answers.append(env.now - began)

    for _ in range(clients):
        env.process(one_client())
    env.run()
    return SubmitResult(count / env.now, answers)


@dataclass(frozen=True, slots=True)
class Facility:
    """What is offered, and by how many processes it is served.

    Attributes
    ----------
    watchers : int
        Spread evenly over the running jobs.
    jobs : int
        That run at once.
    rate_hz : float
        Of frames of each job.
    submits_s : float
        Jobs submitted in a second.
    gateways, shards : int
        Gateways, and brokers with a store each; which of them a job belongs to follows from its id, so a gateway has
        the watchers of its jobs, or a share of one job's if there are fewer jobs than gateways.
    cores : int, optional
        Of the one machine on which all of it runs; each process has a core of its own if not given.
    receivers : bool
        Whether the watchers are one process, which takes time for each frame as in the measurement.
    commit_s, commits_at_once : float, int
        Of the store.
    """

    watchers: int
    jobs: int
    rate_hz: float = 1.0
    submits_s: float = 0.0
    gateways: int = 1
    shards: int = 1
    cores: int | None = None
    receivers: bool = False
    commit_s: float = 0.0
    commits_at_once: int = 1


@dataclass(slots=True)
class FacilityResult:
    """Shares of capacity that were used, the ages of frames in seconds, and the share of frames that arrived."""

    gateway: float
    broker: float
    store: float
    ages: list[float]
    delivered: float


@dataclass(slots=True)
class _Gateway:
    server: Server
    waiting: dict[int, float] = field(default_factory=dict)
    wake: simpy.Event | None = None


def facility(
    costs: Costs, offered: Facility, seconds: float, assumed: Assumptions | None = None, seed: int = 1
) -> FacilityResult:
    """Simulate running jobs, their frames on the way to watchers, and new jobs that arrive at random."""
    assumed = assumed or Assumptions()
    env = simpy.Environment()
    machine = None if offered.cores is None else simpy.Resource(env, offered.cores)
    brokers = [Server(env, cores=machine) for _ in range(offered.shards)]
    stores = [Server(env, offered.commits_at_once) for _ in range(offered.shards)]
    gateways = [_Gateway(Server(env, cores=machine)) for _ in range(offered.gateways)]
    receiver = Server(env, cores=machine) if offered.receivers else None
    random = np.random.default_rng(seed)
    ages: list[float] = []
    sent = [0, 0]
    fans = _spread(offered)

    def job(number: int) -> Steps:
        broker, store = brokers[number % offered.shards], stores[number % offered.shards]
        yield env.timeout(number / offered.jobs / offered.rate_hz)
        due_renewal = env.now + random.random() * assumed.renewal_s
        while True:
            made = env.now
            yield from broker.work(costs.frame_broker)
            for gateway, fan in zip(gateways, fans[number], strict=True):
                if fan:
                    sent[1] += fan
                    gateway.waiting[number] = made
                    if gateway.wake is not None and not gateway.wake.triggered:
                        gateway.wake.succeed()
            if env.now >= due_renewal and offered.commit_s:
                due_renewal += assumed.renewal_s
                env.process(store.work(offered.commit_s))
            yield env.timeout(max(0.0, made + 1 / offered.rate_hz - env.now))

    def states(number: int) -> Steps:
        # Progress is reported twice a second.
        while True:
            yield env.timeout(_REPORT_S)
            yield from brokers[number % offered.shards].work(_REPORT_S * costs.job_second_broker)
            for gateway, fan in zip(gateways, fans[number], strict=True):
                if fan:
                    each = costs.job_second_gateway + fan * costs.watcher_second_gateway
                    yield from gateway.server.work(_REPORT_S * each)

    def send(index: int) -> Steps:
        gateway = gateways[index]
        while True:
            if not gateway.waiting:
                gateway.wake = env.event()
                yield gateway.wake
            number, made = next(iter(gateway.waiting.items()))
            del gateway.waiting[number]
            fan = fans[number][index]
            began = env.now
            yield from gateway.server.work(costs.frame_gateway + fan * costs.send_gateway)
            sent[0] += fan
            if receiver is None:
                every = np.linspace(began - made, env.now - made, min(fan, SAMPLED)) + costs.frame_wait
                ages.extend(every.tolist())
            else:
                env.process(receive(began, made, fan))

    def receive(began: float, made: float, fan: int) -> Steps:
        assert receiver is not None
        # The first frames are read while the others are sent; what is left is read at the end.
        yield from receiver.work(fan * costs.receive_client)
        first = began - made + costs.frame_gateway + costs.send_gateway + costs.receive_client
        every = np.linspace(min(first, env.now - made), env.now - made, min(fan, SAMPLED)) + costs.frame_wait
        ages.extend(every.tolist())

    def arrivals() -> Steps:
        number = 0
        while True:
            yield env.timeout(random.exponential(1 / offered.submits_s))
            env.process(submit(number))
            number += 1

    def submit(number: int) -> Steps:
        yield from gateways[number % offered.gateways].server.work(costs.submit_gateway)
        yield from brokers[number % offered.shards].work(costs.submit_broker)
        for _ in range(assumed.commits_per_job):
            yield from stores[number % offered.shards].work(offered.commit_s)

    for number in range(offered.jobs):
        env.process(job(number))
        env.process(states(number))
    for index in range(offered.gateways):
        env.process(send(index))
    if offered.submits_s:
        env.process(arrivals())
    env.run(until=seconds)
    return FacilityResult(
        max(gateway.server.load(seconds) for gateway in gateways),
        max(broker.load(seconds) for broker in brokers),
        max(store.load(seconds) for store in stores),
        ages,
        sent[0] / sent[1] if sent[1] else 1.0,
    )


def _spread(offered: Facility) -> Sequence[Sequence[int]]:
    """Return, for each job, how many of its watchers are connected to each gateway."""
    each, more = divmod(offered.watchers, offered.jobs)
    table = [[0] * offered.gateways for _ in range(offered.jobs)]
    for job, row in enumerate(table):
        places = [job % offered.gateways]
        if offered.gateways > offered.jobs:
            places = list(range(job, offered.gateways, offered.jobs))
        share, rest = divmod(each + (job < more), len(places))
        for number, place in enumerate(places):
            row[place] = share + (number < rest)
    return table
