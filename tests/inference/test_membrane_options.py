"""What a job makes of membranes besides the mask: files, areas, points; the same for any number of processes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from cryomamba.engines.artifacts import EXPORTS, ExportFormat, requested_formats
from cryomamba.engines.registry import Registry
from cryomamba.errors import InvalidRequestError
from cryomamba.models.jobs import SubmitRequest, VolumeSource
from cryomamba.picks import read_csv
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.artifacts import write_artifacts
from cryomamba_inference.engines.membrane import MembraneEngine, MembraneParameters
from cryomamba_inference.executor import InlineExecutor
from cryomamba_inference.local import LocalRunner
from cryomamba_inference.network import engine as network_engine
from cryomamba_inference.runner import Control, Task, run_task

pytestmark = pytest.mark.slow
ALL: dict[str, Any] = {"instances": True, "medial_surface": True, "normals": True, "point_spacing_A": 100.0}
MADE: tuple[ExportFormat, ...] = ("instances", "medial_surface", "normals", "csv")


@pytest.fixture(scope="module")
def tomogram(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few membranes in little noise, voxels of 14 Å."""
    path = tmp_path_factory.mktemp("membranes") / "t.mrc"
    phantom = synthesize(PhantomSpec(shape=(64, 112, 112), voxel_size_A=14.0, seed=12, noise=0.3, crowding=0.0))
    write_volume(path, phantom.density, phantom.voxel_size_A)
    return path


def run(path: Path, output: Path, processes: int, params: dict[str, Any], formats: tuple[ExportFormat, ...]) -> Any:
    request = SubmitRequest(volume=VolumeSource(path=str(path)), engine="membrane", params=params)
    return LocalRunner(processes).run(
        path, request, output=output, on_event=lambda _: None, cancelled=lambda: False, formats=formats
    )


def test_processes_do_not_show_in_what_is_made(tomogram: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process and two write the same files, byte for byte."""
    monkeypatch.setattr(network_engine, "_TILE_NODES", 80)
    written = []
    for processes in (1, 2):
        output = tmp_path / f"{processes}.mrc"
        result = run(tomogram, output, processes, ALL, (*MADE, "star", "tbl"))
        assert result.statistics["picks"]["kind"] == "membranes"
        written.append([path.read_bytes() for path in (output, *result.exports)])
    assert len(written[0]) == 7
    assert written[0] == written[1]


def test_a_job_has_all_of_it(tomogram: Path, tmp_path: Path, recorder: Any) -> None:
    """Artifacts are described, tables have the areas piece by piece, and points lie on the pieces they name."""
    engine = MembraneEngine(MembraneParameters(**ALL))
    with open_volume(tomogram) as volume:
        outcome = run_task(Task(engine, volume), tmp_path, InlineExecutor(), Control(), recorder)
    artifacts = write_artifacts(outcome, engine, volume_name="t.mrc", formats=(), check=lambda: None)
    names = {artifact.name: artifact for artifact in artifacts}
    made = ["instances.mrc", "medial_surface.mrc", "normals.nrrd"]
    assert set(names) == {"mask.mrc", *made, "picks.csv", "picks.star", "picks.tbl", "stats.json", "stats.csv"}
    assert all("/" in artifact.media_type and artifact.size_bytes for artifact in artifacts)
    facts = json.loads((tmp_path / "stats.json").read_text())
    areas = [piece["medial_surface_nm2"] for piece in facts["instances"]]
    assert facts["labels"][0]["medial_surface_nm2"] == pytest.approx(sum(areas))
    assert facts["medial_surface_method"]
    # A membrane has the area of its volume by its thickness, which is between 3 and 8 nm.
    assert 3 < facts["labels"][0]["volume_nm3"] / sum(areas) < 8
    with (tmp_path / "stats.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "instance"]
    assert [float(row["medial_surface_nm2"]) for row in rows] == pytest.approx(areas, rel=1e-4)
    instances = mrcfile.read(tmp_path / "instances.mrc")
    assert instances.max() == facts["instance_count"]
    picks = read_csv(tmp_path / "picks.csv")
    nearest = tuple(np.round(picks.positions).astype(int).T)
    assert np.mean(instances[nearest] == picks.labels) > 0.99
    assert facts["picks"] == {"kind": "membranes", "points": len(picks), "objects": len(np.unique(picks.labels))}


def test_nothing_is_made_unasked(tomogram: Path, tmp_path: Path) -> None:
    """Without the parameters there is the mask alone, and asking for a file that is not made is refused first."""
    result = run(tomogram, tmp_path / "m.mrc", 1, {}, ())
    assert result.statistics["labels"][0]["medial_surface_nm2"] is None
    assert result.statistics["picks"] is None
    assert [path.name for path in tmp_path.iterdir()] == ["m.mrc"]
    for formats in (("csv",), ("medial_surface",), ("instances",), ("normals",)):
        with pytest.raises(InvalidRequestError, match="membrane"):
            run(tomogram, tmp_path / "n.mrc", 1, {}, formats)


def test_parameters_say_which_files_they_make() -> None:
    """From the schema alone a client knows what a job will have; the engine's own parameters come first in it."""
    (info,) = (info for info in Registry.discover().infos() if info.name == "membrane")
    assert requested_formats(info.parameters, ALL) == MADE
    assert requested_formats(info.parameters, {"instances": False, "point_spacing_A": None, "high": 200}) == ()
    assert all(form in EXPORTS for form in MADE)
    assert next(iter(info.parameters["properties"])) == "contrast"
    assert list(info.parameters["properties"])[-5:] == [
        "instances",
        "medial_surface",
        "normals",
        "point_spacing_A",
        "uncertainty",
    ]
