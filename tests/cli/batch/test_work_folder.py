"""The work folder: who may work in it at the same time, and what those that were killed leave."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cryomamba.errors import ConflictError
from cryomamba_cli.batch import work_folder
from cryomamba_cli.batch.record import TomogramRecord, facts, read_record
from cryomamba_cli.batch.work_folder import WorkFolder


def leave_moving(work: WorkFolder, mask: Path) -> None:
    """Leave a result as a program does that is killed between the list of moves and the first move."""
    folder = work.begin(Path("t.mrc"), 0)
    made = folder / mask.name
    made.write_bytes(b"mask")
    record = TomogramRecord(
        tomogram="t.mrc",
        state="done",
        recipe={},
        input=(),
        mask=facts(made),
        files=(mask.name,),
        ended_at=datetime.now(UTC),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work_folder, "_complete", _killed)
        with pytest.raises(KeyboardInterrupt):
            work.publish(folder, mask, record)


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_members_work_side_by_side(tmp_path: Path) -> None:
    """Each has a folder of its own, and a name belongs to one at a time."""
    with WorkFolder(tmp_path, "one") as one, WorkFolder(tmp_path, "two") as two:
        assert one.path != two.path
        with pytest.raises(ConflictError), WorkFolder(tmp_path, "one"):
            pass


def test_a_session_and_members_exclude_each_other(tmp_path: Path) -> None:
    """Whoever comes second is refused, and may begin when the other has ended."""
    with WorkFolder(tmp_path, "one"), pytest.raises(ConflictError), WorkFolder(tmp_path):
        pass
    with WorkFolder(tmp_path), pytest.raises(ConflictError), WorkFolder(tmp_path, "one"):
        pass
    with WorkFolder(tmp_path, "one"):
        pass


@pytest.mark.parametrize("successor", [None, "other", "killed"])
def test_what_a_killed_member_was_moving_is_completed(tmp_path: Path, successor: str | None) -> None:
    """By a session, by another member, and by the same one when its task is run again."""
    mask = tmp_path / "t.mask.mrc"
    with WorkFolder(tmp_path, "killed") as work:
        leave_moving(work, mask)
    assert not mask.exists()
    with WorkFolder(tmp_path, successor) as work:
        work.recover()
        assert mask.read_bytes() == b"mask"
        assert read_record(mask) is not None
        work.remove()
    assert not list((tmp_path / ".cryomamba" / "members").iterdir())


def test_a_member_that_works_is_left_alone(tmp_path: Path) -> None:
    """Recovery by another one neither completes nor removes what it is doing."""
    with WorkFolder(tmp_path, "one") as one, WorkFolder(tmp_path, "two") as two:
        folder = one.begin(Path("t.mrc"), 0)
        (folder / "mask.mrc").write_bytes(b"half")
        two.recover()
        assert (folder / "mask.mrc").read_bytes() == b"half"
