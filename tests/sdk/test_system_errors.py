"""Errors of the machine are told apart from errors of the file at hand."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from tests.descriptors import few_descriptors

from cryomamba.access.private_files import read_private, write_private
from cryomamba.endpoints import ConnectionFile
from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba.system_errors import system_error, system_errors_translated
from cryomamba.volumes import open_volume, write_volume


@pytest.mark.parametrize(
    ("number", "code", "retryable"),
    [
        (errno.EMFILE, ErrorCode.UNAVAILABLE, True),
        (errno.ENFILE, ErrorCode.UNAVAILABLE, True),
        (errno.ENOSPC, ErrorCode.INSUFFICIENT_STORAGE, True),
        (errno.EDQUOT, ErrorCode.INSUFFICIENT_STORAGE, True),
        (errno.EFBIG, ErrorCode.INSUFFICIENT_STORAGE, True),
        (errno.EROFS, ErrorCode.UNAVAILABLE, False),
        (errno.EIO, ErrorCode.UNAVAILABLE, False),
    ],
)
def test_each_condition_has_its_error(number: int, code: ErrorCode, retryable: bool) -> None:
    """The code and whether another try may help; the message reveals no path."""
    error = system_error(OSError(number, "words of the system", "/secret"))
    assert error is not None
    assert (error.code, error.retryable) == (code, retryable)
    assert "secret" not in str(error)


def test_errors_of_the_file_stay_as_they_are() -> None:
    """A missing file, a refused one and a defect are none of the machine's."""
    for other in (FileNotFoundError(errno.ENOENT, ""), PermissionError(errno.EACCES, ""), ValueError("")):
        assert system_error(other) is None
    with pytest.raises(FileNotFoundError), system_errors_translated():
        Path("/nonexistent/file").read_bytes()


def test_a_short_write_of_numpy_is_a_full_disk(tmp_path: Path) -> None:
    """numpy reports one without an error number."""
    resource = pytest.importorskip("resource")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
    try:
        with pytest.raises(OSError, match=r".") as caught, (tmp_path / "x").open("wb", buffering=0) as file:
            np.zeros(100_000, np.uint8).tofile(file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    error = system_error(caught.value)
    assert error is not None
    assert error.code is ErrorCode.INSUFFICIENT_STORAGE


def test_without_a_free_descriptor_a_good_file_is_not_called_bad(tmp_path: Path) -> None:
    """A volume, a key file and a connection file: reading them may succeed later."""
    volume, key, connection = tmp_path / "v.mrc", tmp_path / "k", tmp_path / "c"
    write_volume(volume, np.ones((4, 4, 4), np.float32), 10.0)
    write_private(key, "secret")
    connection.write_text("{}")
    for read in (lambda: open_volume(volume), lambda: read_private(key), lambda: ConnectionFile.read(connection)):
        with few_descriptors(), pytest.raises(UnavailableError) as caught:
            read()
        assert caught.value.code is ErrorCode.UNAVAILABLE
        assert caught.value.retryable
        assert "Too many files" in caught.value.message
    open_volume(volume).close()
    assert read_private(key) == "secret"
