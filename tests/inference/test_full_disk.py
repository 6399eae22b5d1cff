"""Engines on a full or read-only disk: the error says so, nothing is left, and no destructor prints a traceback.

A limit on the size of files stands for the full disk; the system reports it for each of them like one.
"""

from __future__ import annotations

import errno
import gc
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba.models.jobs import SubmitRequest
from cryomamba.volumes import write_volume
from cryomamba_inference.failures import as_error
from cryomamba_inference.local import LocalRunner
from cryomamba_inference.volume_preparation.node_map import NodeMap

SHAPE = (24, 32, 40)


@contextmanager
def files_of_at_most(nbytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
@pytest.mark.parametrize("nbytes", [0, 500, 20_000])
@pytest.mark.parametrize("engine", ["demo", "threshold", "membrane", "particles", "filaments"])
def test_each_engine_says_that_the_disk_is_full(tmp_path: Path, engine: str, nbytes: int) -> None:
    """Whichever file is the first that does not fit; unraisable exceptions would fail the test."""
    density = np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)
    write_volume(tmp_path / "t.mrc", density, 12.0)
    out = tmp_path / "out"
    out.mkdir()
    volume = {"shape": SHAPE} if engine == "demo" else {"path": "t.mrc"}
    request = SubmitRequest.model_validate({"engine": engine, "volume": volume})
    with files_of_at_most(nbytes), pytest.raises(UnavailableError) as caught:
        LocalRunner(processes=1).run(
            None if engine == "demo" else tmp_path / "t.mrc",
            request,
            output=out / "mask.mrc",
            on_event=lambda _: None,
            cancelled=lambda: False,
            formats=() if engine == "demo" else ("nifti", "nrrd"),
        )
    assert caught.value.code is ErrorCode.INSUFFICIENT_STORAGE
    assert list(out.iterdir()) == []
    gc.collect()


def test_a_node_map_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    """Neither a file nor a traceback from the destructor of the map that was not made."""
    with files_of_at_most(1000), pytest.raises(OSError, match=r".") as caught:
        NodeMap((100, 100), tmp_path)
    assert as_error(caught.value).code is ErrorCode.INSUFFICIENT_STORAGE
    del caught
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EROFS, "read-only"), (errno.EIO, "failed to read or write"), (errno.EMFILE, "Too many files")],
)
def test_other_conditions_of_the_machine_are_no_defect_of_the_engine(number: int, words: str) -> None:
    """An engine that meets a read-only or failing disk, or has no free descriptor, has not failed itself."""
    error = as_error(OSError(number, "words of the system", "/secret"))
    assert isinstance(error, UnavailableError)
    assert words in error.message
    assert "secret" not in str(error)
