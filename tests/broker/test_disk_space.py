"""How much of a disk a job is reserved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cryomamba.engines.info import EngineInfo
from cryomamba.engines.scratch import ScratchGrid
from cryomamba.errors import ErrorCode, UnavailableError
from cryomamba.models.jobs import VolumeSummary
from cryomamba_broker.disk_space import DiskSpace, job_nbytes


def engine(**fields: Any) -> EngineInfo:
    parameters = {"properties": {"d_A": {"default": 50.0}, "pieces": {"produces": "instances"}}}
    return EngineInfo(name="e", summary="s", parameters=parameters, **fields)


def volume(voxel_A: float = 10.0) -> VolumeSummary:
    return VolumeSummary(name="v", shape=(10, 20, 30), voxel_size_A=(voxel_A,) * 3)


def test_a_job_needs_space_for_its_mask_and_requested_outputs() -> None:
    """Bytes per voxel are those of the engine, and two more for a volume of instance labels."""
    assert job_nbytes(volume(), engine(disk_per_voxel=5), {}) == 6000 * 5
    assert job_nbytes(volume(), engine(disk_per_voxel=5), {"pieces": True}) == 6000 * 7


def test_nodes_are_counted_by_their_distance() -> None:
    """A grid of nodes has more of them, for each voxel, the coarser the volume is, but never more than voxels."""
    info = engine(scratch=ScratchGrid(bytes_per_node=9, step=30.0))
    assert job_nbytes(volume(10), info, {}) == 6000 + 9 * 4 * 8 * 11
    assert job_nbytes(volume(30), info, {}) == job_nbytes(volume(50), info, {}) == 6000 + 9 * 6000


def test_nodes_follow_a_parameter() -> None:
    """A grid whose distance is a share of a length follows the parameter's value, or its default."""
    info = engine(scratch=ScratchGrid(bytes_per_node=8, step=0.6, parameter="d_A"))
    assert job_nbytes(volume(), info, {}) == 6000 + 8 * 4 * 8 * 11
    assert job_nbytes(volume(), info, {"d_A": 5.0}) == 6000 + 8 * 6000


def test_reserved_space_is_not_free() -> None:
    """A job may use what is free beyond the reserve and what other jobs may still write."""
    DiskSpace(free=100, reserve=10).require(90)
    DiskSpace(free=100, reserve=10, written=30).require(60, reserved=60)
    DiskSpace(free=100, reserve=10, written=99).require(90, reserved=60)
    with pytest.raises(UnavailableError) as refused:
        DiskSpace(free=100, reserve=10, written=30).require(61, reserved=60)
    assert refused.value.code is ErrorCode.INSUFFICIENT_STORAGE
    assert refused.value.details == {"free_bytes": 100, "needed_bytes": 71, "promised_bytes": 30}
    assert "Wait" in (refused.value.hint or "")
    with pytest.raises(UnavailableError) as full:
        DiskSpace(free=100, reserve=10).require(91)
    assert "Wait" not in (full.value.hint or "")


def test_files_in_the_work_folder_count_as_written(tmp_path: Path) -> None:
    """Their disk space is measured; a work folder that does not exist is empty."""
    work = tmp_path / "work"
    assert DiskSpace.measure(tmp_path, 1, work).written == 0
    (work / "job").mkdir(parents=True)
    (work / "job" / "mask").write_bytes(b"x" * 100_000)
    assert DiskSpace.measure(tmp_path, 1, work).written >= 100_000
    assert DiskSpace.measure(tmp_path, 1).free > 0
