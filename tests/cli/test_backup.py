"""``backup`` of a running stack, and ``restore`` into a new data directory for another stack."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import Result

import cryomamba
from cryomamba.models.jobs import JobState
from cryomamba.testing import DEADLINE_S, Stack, wait_until

pytestmark = pytest.mark.system
Cli = Callable[..., Result]


@pytest.fixture
def new_stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack whose data directory does not exist yet."""
    with Stack(tmp_path / "new", roots=[tmp_path], env={"CRYOMAMBA_LEASE_S": "2"}) as stack:
        yield stack


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_restored_data_directory_is_complete(
    server: Stack, new_stack: Stack, cli: Cli, tomogram: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finished jobs have their files, uploads and keys are there, and a job that was running is retried."""
    monkeypatch.setenv("CRYOMAMBA_HOME", str(server.home))
    target = tmp_path / "backup"
    with cryomamba.connect(server.http_url) as client:
        file = client.upload(tomogram)
        done = client.submit(file_id=file.file_id, engine="threshold")
        done.wait()
        client.download(done.job_id, "mask.mrc", to=tmp_path / "before.mrc")
        first = cli("backup", target)
        assert first.exit_code == 0, first.output
        # The second time, only new files are copied.
        running = client.submit(shape=(16, 16, 16), engine="demo", params={"seconds": 2})
        wait_until(lambda: client.record(running.job_id).state is JobState.RUNNING, what="the job to run")
        assert "copied 0 new files" in cli("backup", target).output
        client.cancel(running.job_id)
    assert json.loads((target / "backup.json").read_text())["jobs"] == 2
    assert oct(target.stat().st_mode)[-3:] == "700"
    assert files_below(target / "keys") == files_below(server.home / "keys") != []

    monkeypatch.setenv("CRYOMAMBA_HOME", str(new_stack.home))
    restored = cli("restore", target)
    assert restored.exit_code == 0, restored.output
    new_stack.start().wait_ready()
    with cryomamba.connect(new_stack.http_url) as client:
        client.download(done.job_id, "mask.mrc", to=tmp_path / "after.mrc")
        assert (tmp_path / "after.mrc").read_bytes() == (tmp_path / "before.mrc").read_bytes()
        again = client.submit(file_id=file.file_id, engine="threshold", params={"sigma_A": 10})
        assert again.wait().state is JobState.COMPLETED
        ended = client.job(running.job_id).wait().record
        assert (ended.state, ended.attempt) == (JobState.COMPLETED, 2)
    listed = httpx.get(f"{new_stack.http_url}/v1/files", timeout=DEADLINE_S).json()["files"]
    assert [one["file_id"] for one in listed] == [file.file_id]
    # A second restore would overwrite newer jobs.
    refused = cli("restore", target)
    assert refused.exit_code == 6
    assert "new data directory" in refused.stderr
