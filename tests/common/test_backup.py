"""Backup and restore of a data directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cryomamba.errors import ConflictError, InvalidRequestError, UnavailableError
from cryomamba.settings import Settings
from cryomamba_broker.state_machine import LeasePolicy
from cryomamba_broker.store import Clock, Store
from cryomamba_server.backup import back_up, restore


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data directory with an empty job store, as the broker makes it."""
    home = tmp_path / "home"
    home.mkdir()
    Store(home / "jobs.sqlite", Clock(), LeasePolicy(lease_s=30)).close()
    return Settings(home=home)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_shared_content_is_stored_once(settings: Settings, tmp_path: Path) -> None:
    """Hard links in the data directory are hard links in the backup."""
    files = settings.uploads / "files"
    for name in ("a", "b"):
        (files / name).mkdir(parents=True)
    (files / "a" / "volume.mrc").write_bytes(b"voxels")
    os.link(files / "a" / "volume.mrc", files / "b" / "volume.mrc")
    assert back_up(settings, tmp_path / "backup").manifest.files == 2
    copies = [tmp_path / "backup" / "uploads" / "files" / name / "volume.mrc" for name in ("a", "b")]
    assert copies[0].stat().st_ino == copies[1].stat().st_ino
    assert copies[1].read_bytes() == b"voxels"


def test_only_new_files_are_copied_and_deleted_ones_are_deleted(settings: Settings, tmp_path: Path) -> None:
    """A later backup brings the folder up to date; unfinished files are never copied."""
    target = tmp_path / "backup"
    old, new = (settings.artifacts / "job" / name for name in ("mask.mrc", "stats.json"))
    old.parent.mkdir(parents=True)
    old.write_bytes(b"mask")
    (old.parent / ".mask.mrc.part").write_bytes(b"half")
    back_up(settings, target)
    assert files_below(target / "artifacts") == ["job/mask.mrc"]
    new.write_bytes(b"statistics")
    again = back_up(settings, target)
    assert (again.files, again.nbytes, again.manifest.files) == (1, 10, 2)
    old.unlink()
    back_up(settings, target)
    assert files_below(target / "artifacts") == ["job/stats.json"]


def test_a_restored_data_directory_has_the_same_files(settings: Settings, tmp_path: Path) -> None:
    """Restoring gives the files back; a second time it is refused."""
    (settings.keys).mkdir()
    (settings.keys / "urls.key").write_text("secret")
    back_up(settings, tmp_path / "backup")
    new = Settings(home=tmp_path / "new")
    restore(tmp_path / "backup", new)
    assert files_below(new.home) == ["jobs.sqlite", "keys/urls.key"]
    with pytest.raises(ConflictError, match="new data directory"):
        restore(tmp_path / "backup", new)


@pytest.mark.parametrize("where", ["home/inside", "."])
def test_backup_and_data_directory_are_apart(settings: Settings, tmp_path: Path, where: str) -> None:
    """Neither may contain the other."""
    with pytest.raises(InvalidRequestError, match="contain"):
        back_up(settings, tmp_path / where)


def test_wrong_folders_are_refused(settings: Settings, tmp_path: Path) -> None:
    """A data directory without jobs, and a folder with other files, are refused and not changed."""
    target = tmp_path / "backup"
    with pytest.raises(InvalidRequestError, match="no job store"):
        back_up(Settings(home=tmp_path / "nothing"), target)
    assert not target.exists()
    target.mkdir()
    (target / "thesis.tex").write_text("mine")
    with pytest.raises(InvalidRequestError, match="neither empty nor a backup"):
        back_up(settings, target)
    assert files_below(target) == ["thesis.tex"]
    with pytest.raises(InvalidRequestError, match="not a backup"):
        restore(target, Settings(home=tmp_path / "new"))


def test_a_damaged_job_store_is_not_restored(settings: Settings, tmp_path: Path) -> None:
    """A job store that SQLite cannot read is not copied."""
    back_up(settings, tmp_path / "backup")
    (tmp_path / "backup" / "jobs.sqlite").write_bytes(b"no database" * 1000)
    new = Settings(home=tmp_path / "new")
    with pytest.raises(UnavailableError, match="cannot be copied"):
        restore(tmp_path / "backup", new)
    assert not new.database.exists()
