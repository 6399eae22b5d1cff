"""Picking engines over several processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cryomamba.engines.api import Engine
from cryomamba.models.jobs import SubmitRequest, VolumeSource
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.volumes import write_volume
from cryomamba_inference.engines.filaments import FilamentsEngine
from cryomamba_inference.engines.particles import ParticlesEngine
from cryomamba_inference.local import LocalRunner

SHAPE = (64, 128, 128)
QUIET: dict[str, Any] = {"vesicles": 0, "sheets": 0, "fiducials": 0, "crowding": 0.0, "noise": 1.0, "lamella": 1.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "diameter_A", "spec"),
    [(ParticlesEngine, 150.0, {"particles": 20}), (FilamentsEngine, 250.0, {"filaments": 3})],
    ids=["particles", "filaments"],
)
def test_processes_do_not_show_in_mask_and_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: type[Engine[Any]], diameter_A: float, spec: dict[str, int]
) -> None:
    """One process and two write the same mask and the same table, byte for byte."""
    monkeypatch.setattr(engine, "tile_bytes", 500_000)
    made = synthesize(PhantomSpec(**{"shape": SHAPE, "voxel_size_A": 14.0, "seed": 5, **QUIET, **spec}))
    source = tmp_path / "t.mrc"
    write_volume(source, made.density, made.voxel_size_A)
    request = SubmitRequest(
        volume=VolumeSource(path=str(source)), engine=engine.name, params={"diameter_A": diameter_A}
    )
    written = []
    for processes in (1, 2):
        output = tmp_path / f"{processes}.mrc"
        result = LocalRunner(processes).run(
            source, request, output=output, on_event=lambda _: None, cancelled=lambda: False, formats=("csv",)
        )
        assert result.statistics["picks"]["points"] > 3
        written.append((output.read_bytes()[1024:], output.with_suffix(".csv").read_bytes()))
    assert written[0] == written[1]
