"""Work folders: locked while in use, removed at the end, swept when their owner has died."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cryomamba.errors import UnavailableError
from cryomamba_server.workspace import Workspace, stale, sweep


def abandoned(work: Path, name: str, *, locked: bool, age_s: float = 0) -> Path:
    """A folder as a killed service leaves it."""
    folder = work / name / "1"
    folder.mkdir(parents=True)
    (folder / "mask.mrc.part").write_bytes(b"half")
    if locked:
        (folder / ".lock").touch()
    then = folder.stat().st_mtime - age_s
    os.utime(folder, (then, then))
    return folder


def test_a_workspace_is_empty_and_leaves_nothing(tmp_path: Path) -> None:
    """It begins empty whatever lay there, and takes everything with it, also when the work failed."""
    abandoned(tmp_path, "job", locked=True)

    def work(folder: Path) -> None:
        assert [file.name for file in folder.iterdir()] == [".lock"]
        (folder / "scores.bin").write_bytes(b"1")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Workspace(tmp_path, "job", 1) as space:
        work(space.path)
    assert list(tmp_path.iterdir()) == []


def test_another_attempts_folder_stays(tmp_path: Path) -> None:
    """The end of one attempt does not touch another of the same job."""
    with Workspace(tmp_path, "job", 2) as later:
        with Workspace(tmp_path, "job", 1):
            pass
        assert later.path.is_dir()


def test_a_sweep_takes_what_nobody_holds(tmp_path: Path) -> None:
    """Folders of dead owners go; those in use stay, and so do those that were made a moment ago."""
    dead = abandoned(tmp_path, "dead", locked=True)
    old = abandoned(tmp_path, "old", locked=False, age_s=3600)
    young = abandoned(tmp_path, "young", locked=False)
    with Workspace(tmp_path, "alive", 1) as space:
        assert stale(tmp_path) == [dead, old]
        assert sweep(tmp_path) == 2
        assert space.path.is_dir()
    assert (dead.exists(), old.exists(), young.exists()) == (False, False, True)
    assert sweep(tmp_path / "nowhere") == 0


def test_a_death_while_removing_leaves_nothing_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever the removal of a folder is cut short, the next sweep takes what is left, at once."""
    steps = 0

    class Killed(BaseException):
        pass

    def dies_at(number: int, real: Callable[..., None]) -> Callable[..., None]:
        def call(path: Path, *arguments: object, **options: object) -> None:
            nonlocal steps
            steps += 1
            if steps == number:
                raise Killed
            real(path, *arguments, **options)

        return call

    for death in (1, 2, 3, 4):
        folder = abandoned(tmp_path / "work", "job", locked=True)
        steps = 0
        with monkeypatch.context() as patch:
            for name in ("unlink", "rmdir"):
                patch.setattr(Path, name, dies_at(death, getattr(Path, name)))
            with pytest.raises(Killed):
                sweep(tmp_path / "work")
        assert steps == death
        sweep(tmp_path / "work")
        assert not folder.exists()
        assert list((tmp_path / "work").iterdir()) == []


def test_an_attempt_has_one_owner(tmp_path: Path) -> None:
    """A folder that another process works in is not taken from it."""
    with Workspace(tmp_path, "job", 1) as space:
        (space.path / "mask.mrc").write_bytes(b"precious")
        with pytest.raises(UnavailableError), Workspace(tmp_path, "job", 1):
            pass
        assert (space.path / "mask.mrc").exists()
