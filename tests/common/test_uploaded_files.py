"""Finished uploads in a data directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryomamba.errors import NotFoundError
from cryomamba_server.uploaded_files import read_record, remove_upload, uploaded_volume

FILE_ID = "0b9f5c1e-0b9f-4c1e-8b9f-5c1e0b9f5c1e"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of an upload."""
    folder = tmp_path / "files" / FILE_ID
    folder.mkdir(parents=True)
    (folder / "volume.mrc").write_bytes(b"voxels")
    return folder


def test_a_volume_is_found_by_its_file_id(folder: Path, tmp_path: Path) -> None:
    """An id gives the path of the volume."""
    assert uploaded_volume(tmp_path, FILE_ID) == folder / "volume.mrc"


@pytest.mark.parametrize("file_id", ["", "..", "../files", "ffffffff-ffff-4fff-8fff-ffffffffffff", "x" * 10_000])
def test_other_texts_are_not_found(folder: Path, tmp_path: Path, file_id: str) -> None:
    """An unknown id and a path are not found, and the error does not repeat a long text."""
    with pytest.raises(NotFoundError) as caught:
        uploaded_volume(tmp_path, file_id)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("content", [None, "", "{}", "not JSON"])
def test_a_folder_without_a_valid_record_has_none(folder: Path, content: str | None) -> None:
    """A missing or damaged record is no error."""
    if content is not None:
        (folder / "file.json").write_text(content)
    assert read_record(folder) is None


def test_an_upload_is_removed_once(folder: Path) -> None:
    """Nothing is left of it, and a second removal is an error."""
    remove_upload(folder)
    assert list(folder.parent.iterdir()) == []
    with pytest.raises(NotFoundError):
        remove_upload(folder)
