"""Engines over several processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryomamba.models.jobs import SubmitRequest, VolumeSource
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.engines.filaments import FilamentsEngine
from cryomamba_inference.local import LocalRunner
from cryomamba_inference.network import engine as network_engine

LOWEST: dict[str, dict[str, Any]] = {
    "membrane": {"min_volume_nm3": 0},
    "particles": {"threshold": 1},
    "filaments": {"high": 1, "low": 1, "min_length_A": 0},
}


@pytest.fixture(scope="module")
def tomogram(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bit of everything, voxels of 14 Å."""
    path = tmp_path_factory.mktemp("processes") / "t.mrc"
    spec = PhantomSpec(shape=(32, 112, 112), voxel_size_A=14.0, seed=5, noise=0.3, particles=6, filaments=2)
    write_volume(path, synthesize(spec).density, 14.0)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", list(LOWEST))
def test_processes_do_not_show(tomogram: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """One process and two write the same mask, the same scores and the same table, byte for byte."""
    monkeypatch.setattr(network_engine, "_TILE_NODES", 80)
    monkeypatch.setattr(FilamentsEngine, "tile_bytes", 500_000)
    request = SubmitRequest(
        volume=VolumeSource(path=str(tomogram)), engine=name, params={"contrast": "dark", **LOWEST[name]}
    )
    written = []
    for processes in (1, 2):
        output = tmp_path / f"{processes}.mrc"
        result = LocalRunner(processes).run(
            tomogram,
            request,
            output=output,
            on_event=lambda _: None,
            cancelled=lambda: False,
            formats=("scores",) if name == "membrane" else ("scores", "csv"),
        )
        written.append([path.read_bytes()[1024 * (path.suffix == ".mrc") :] for path in (output, *result.exports)])
    assert len(written[0]) >= 2
    assert written[0] == written[1]
    with open_volume(tmp_path / "1_scores.mrc") as scores:
        z, y, x = (slice(0, size) for size in scores.shape)
        assert np.unique(scores.read(z, y, x)).size > 2
