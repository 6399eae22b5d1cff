"""Working folders: locked while in use, removed at the end, and removed later if their process has crashed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cryomamba.errors import UnavailableError
from cryomamba_server.workspace import Workspace, remove_stale_workspaces, stale_workspaces


def abandoned(work: Path, name: str, *, locked: bool, age_s: float = 0) -> Path:
    """Make a folder as a killed service leaves it behind."""
    folder = work / name / "1"
    folder.mkdir(parents=True)
    (folder / "mask.mrc.part").write_bytes(b"half")
    if locked:
        (folder / ".lock").touch()
    then = folder.stat().st_mtime - age_s
    os.utime(folder, (then, then))
    return folder


def test_a_workspace_starts_empty_and_is_removed(tmp_path: Path) -> None:
    """Leftovers are removed first, and everything at the end, also when the work fails."""
    abandoned(tmp_path, "job", locked=True)

    def work(folder: Path) -> None:
        assert [file.name for file in folder.iterdir()] == [".lock"]
        (folder / "scores.bin").write_bytes(b"1")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Workspace(tmp_path, "job", 1) as workspace:
        work(workspace.path)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_another_attempt_stays(tmp_path: Path) -> None:
    """The end of an attempt does not touch another attempt at the same job."""
    with Workspace(tmp_path, "job", 2) as later:
        with Workspace(tmp_path, "job", 1):
            pass
        assert later.path.is_dir()


def test_only_stale_workspaces_are_removed(tmp_path: Path) -> None:
    """Folders of dead processes are removed; folders in use stay, and so do those made a moment ago."""
    dead = abandoned(tmp_path, "dead", locked=True)
    old = abandoned(tmp_path, "old", locked=False, age_s=3600)
    young = abandoned(tmp_path, "young", locked=False)
    with Workspace(tmp_path, "alive", 1) as workspace:
        assert stale_workspaces(tmp_path) == [dead, old]
        assert remove_stale_workspaces(tmp_path) == 2
        assert workspace.path.is_dir()
    assert (dead.exists(), old.exists(), young.exists()) == (False, False, True)
    assert remove_stale_workspaces(tmp_path / "nowhere") == 0


def test_an_interrupted_removal_is_finished_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the removal of a folder is cut short, the next one removes the rest."""
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
                remove_stale_workspaces(tmp_path / "work")
        assert steps == death
        remove_stale_workspaces(tmp_path / "work")
        assert not folder.exists()
        assert list((tmp_path / "work").iterdir()) == []


def test_an_attempt_is_worked_on_by_one_process(tmp_path: Path) -> None:
    """A folder that is locked is not cleared."""
    with Workspace(tmp_path, "job", 1) as workspace:
        (workspace.path / "mask.mrc").write_bytes(b"precious")
        with pytest.raises(UnavailableError), Workspace(tmp_path, "job", 1):
            pass
        assert (workspace.path / "mask.mrc").exists()
