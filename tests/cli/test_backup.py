"""``backup`` of a running stack and ``restore`` into a new home, on which another stack goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import Result

import cryomamba
from cryomamba.models.jobs import JobState
from cryomamba.testing import Stack, wait_until
from cryomamba_broker.states import LeasePolicy
from cryomamba_broker.store import Clock, Store

pytestmark = pytest.mark.system
Cli = Callable[..., Result]


@pytest.fixture
def new_stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack whose home is not there yet."""
    with Stack(tmp_path / "new", roots=[tmp_path], env={"CRYOMAMBA_LEASE_S": "2"}) as stack:
        yield stack


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_restored_home_goes_on_where_the_old_one_was(
    server: Stack, new_stack: Stack, cli: Cli, tomogram: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finished jobs have their files, uploads are there, keys work, and a job that was running is tried again."""
    monkeypatch.setenv("CRYOMAMBA_HOME", str(server.home))
    target = tmp_path / "backup"
    with cryomamba.connect(server.http_url) as client:
        file = client.upload(tomogram)
        done = client.submit(file_id=file.file_id, engine="threshold")
        done.wait()
        client.download(done.job_id, "mask.mrc", to=tmp_path / "before.mrc")
        first = cli("backup", target)
        assert first.exit_code == 0, first.output
        # Nothing but what has changed is copied the second time.
        running = client.submit(shape=(16, 16, 16), engine="demo", params={"seconds": 2})
        wait_until(lambda: client.record(running.job_id).state is JobState.RUNNING, what="the job to run")
        assert "0 files were new" in cli("backup", target).output
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
    listed = httpx.get(f"{new_stack.http_url}/v1/files").json()["files"]
    assert [one["file_id"] for one in listed] == [file.file_id]
    # A second restore would overwrite what has happened since.
    refused = cli("restore", target)
    assert refused.exit_code == 6
    assert "new home" in refused.stderr


def test_the_same_content_is_stored_once_in_a_backup_too(cli: Cli, tmp_path: Path) -> None:
    """Names that share their content in the home share it in the backup."""
    files = tmp_path / "home" / "uploads" / "files"
    for name in ("a", "b"):
        (files / name).mkdir(parents=True)
    (files / "a" / "volume.mrc").write_bytes(b"voxels")
    os.link(files / "a" / "volume.mrc", files / "b" / "volume.mrc")
    make_store(tmp_path / "home")
    assert cli("backup", tmp_path / "backup").exit_code == 0
    copies = [tmp_path / "backup" / "uploads" / "files" / name / "volume.mrc" for name in ("a", "b")]
    assert copies[0].stat().st_ino == copies[1].stat().st_ino
    assert copies[1].read_bytes() == b"voxels"


def test_what_the_home_forgets_the_backup_forgets(cli: Cli, tmp_path: Path) -> None:
    """A file that is gone at home goes with the next backup; leftovers aside are never copied."""
    home, target = tmp_path / "home", tmp_path / "backup"
    make_store(home)
    old = home / "artifacts" / "job" / "mask.mrc"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"mask")
    (home / "artifacts" / "job" / ".mask.mrc.part").write_bytes(b"half")
    assert cli("backup", target).exit_code == 0
    assert files_below(target / "artifacts") == ["job/mask.mrc"]
    old.unlink()
    assert cli("backup", target).exit_code == 0
    assert list((target / "artifacts").iterdir()) == []


@pytest.mark.parametrize("where", ["home/inside", "."])
def test_a_backup_inside_the_home_is_refused(cli: Cli, tmp_path: Path, where: str) -> None:
    """Neither may lie in the other."""
    make_store(tmp_path / "home")
    assert cli("backup", tmp_path / where).exit_code == 2


def test_wrong_folders_are_refused(cli: Cli, tmp_path: Path) -> None:
    """A home without jobs, a folder with something else in it, one that is no backup: each is said, none touched."""
    target = tmp_path / "backup"
    nothing = cli("backup", target)
    assert (nothing.exit_code, target.exists()) == (2, False)
    target.mkdir()
    (target / "thesis.tex").write_text("mine")
    make_store(tmp_path / "home")
    assert cli("backup", target).exit_code == 2
    assert files_below(target) == ["thesis.tex"]
    assert cli("restore", target).exit_code == 2


def test_a_damaged_job_store_is_not_restored(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SQLite cannot read becomes no home."""
    make_store(tmp_path / "home")
    assert cli("backup", tmp_path / "backup").exit_code == 0
    (tmp_path / "backup" / "jobs.sqlite").write_bytes(b"no database" * 1000)
    monkeypatch.setenv("CRYOMAMBA_HOME", str(tmp_path / "new"))
    broken = cli("restore", tmp_path / "backup")
    assert broken.exit_code == 4
    assert not (tmp_path / "new" / "jobs.sqlite").exists()


def make_store(home: Path) -> None:
    """Make an empty job store as the broker does."""
    home.mkdir(parents=True, exist_ok=True)
    Store(home / "jobs.sqlite", Clock(), LeasePolicy(lease_s=30)).close()
