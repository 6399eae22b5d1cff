"""The services as queues, in simpy: each process is a server that does one thing at a time, the disk another one.

A gateway sends a frame to its watchers one after the other, with their acknowledgements, and takes the newest
frame of a job next: older ones that wait are dropped, as in the gateway. The broker computes on one core,
whatever its threads, because they share an interpreter. While it commits, the core is free, but it begins nothing else:
its store has a thread, which waits for the interpreter at every statement.
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
    """Does one piece of work after the other, on a core if cores are limited.

    Attributes
    ----------
    busy_s : float
        Seconds of a core, or of a disk, so far.
    held_s : float
        Seconds in which nothing else could begin: also waiting for a core or a commit.
    """

    def __init__(self, env: simpy.Environment, capacity: int = 1, cores: simpy.Resource | None = None) -> None:
        self._env, self._cores = env, cores
        self._queue = simpy.Resource(env, capacity)
        self.capacity, self.busy_s, self.held_s = capacity, 0.0, 0.0

    def work(self, seconds: float, disk: Server | None = None, commit_s: float = 0.0) -> Steps:
        """Wait for the turn, and work; then wait for a commit on `disk`, if it is given, before the next turn."""
        with self._queue.request() as turn:
            yield turn
            began = self._env.now
            if self._cores is None:
                yield self._env.timeout(seconds)
            else:
                with self._cores.request() as core:
                    yield core
                    yield self._env.timeout(seconds)
            self.busy_s += seconds
            if disk is not None:
                yield from disk.work(commit_s)
            self.held_s += self._env.now - began

    def load(self, seconds: float) -> float:
        """Return the share of its capacity that was used."""
        return self.busy_s / seconds / self.capacity


@dataclass(slots=True)
class SubmitResult:
    """Submits per second, and seconds of each answer."""

    rate: float
    answers: list[float]


def submits(costs: Costs, clients: int, count: int, cores: int) -> SubmitResult:
    """Simulate clients on the same machine, each of which submits again when it is answered.

    Each process works on the request and on the answer, half of its time on either.
    """
    env = simpy.Environment()
    machine = simpy.Resource(env, cores)
    gateway, broker = Server(env, cores=machine), Server(env, cores=machine)
    disk, client = Server(env), Server(env, cores=machine)
    left, answers = [count], list[float]()

    def one_client() -> Steps:
        while left[0] > 0:
            left[0] -= 1
            began = env.now
            yield from client.work(costs.submit_client / 2)
            yield from gateway.work(costs.submit_gateway / 2)
            yield from broker.work(costs.submit_broker / 2, disk, costs.submit_commits * costs.commit)
            yield from broker.work(costs.submit_broker / 2)
            yield from gateway.work(costs.submit_gateway / 2)
            yield env.timeout(costs.submit_wait)
            yield from client.work(costs.submit_client / 2)
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
    measured : bool
        Whether workers are one process and watchers another one, which take time for each frame as in the
        measurement.
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
    measured: bool = False
    commit_s: float = 0.0
    commits_at_once: int = 1


@dataclass(slots=True)
class FacilityResult:
    """What became of it.

    Attributes
    ----------
    gateway, broker, store : float
        Shares of capacity that were used.
    broker_held : float
        Share of the time in which the broker could begin nothing else, computing or waiting for a commit.
    ages : list of float
        Seconds from the worker to the watcher.
    delivered : float
        Share of the frames that arrived.
    """

    gateway: float
    broker: float
    broker_held: float
    store: float
    ages: list[float]
    delivered: float


@dataclass(slots=True)
class _Gateway:
    server: Server
    fans: list[int]
    """How many watchers of each job are connected to it."""
    waiting: dict[int, float] = field(default_factory=dict)
    wake: simpy.Event | None = None

    def receive(self, job: int, made: float) -> None:
        """Keep the newest frame of a job."""
        self.waiting[job] = made
        if self.wake is not None and not self.wake.triggered:
            self.wake.succeed()


def facility(
    costs: Costs, offered: Facility, seconds: float, assumed: Assumptions | None = None, seed: int = 1
) -> FacilityResult:
    """Simulate running jobs, their frames on the way to watchers, and new jobs that arrive at random."""
    return _Simulation(costs, offered, assumed or Assumptions(), seed).run(seconds)


class _Simulation:
    """The processes of a facility, and what they have done so far."""

    def __init__(self, costs: Costs, offered: Facility, assumed: Assumptions, seed: int) -> None:
        self._costs, self._offered, self._assumed = costs, offered, assumed
        self._env = env = simpy.Environment()
        self._random = np.random.default_rng(seed)
        cores = None if offered.cores is None else simpy.Resource(env, offered.cores)
        self._brokers = [Server(env, cores=cores) for _ in range(offered.shards)]
        self._stores = [Server(env, offered.commits_at_once) for _ in range(offered.shards)]
        self._gateways = [
            _Gateway(Server(env, cores=cores), list(fans)) for fans in zip(*_spread(offered), strict=True)
        ]
        self._worker = Server(env, cores=cores)
        self._watchers = Server(env, cores=cores)
        self._ages: list[float] = []
        self._wanted = self._sent = 0

    def run(self, seconds: float) -> FacilityResult:
        env = self._env
        for number in range(self._offered.jobs):
            env.process(self._publish_frames(number))
            env.process(self._report(number))
        for gateway in self._gateways:
            env.process(self._send_frames(gateway))
        if self._offered.submits_s:
            env.process(self._arrivals())
        env.run(until=seconds)
        return FacilityResult(
            self._costs.idle_gateway + max(gateway.server.load(seconds) for gateway in self._gateways),
            self._costs.idle_broker + max(broker.load(seconds) for broker in self._brokers),
            self._costs.idle_broker + max(broker.held_s / seconds for broker in self._brokers),
            max(store.load(seconds) for store in self._stores),
            self._ages,
            self._sent / self._wanted if self._wanted else 1.0,
        )

    def _publish_frames(self, job: int) -> Steps:
        env, offered = self._env, self._offered
        broker = self._brokers[job % offered.shards]
        yield env.timeout(job / offered.jobs / offered.rate_hz)
        due_renewal = env.now + self._random.random() * self._assumed.renewal_s
        while True:
            began = env.now
            if offered.measured:
                yield from self._worker.work(self._costs.frame_worker)
            made = env.now
            yield from broker.work(self._costs.frame_broker)
            for gateway in self._gateways:
                if gateway.fans[job]:
                    self._wanted += gateway.fans[job]
                    gateway.receive(job, made)
            if env.now >= due_renewal and offered.commit_s:
                due_renewal += self._assumed.renewal_s
                env.process(self._commit(job))
            yield env.timeout(max(0.0, began + 1 / offered.rate_hz - env.now))

    def _report(self, job: int) -> Steps:
        """Renew the lease and report progress, twice a second."""
        while True:
            yield self._env.timeout(_REPORT_S)
            yield from self._brokers[job % self._offered.shards].work(_REPORT_S * self._costs.job_second_broker)
            for gateway in self._gateways:
                if fan := gateway.fans[job]:
                    each = self._costs.job_second_gateway + fan * self._costs.watcher_second_gateway
                    yield from gateway.server.work(_REPORT_S * each)

    def _send_frames(self, gateway: _Gateway) -> Steps:
        costs, env = self._costs, self._env
        while True:
            if not gateway.waiting:
                gateway.wake = env.event()
                yield gateway.wake
            job, made = next(iter(gateway.waiting.items()))
            del gateway.waiting[job]
            fan = gateway.fans[job]
            yield from gateway.server.work(costs.frame_gateway + fan * costs.send_gateway)
            self._sent += fan
            first = env.now - made - fan * costs.send_gateway + costs.frame_wait
            self._ages.extend(np.linspace(first, first + fan * costs.send_delay, min(fan, SAMPLED)).tolist())
            if self._offered.measured:
                env.process(self._watchers.work(fan * costs.receive_client))

    def _arrivals(self) -> Steps:
        number = 0
        while True:
            yield self._env.timeout(self._random.exponential(1 / self._offered.submits_s))
            self._env.process(self._submit(number))
            number += 1

    def _submit(self, number: int) -> Steps:
        offered = self._offered
        yield from self._gateways[number % offered.gateways].server.work(self._costs.submit_gateway)
        yield from self._brokers[number % offered.shards].work(self._costs.submit_broker)
        for _ in range(self._assumed.commits_per_job):
            yield from self._commit(number)

    def _commit(self, number: int) -> Steps:
        offered, store = self._offered, self._stores[number % self._offered.shards]
        if offered.commits_at_once == 1:
            yield from self._brokers[number % offered.shards].work(0.0, store, offered.commit_s)
        else:
            yield from store.work(offered.commit_s)


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
