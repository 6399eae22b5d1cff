"""The job store under SIGKILL: what was acknowledged is there, and nothing stands half."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from cryomamba.access.visibility import Visibility
from cryomamba.models.jobs import JobState
from cryomamba_broker.store import Store

ALL = Visibility.everything()

WRITER = """
import sys
from pathlib import Path
from cryomamba.models.jobs import Progress, SubmitRequest, VolumeSummary
from cryomamba.access.visibility import Visibility
from cryomamba_broker.store import Attempt, NewJob, Store

ALL = Visibility.everything()
store = Store(Path(sys.argv[1]))
store.leases.extend_all()
request = SubmitRequest.model_validate({"volume": {"shape": (4, 4, 4)}, "engine": "demo"})
volume = VolumeSummary(name="demo", shape=(4, 4, 4), voxel_size_A=(1, 1, 1))


def say(*words):
    print(*words, flush=True)


while True:
    for _ in range(3):
        say("pending", store.submissions.submit(NewJob(request, "demo", volume), ALL).record.job_id)
    for _ in range(2):
        held = store.leases.claim("w", ["demo"])
        attempt = Attempt(held.record.job_id, "w", held.record.attempt)
        say("running", attempt.job_id)
        store.leases.report(attempt, Progress(fraction=0.5))
        store.leases.renew(attempt)
        store.leases.finish(attempt, ())
        say("completed", attempt.job_id)
"""

# A job may be further than was said, for a death comes between the deed and the word.
MAY_BE = {
    "pending": set(JobState),
    "running": {JobState.RUNNING, JobState.COMPLETED},
    "completed": {JobState.COMPLETED},
}


def killed_writer(path: Path, after: int) -> list[tuple[str, str]]:
    """Let a process write until it has printed a number of lines, kill it, and return the lines."""
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(after)]
        process.kill()
        said += process.stdout.readlines()
    words = [line.split() for line in said if line.endswith("\n")]
    return [(state, job) for state, job in words]


@pytest.mark.slow
def test_what_was_acknowledged_survives_every_kill(tmp_path: Path) -> None:
    """A writer is killed repeatedly: each time the store opens undamaged, and the next writer continues."""
    path = tmp_path / "jobs.sqlite"
    chance = random.Random(5)
    said: dict[str, str] = {}
    for _ in range(6):
        said.update((job, state) for state, job in killed_writer(path, chance.randrange(1, 40)))
        store = Store(path)
        for job, state in said.items():
            record = store.jobs.get(job, ALL)
            assert record.state in MAY_BE[state]
            assert record.history[-1].state is record.state
            assert record.history[-1].attempt == record.attempt
            assert [event.type for event in record.history].count("job_completed") <= 1
        store.close()
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()
    assert len(said) > 20
