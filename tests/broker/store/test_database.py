"""The database file: versions, migrations, durability, full disks."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.broker.store.store_helpers import ALL, OpenStore, damage_pages, new_job

from cryomamba.errors import ConflictError, ErrorCode, UnavailableError
from cryomamba.models.jobs import JobState, VolumeSummary
from cryomamba_broker.store import Store
from cryomamba_broker.store.database import require_not_emptied
from cryomamba_broker.store.schema import APPLICATION_ID, MIGRATIONS, SCHEMA
from cryomamba_server.exit_codes import ExitCode, exit_code


def test_a_newer_store_is_refused(tmp_path: Path, open_store: OpenStore) -> None:
    """A database of a newer version is not changed, and the error names both versions."""
    open_store().close()
    with sqlite3.connect(tmp_path / "jobs.sqlite") as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()
    with pytest.raises(ConflictError, match="newer CryoMamba"):
        Store(tmp_path / "jobs.sqlite")


def first_schema(path: Path) -> str:
    """Create a store of the first schema with one job, and return the job's id."""
    with sqlite3.connect(path) as connection:
        connection.executescript(MIGRATIONS[0])
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
        job = "11111111-1111-1111-1111-111111111111"
        volume = VolumeSummary(name="old", shape=(4, 4, 4), voxel_size_A=(10, 10, 10)).model_dump_json()
        connection.execute(
            "INSERT INTO jobs (id, state, name, engine, params, volume, preview, priority, fingerprint, created_at, "
            "updated_at) VALUES (?, 'pending', 'old', 'demo', '{}', ?, '{}', 0, 'f', 1.0, 1.0)",
            (job, volume),
        )
    connection.close()
    return job


def test_an_older_store_is_migrated(tmp_path: Path) -> None:
    """The jobs of an earlier version are kept, have no owner, and can be run."""
    path = tmp_path / "jobs.sqlite"
    job = first_schema(path)
    store = Store(path)
    assert (store.jobs.get(job, ALL).name, store.jobs.get(job, ALL).owner) == ("old", "")
    held = store.leases.claim("w", ["demo"])
    assert held is not None
    assert held.record.job_id == job
    assert store.database.read.execute("PRAGMA user_version").fetchone()[0] == SCHEMA
    store.close()


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """All steps are one transaction: the earlier version can still open the store."""
    path = tmp_path / "jobs.sqlite"
    first_schema(path)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE INDEX jobs_by_owner ON jobs (name)")
    connection.close()
    with pytest.raises(UnavailableError, match="job store"):
        Store(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone()[0] == 1
    assert "owner" not in [row[1] for row in connection.execute("PRAGMA table_info(jobs)")]
    connection.close()


def test_a_commit_is_synced_to_the_disk(store: Store) -> None:
    """Each commit is synced before the reply is sent, so a power failure loses nothing that was acknowledged."""
    read = store.database.read
    assert read.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert read.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """A database of another program is not changed."""
    path = tmp_path / "jobs.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cats (name TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ConflictError, match="another program"):
        Store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["no database", "a page overwritten"])
def test_a_damaged_file_is_refused(tmp_path: Path, open_store: OpenStore, damage: str) -> None:
    """The error says that it is damaged and what to do, is not to be tried again, and has an exit code of its own."""
    store = open_store()
    for _ in range(20):
        store.submissions.submit(new_job(), ALL)
    store.close()
    path = tmp_path / "jobs.sqlite"
    if damage == "no database":
        path.write_bytes(b"not a database at all" * 100)
    else:
        damage_pages(path)
    before = path.read_bytes()
    with pytest.raises(UnavailableError, match="damaged") as caught:
        Store(path)
    error = caught.value
    assert (error.code, error.retryable) == (ErrorCode.STORE_DAMAGED, False)
    assert "restore" in error.hint
    assert exit_code(error) is ExitCode.DAMAGED
    assert path.read_bytes() == before


def test_a_store_that_was_emptied_is_damaged(tmp_path: Path) -> None:
    """A file without a byte is a new store, unless there are files of jobs: then it has lost them, and says so."""
    path, finished = tmp_path / "jobs.sqlite", tmp_path / "artifacts"
    require_not_emptied(path, finished)
    path.touch()
    require_not_emptied(path, finished)
    (finished / "job").mkdir(parents=True)
    with pytest.raises(UnavailableError, match="damaged") as caught:
        require_not_emptied(path, finished)
    assert exit_code(caught.value) is ExitCode.DAMAGED
    assert "restore" in caught.value.hint
    Store(path).close()
    require_not_emptied(path, finished)


def test_a_full_disk_refuses_the_change_and_loses_nothing(store: Store) -> None:
    """A submit on a full disk is refused with its own code; when there is space again, the store works."""
    first = store.submissions.submit(new_job(), ALL).record
    pages = store.database.read.execute("PRAGMA page_count").fetchone()[0]
    store.database.read.execute(f"PRAGMA max_page_count = {pages}")
    large = new_job(params={"text": "x" * 15_000})
    with pytest.raises(UnavailableError) as caught:
        store.submissions.submit(large, ALL)
    assert caught.value.code is ErrorCode.INSUFFICIENT_STORAGE
    store.database.read.execute("PRAGMA max_page_count = 1000000")
    assert store.submissions.submit(new_job(), ALL).event is not None
    assert store.jobs.get(first.job_id, ALL).state is JobState.PENDING
