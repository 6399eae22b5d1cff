"""Start-up: the import, the command line, the services, and the first job.

A program's time is the processor time of its whole process, as the kernel counts it, so that what else the machine does
matters little; the programs take turns, and the yardstick is a process that imports numpy. The services run as
``honcho start`` starts them, in a new data directory: the broker is ready when its sockets are open, the gateway when
it answers health checks, and the first job is sent as soon as it can be.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report.figures import Figure

from cryomamba.stack import Service
from cryomamba.testing import Stack, wait_until

PROGRAM = str(Path(sys.executable).with_name("cryomamba"))
NUMPY = "a process that imports numpy"
WAYS: dict[str, tuple[list[str], float | None]] = {
    NUMPY: ([sys.executable, "-c", "import numpy"], None),
    "an empty process": ([sys.executable, "-c", ""], None),
    "import cryomamba": ([sys.executable, "-c", "import cryomamba"], 0.3),
    "cryomamba --help": ([PROGRAM, "--help"], 1.5),
    "cryomamba segment --help": ([PROGRAM, "segment", "--help"], None),
    "cryomamba --version": ([PROGRAM, "--version"], None),
}


def measure(*, quick: bool) -> Iterator[Figure]:
    yield from programs(7 if quick else 20)
    yield from services(2 if quick else 5)


def processor_seconds(command: list[str]) -> float:
    """Run a program and return its processor time, or that of the kernel's least step."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return max(usage.ru_utime + usage.ru_stime, 1e-3)


def programs(rounds: int) -> Iterator[Figure]:
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(rounds + 1):
        for name, (command, _) in WAYS.items():
            seconds = processor_seconds(command)
            if number:
                times[name].append(seconds)
    yield Figure("import numpy", statistics.median(times[NUMPY]) * 1e3, "ms")
    for name, (_, target) in WAYS.items():
        if name != NUMPY:
            share = statistics.median(a / b for a, b in zip(times[name], times[NUMPY], strict=True))
            yield Figure(name, share, "×", target, NUMPY)


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v1/healthz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def seconds_to_ready(service: Service, folder: Path) -> float:
    """Return the seconds from the start of one service alone until it answers."""
    with Stack(folder) as stack:
        started = time.perf_counter()
        stack.start(service)
        if service == "broker":
            wait_until((folder / "bus.json").exists, what=service)
        else:
            wait_until(lambda: answers(stack.ports["gateway"]), what=service)
        return time.perf_counter() - started


def submit(port: int) -> str | None:
    """Return the id of a job, or None if the gateway or the engine is not there yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    body = json.dumps({"volume": {"shape": [64, 64, 64]}, "engine": "demo", "params": {"seconds": 1}})
    try:
        connection.request("POST", "/v1/jobs", body=body, headers={"Content-Type": "application/json"})
        reply = connection.getresponse()
        content = json.loads(reply.read())
        return content["job_id"] if reply.status == http.client.CREATED else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def state(port: int, job: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", f"/v1/jobs/{job}")
    found = json.loads(connection.getresponse().read())["state"]
    connection.close()
    return str(found)


def seconds_to_first_job(folder: Path) -> float:
    """Return the seconds from the start of all services until a worker has the first job."""
    with Stack(folder) as stack:
        port = stack.ports["gateway"]
        started = time.perf_counter()
        stack.start()
        job = wait_until(lambda: submit(port), what="the first job")
        assert job is not None
        wait_until(lambda: state(port, job) != "pending", what="a worker")
        return time.perf_counter() - started


def services(rounds: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="cryomamba-startup-") as name:
        folders = (Path(name) / str(number) for number in range(100))
        brokers = [seconds_to_ready("broker", next(folders)) for _ in range(rounds)]
        gateways = [seconds_to_ready("gateway", next(folders)) for _ in range(rounds)]
        jobs = [seconds_to_first_job(next(folders)) for _ in range(rounds)]
    yield Figure("broker answers after", statistics.median(brokers), "s", 0.5)
    yield Figure("gateway answers after", statistics.median(gateways), "s", 1.5)
    yield Figure("first job has a worker after the start of all services", statistics.median(jobs), "s", 3)
