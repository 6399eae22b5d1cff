"""Broker, two workers and two gateways on five hosts, with CURVE, while the link of a worker is cut and healed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.system.conftest import write_hog_package
from tests.system.network_hosts import NetworkHosts

from cryomamba.access.roles import Role
from cryomamba.testing import DEADLINE_S, wait_until
from cryomamba_server.bus_keys import BusKeys
from cryomamba_server.tokens import Scope, TokenStore

pytestmark = [pytest.mark.system, pytest.mark.slow]

HOSTS = ("broker", "worker1", "worker2", "gateway1", "gateway2", "visitor")
SECONDS = 30
LEASE_S = 20
WATCHERS = 20
SHARED = ("artifacts", "uploads", "work")


@dataclass
class Cluster:
    """The hosts, the folder of the broker's data directory, and a visitor's token."""

    hosts: NetworkHosts
    home: Path
    token: str

    def call(self, gateway: str, path: str, *options: str) -> bytes:
        """Send a request from the visitor's host."""
        url = f"http://{self.hosts.address(gateway)}:8000{path}"
        header = f"Authorization: Bearer {self.token}"
        return self.hosts.run("visitor", "curl", "-sS", "--fail-with-body", "-m", "20", "-H", header, *options, url)

    def json(self, gateway: str, path: str, *options: str) -> Any:
        return json.loads(self.call(gateway, path, *options))

    def submit(self, gateway: str, volume: Path) -> str:
        body = {"volume": {"path": str(volume)}, "engine": "hog", "params": {"seconds": SECONDS}}
        sent = json.dumps(body)
        return str(self.json(gateway, "/v1/jobs", "-d", sent, "-H", "Content-Type: application/json")["job_id"])

    def sockets(self, gateway: str) -> int:
        """Return how many WebSockets a gateway has open, by its metrics."""
        for line in self.call(gateway, "/metrics").decode().splitlines():
            if line.startswith("cryomamba_gateway_websocket_clients "):
                return int(float(line.split()[1]))
        raise AssertionError("the gateway does not count its WebSockets")

    def holder(self, job_id: str) -> str | None:
        """Return the host whose worker runs a job."""
        pids = {str(self.hosts.processes[host].pid): host for host in ("worker1", "worker2")}
        for worker in self.json("gateway2", "/v1/workers")["workers"]:
            if worker["job_id"] == job_id:
                return pids[str(worker["pid"])]
        return None


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Iterator[Cluster]:
    """The five services, each on a host of its own with a data directory of its own, as the documentation says."""
    if shutil.which("curl") is None:
        pytest.skip("the program 'curl' is missing")
    folder = tmp_path_factory.mktemp("cluster")
    home = folder / "broker"
    keys = BusKeys(home / "keys")
    keys.init()
    token, _ = TokenStore(home / "keys").create("ada", [Scope.ADMIN], days=1)
    for name in SHARED:
        (home / name).mkdir(mode=0o700)
    with NetworkHosts(HOSTS, folder) as hosts:
        common = _environment(hosts, package, folder)
        hosts.start("broker", *_service("broker"), env={**common, "CRYOMAMBA_HOME": str(home)})
        for name in ("worker1", "worker2"):
            keys.add(name, Role.WORKER, file=folder / f"{name}.key")
            own = _linked(folder / name, home, SHARED)
            env = {**common, "CRYOMAMBA_HOME": str(own), "CRYOMAMBA_KEY": str(folder / f"{name}.key")}
            hosts.start(name, *_service("inference"), env=env)
        for name in ("gateway1", "gateway2"):
            own = _linked(folder / name, home, (*SHARED, "keys"))
            env = {**common, "CRYOMAMBA_HOME": str(own), "CRYOMAMBA_GATEWAY_HOST": hosts.address(name)}
            hosts.start(name, *_service("gateway"), env=env)
        made = Cluster(hosts, home, token)
        for name in ("gateway1", "gateway2"):
            wait_until(lambda: _workers(made, name) == 2, what=f"two workers at {name}")  # noqa: B023 (called at once)
        yield made


def _service(name: str) -> tuple[str, ...]:
    return sys.executable, "-m", f"cryomamba_{name}"


def _environment(hosts: NetworkHosts, package: Path, folder: Path) -> dict[str, str]:
    bus = {
        f"CRYOMAMBA_BUS_{name}": f"tcp://{hosts.address('broker')}:{port}"
        for name, port in (("JOBS", 5560), ("PREVIEW_IN", 5561), ("PREVIEW_OUT", 5562), ("EVENTS", 5563))
    }
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("CRYOMAMBA_")},
        **bus,
        "PYTHONPATH": str(package),
        "CRYOMAMBA_ROOTS": str(folder.parent),
        "CRYOMAMBA_LEASE_S": str(LEASE_S),
        "CRYOMAMBA_PROCESSES": "1",
    }


def _linked(own: Path, home: Path, names: tuple[str, ...]) -> Path:
    """Return a data directory that shares folders with another one."""
    own.mkdir()
    for name in names:
        (own / name).symlink_to(home / name)
    return own


