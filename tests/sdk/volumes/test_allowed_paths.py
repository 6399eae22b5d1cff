from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryomamba.errors import CryoMambaError, ErrorCode, InvalidRequestError, VolumeError
from cryomamba.volumes import inspect, open_volume, resolve_below, verify_opened, write_volume


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "sub").mkdir(parents=True)
    (tmp_path / "root" / "sub" / "a.mrc").write_text("inside")
    (tmp_path / "rootless").mkdir()
    (tmp_path / "rootless" / "a.mrc").write_text("outside")
    (tmp_path / "secret.mrc").write_text("outside")
    return tmp_path / "root"


def test_files_below_a_root_are_found_absolute_and_relative(root: Path, tmp_path: Path) -> None:
    """A path in any allowed directory resolves to the real file."""
    real = (root / "sub" / "a.mrc").resolve()
    other = tmp_path / "other"
    for path in ("sub/a.mrc", "sub/../sub/a.mrc", real, str(root / "sub" / "a.mrc")):
        assert resolve_below(path, [other, root]) == real


def test_a_root_that_is_a_link_counts_as_what_it_points_to(root: Path, tmp_path: Path) -> None:
    """An allowed directory may be a link; its files are allowed by either name."""
    link = tmp_path / "link"
    link.symlink_to(root)
    real = (root / "sub" / "a.mrc").resolve()
    assert resolve_below(link / "sub" / "a.mrc", [link]) == resolve_below(real, [link]) == real


@pytest.mark.parametrize(
    "path",
    ["../secret.mrc", "sub/../../secret.mrc", "/etc/passwd", "", "a\0b", "../rootless/a.mrc", "../nowhere.mrc", ".."],
)
def test_paths_out_of_the_roots_are_refused(root: Path, path: str) -> None:
    """Traversal, absolute paths and a sibling with the same prefix are forbidden, existing or not."""
    with pytest.raises(InvalidRequestError) as caught:
        resolve_below(path, [root])
    assert caught.value.code == ErrorCode.PATH_FORBIDDEN
    assert str(root) not in str(caught.value)


def test_links_out_of_the_roots_are_refused(root: Path, tmp_path: Path) -> None:
    """A link to a file or folder outside is forbidden."""
    (root / "file.mrc").symlink_to(tmp_path / "secret.mrc")
    (root / "folder").symlink_to(tmp_path / "rootless")
    for path in ("file.mrc", "folder/a.mrc"):
        with pytest.raises(InvalidRequestError) as caught:
            resolve_below(path, [root])
        assert caught.value.code == ErrorCode.PATH_FORBIDDEN


def test_missing_files_and_loops_below_a_root_are_not_found(root: Path) -> None:
    """In an allowed directory, a missing file and a folder are named as such."""
    (root / "loop").symlink_to(root / "loop")
    codes = {"gone.mrc": ErrorCode.VOLUME_NOT_FOUND, "x" * 5000: ErrorCode.VOLUME_NOT_FOUND}
    codes |= {"sub": ErrorCode.VOLUME_UNREADABLE}
    for path, code in codes.items():
        with pytest.raises(VolumeError) as caught:
            resolve_below(path, [root])
        assert caught.value.code == code
    with pytest.raises(VolumeError):
        resolve_below("loop", [root])


def test_closed_folders_are_closed_below_a_root_too(root: Path, tmp_path: Path) -> None:
    """The server's own files are not read by path, directly or by a link, nor if they become closed later."""
    own = root / "own"
    own.mkdir()
    (own / "secret.mrc").write_bytes(b"x")
    (root / "link.mrc").symlink_to(own / "secret.mrc")
    for name in (own / "secret.mrc", "own/secret.mrc", "link.mrc", "own/../own/secret.mrc"):
        assert resolve_below(name, [root]).name == "secret.mrc"
        with pytest.raises(InvalidRequestError) as caught:
            resolve_below(name, [root], closed=[own])
        assert caught.value.code is ErrorCode.PATH_FORBIDDEN


@pytest.mark.parametrize("read", [inspect, open_volume])
def test_a_link_put_in_place_is_noticed_before_a_byte_is_read(
    root: Path, tmp_path: Path, read: Callable[..., Any]
) -> None:
    """Between the check of the path and the opening another file may come; its header is not looked at."""
    secret = tmp_path / "secret.mrc"
    write_volume(secret, np.zeros((2, 3, 4), np.float32), 10.0)
    path = root / "mine.mrc"
    write_volume(path, np.zeros((2, 3, 4), np.float32), 10.0)
    real = resolve_below(path, [root])
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(InvalidRequestError) as caught:
        read(real, check=lambda opened: verify_opened(opened, real, [root]))
    assert caught.value.code is ErrorCode.PATH_FORBIDDEN


def test_without_roots_nothing_may_be_read(root: Path) -> None:
    """An empty list of roots allows nothing."""
    with pytest.raises(InvalidRequestError):
        resolve_below(root / "sub" / "a.mrc", [])


def test_a_file_swapped_after_resolving_is_noticed(root: Path, tmp_path: Path) -> None:
    """The opened file must be the resolved one and still allowed."""
    path = resolve_below("sub/a.mrc", [root])
    with path.open() as file:
        verify_opened(file.fileno(), path, [root])
        path.unlink()
        path.symlink_to(tmp_path / "secret.mrc")
        with pytest.raises(InvalidRequestError):
            verify_opened(file.fileno(), path, [root])
    with path.open() as file:
        path.unlink()
        path.write_text("another")
        with pytest.raises(InvalidRequestError):
            verify_opened(file.fileno(), path, [root])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from("./\\~ab\0\ud800\u00e5:%"), max_size=30))
def test_no_text_leads_out_of_a_root(root: Path, text: str) -> None:
    """Any text gives an allowed file or a typed error."""
    try:
        assert resolve_below(text, [root]).is_relative_to(root.resolve())
    except CryoMambaError as error:
        assert error.hint
