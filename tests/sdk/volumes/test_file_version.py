"""Whether a file is still the one that it was."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.volumes import FileVersion, open_volume, write_volume

ALL = slice(None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A volume of 4 × 5 × 6 voxels, from an earlier hour."""
    path = tmp_path / "t.mrc"
    write_volume(path, np.ones((4, 5, 6), np.float32), 10.0)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def version_of(path: Path) -> FileVersion:
    with path.open("rb") as file:
        return FileVersion.of(file.fileno())


def replace_shape(path: Path) -> None:
    write_volume(path, np.ones((4, 5, 7), np.float32), 10.0)


def overwrite_voxel(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(1024)
        file.write(b"\x01")


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\x00")


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4)


def set_date(path: Path) -> None:
    path.touch()


def replace_with_copy(path: Path) -> None:
    copy = path.with_name("copy.mrc")
    shutil.copy2(path, copy)
    copy.replace(path)


def change_header(path: Path) -> None:
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(224)
        file.write(b"another label")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES = [replace_shape, overwrite_voxel, append, truncate, set_date, replace_with_copy, change_header]
Change = Callable[[Path], None]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_noticed(path: Path, change: Change) -> None:
    """Another shape, voxel, size, date, inode or header; the error has a code of its own."""
    before = version_of(path)
    before.require_same(version_of(path), "t.mrc", "since")
    change(path)
    with pytest.raises(VolumeError, match=r"t\.mrc was changed since: ") as caught:
        before.require_same(version_of(path), "t.mrc", "since")
    assert caught.value.code is ErrorCode.VOLUME_CHANGED
    assert not caught.value.retryable


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_while_it_is_open_is_noticed(path: Path, change: Change) -> None:
    """At the end at the latest; what was written in place, at the next block. A viewer goes on."""
    with open_volume(path) as volume, open_volume(path, may_change=True) as viewed:
        volume.require_unchanged()
        change(path)
        with pytest.raises(VolumeError) as caught:
            volume.require_unchanged()
        assert caught.value.code is ErrorCode.VOLUME_CHANGED
        if change in {overwrite_voxel, append, set_date}:
            for read in (volume.read, volume.read_native):
                with pytest.raises(VolumeError) as caught:
                    read(ALL, ALL, ALL)
                assert caught.value.code is ErrorCode.VOLUME_CHANGED
            with pytest.raises(VolumeError):
                list(volume.chunks())
        if change is not truncate:
            viewed.read(ALL, ALL, ALL)


def test_a_file_that_was_removed_is_a_changed_one(path: Path) -> None:
    """Its voxels can still be read, but nobody can tell any more what they were."""
    with open_volume(path) as volume:
        path.unlink()
        with pytest.raises(VolumeError, match="removed"):
            volume.require_unchanged()


def test_reading_and_permissions_are_no_change(path: Path) -> None:
    """Neither is another name for the same file."""
    before = version_of(path)
    path.chmod(0o400)
    path.with_name("link.mrc").hardlink_to(path)
    with open_volume(path) as volume:
        volume.read(ALL, ALL, ALL)
        volume.require_unchanged()
    before.require_same(version_of(path.with_name("link.mrc")), "t.mrc", "since")


def test_a_version_can_be_kept_as_text(path: Path) -> None:
    """It is parsed back exactly, with and without date and inode; a text of another form is no version."""
    version = version_of(path)
    for one in (version, version.content()):
        assert FileVersion.from_text(one.to_text()) == one
    assert FileVersion.from_text("2:new:form") is None
    assert FileVersion.from_text("") is None


def test_another_machine_compares_what_it_can(path: Path) -> None:
    """Inodes count on one machine only, and dates within two seconds: network disks and FAT have no better ones."""
    version = version_of(path)
    assert version.mtime_ns is not None
    elsewhere = dataclasses.replace(version, host="other", inode=1, mtime_ns=version.mtime_ns + 1_900_000_000)
    version.require_same(elsewhere, "t.mrc", "since")
    later = dataclasses.replace(elsewhere, mtime_ns=version.mtime_ns + 2_100_000_000)
    with pytest.raises(VolumeError, match="date"):
        version.require_same(later, "t.mrc", "since")


def test_a_restored_file_is_compared_by_its_content(path: Path) -> None:
    """Uploads and score maps keep size and header through a backup, but neither date nor inode."""
    version = version_of(path).content()
    replace_with_copy(path)
    set_date(path)
    version.require_same(version_of(path), "t.mrc", "since")
    append(path)
    with pytest.raises(VolumeError, match="bytes"):
        version.require_same(version_of(path), "t.mrc", "since")