def _workers(cluster: Cluster, gateway: str) -> int:
    for host, process in cluster.hosts.processes.items():
        assert process.poll() is None, f"{host} has ended: {cluster.hosts.log(host)}"
    try:
        return int(cluster.json(gateway, "/v1/readyz")["workers"])
    except subprocess.CalledProcessError:
        return 0


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with an engine that takes its time."""
    return write_hog_package(tmp_path_factory.mktemp("package"))


@pytest.fixture
def expected(tomogram: Path, package: Path, tmp_path: Path) -> bytes:
    """The mask of a run on this machine, without services."""
    mask = tmp_path / "local.mrc"
    command = [sys.executable, "-m", "cryomamba_cli", "segment", str(tomogram), "-o", str(mask), "-e", "hog"]
    env = {**os.environ, "PYTHONPATH": str(package), "CRYOMAMBA_HOME": str(tmp_path / "home")}
    subprocess.run([*command, "-p", "seconds=0"], env=env, check=True, capture_output=True)
    return mask.read_bytes()


def test_a_short_cut_of_a_workers_link_does_not_interrupt_its_job(
    cluster: Cluster, tomogram: Path, expected: bytes
) -> None:
    """The link is healed before the lease ends: the same attempt completes, with the bytes of a local run."""
    job = cluster.submit("gateway1", tomogram)
    host = wait_until(lambda: cluster.holder(job), what="a worker to run the job")
    assert host is not None
    before = cluster.hosts.log(host).count("Retrying until it answers")
    cluster.hosts.cut(host)
    try:
        wait_until(
            lambda: cluster.hosts.log(host).count("Retrying until it answers") > before, what="the worker to notice"
        )
    finally:
        cluster.hosts.heal(host)
    done = _completed(cluster, job)
    assert done["attempt"] == 1
    assert cluster.call("gateway2", f"/v1/jobs/{job}/artifacts/mask.mrc") == expected


def test_a_job_whose_worker_is_cut_off_is_run_by_another(cluster: Cluster, tomogram: Path, expected: bytes) -> None:
    """The link is healed only when another worker has the job: one mask is written, with the bytes of a local run."""
    job = cluster.submit("gateway2", tomogram)
    host = wait_until(lambda: cluster.holder(job), what="a worker to run the job")
    assert host is not None
    other = {"worker1": "worker2", "worker2": "worker1"}[host]
    cluster.hosts.cut(host)
    try:
        wait_until(lambda: cluster.holder(job) == other, what="the other worker to run the job")
    finally:
        cluster.hosts.heal(host)
    wait_until(lambda: f"Job {job}, attempt 1: the lease is lost" in cluster.hosts.log(host), what="the worker to end")
    done = _completed(cluster, job)
    assert done["attempt"] == 2
    assert [error["code"] for error in done["errors"]] == ["worker_lost"]
    assert cluster.call("gateway1", f"/v1/jobs/{job}/artifacts/mask.mrc") == expected
    wait_until(lambda: _workers(cluster, "gateway1") == 2, what="both workers to be connected again")
    kept = cluster.home / "artifacts" / job
    assert [path.name for path in kept.iterdir() if path.name.startswith(".")] == []
    assert list((cluster.home / "work").rglob("*.mrc")) == []


def test_watchers_behind_a_gateway_cost_the_broker_one_stream(cluster: Cluster) -> None:
    """However many follow a job through one gateway, the broker's host sends each frame once; all see the same."""
    _, few = watched(cluster, 1)
    seen, many = watched(cluster, WATCHERS)
    digests: dict[str, str] = {}
    for one in seen:
        assert one["last"] == "job_completed"
        for seq, digest in one["frames"].items():
            assert digests.setdefault(seq, digest) == digest
        assert max(one["frames"], key=int) == max(digests, key=int), "the last frame is missing"
    print(f"The broker's host sent {few:,} bytes for one watcher, {many:,} for {WATCHERS}.")  # noqa: T201 (shown with -s)
    assert many < 2 * few


def watched(cluster: Cluster, watchers: int) -> tuple[list[dict[str, Any]], int]:
    """Let so many watch a job through one gateway; return what they saw, and how many bytes the broker's host sent."""
    # Watchers connect before the job runs: while both workers are drained.
    names = [worker["worker"] for worker in cluster.json("gateway2", "/v1/workers")["workers"]]
    for name in names:
        cluster.json("gateway2", f"/v1/workers/{name}/drain", "-X", "POST")
    body = {
        "volume": {"shape": [256, 256, 256]},
        "engine": "demo",
        "params": {"seconds": 10},
        "preview": {"interval_s": 0.2},
    }
    job = cluster.json("gateway2", "/v1/jobs", "-d", json.dumps(body), "-H", "Content-Type: application/json")["job_id"]
    url = f"http://{cluster.hosts.address('gateway1')}:8000"
    script = str(Path(__file__).with_name("watch_frames.py"))
    command = cluster.hosts.command("visitor", sys.executable, script, url, cluster.token, job, str(watchers))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
        try:
            wait_until(lambda: cluster.sockets("gateway1") == watchers, what="all watchers to be connected")
            before = cluster.hosts.sent_bytes("broker")
            for name in names:
                cluster.json("gateway2", f"/v1/workers/{name}/resume", "-X", "POST")
            output, errors = watching.communicate(timeout=DEADLINE_S)
        finally:
            watching.kill()
    assert watching.returncode == 0, errors.decode()
    return json.loads(output), cluster.hosts.sent_bytes("broker") - before


def _completed(cluster: Cluster, job: str) -> Mapping[str, Any]:
    record: dict[str, Any] = {}

    def ended() -> bool:
        record.update(cluster.json("gateway1", f"/v1/jobs/{job}"))
        return record["state"] not in {"pending", "running"}

    wait_until(ended, what="the job to end")
    assert record["state"] == "completed", record
    return record
