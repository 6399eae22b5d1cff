"""Masks, tomograms and picks in copick projects: CryoMamba on one side, copick itself on the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from tests.formats.conftest import OtherProgram
from typer.testing import CliRunner, Result

from cryomamba.picks import Picks, TomogramInfo, read_csv, write_csv
from cryomamba.volumes import MaskWriter, blank_header, write_volume
from cryomamba_cli.app import app

Cli = Callable[..., Result]
SHAPE = (6, 70, 72)
SIZE_A = 12.0
CUBE = (SIZE_A, SIZE_A, SIZE_A)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command in an empty folder."""
    monkeypatch.setenv("CRYOMAMBA_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def labels() -> np.ndarray:
    """Two labels with an empty background."""
    return np.random.default_rng(1).integers(0, 3, SHAPE).astype(np.uint8)


@pytest.fixture
def mask(tmp_path: Path, labels: np.ndarray) -> Path:
    """The labels as a mask of TS_1."""
    path = tmp_path / "TS_1__membrane.mrc"
    with MaskWriter(path, blank_header(SHAPE, SIZE_A), labels=2, engine="x") as writer:
        writer.write(0, 0, 0, labels)
    return path


def succeeded(done: Result) -> Result:
    assert done.exit_code == 0, done.output
    return done


def test_masks_and_tomograms_for_copick(
    cli: Cli, mask: Path, labels: np.ndarray, tmp_path: Path, other_program: OtherProgram
) -> None:
    """copick finds tomogram and masks with their voxels, size, user and session, and an object for each."""
    values = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32)
    write_volume(tmp_path / "TS_1.mrc", values, SIZE_A)
    succeeded(cli("export", "TS_1.mrc", "--copick", "project", "--tomo-type", "denoised"))
    succeeded(cli("export", mask, "--copick", "project"))
    succeeded(cli("export", mask, "--copick", "project", "--label", "2", "--object", "er_sheet:ann/7"))
    succeeded(cli("export", mask, "--copick", "project", "--instances", "--object", "vesicle"))
    found = other_program("read_copick.py", tmp_path / "project" / "copick_config.json")
    assert {name: one[0] for name, one in found["objects"].items()} == dict.fromkeys(
        ("membrane-1", "membrane-2", "er-sheet", "vesicle"), False
    )
    assert len({one[1] for one in found["objects"].values()}) == 4
    run = found["runs"]["TS_1"]
    assert np.array_equal(np.array(run["tomograms"]["denoised@12.0"]["values"], np.float32), values)
    by_name = {(one["name"], one["user"], one["session"]): one for one in run["segmentations"]}
    expected = {
        ("membrane-1", "cryomamba", "0"): labels == 1,
        ("membrane-2", "cryomamba", "0"): labels == 2,
        ("er-sheet", "ann", "7"): labels == 2,
        ("vesicle", "cryomamba", "0"): labels,
    }
    assert set(by_name) == set(expected)
    for key, one in by_name.items():
        assert np.array_equal(one["labels"], expected[key])
        assert one["size"] == SIZE_A
        assert one["instance"] == (key[0] == "vesicle")


def test_picks_for_copick(cli: Cli, tmp_path: Path, other_program: OtherProgram) -> None:
    """Positions are ångström; filaments and membranes have instance numbers and a z axis along line or normal."""
    frame = TomogramInfo(SHAPE, CUBE, "TS_1")
    write_volume(tmp_path / "TS_1.mrc", np.zeros(SHAPE, np.float32), SIZE_A)
    positions = np.array([[1.0, 2.5, 3.0], [1.0, 2.5, 8.0], [2.0, 30.0, 40.0], [5.0, 30.0, 40.0]])
    scores, lines = np.array([200.0, 10.0, 5.5, 0.0]), np.array([1, 1, 2, 2])
    normals = np.array([[0.0, 0.6, 0.8], [1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    tables = {
        "ribosome": Picks(positions, scores, np.ones(4, np.int64)),
        "actin": Picks(positions, scores, lines, "filaments"),
        "membrane": Picks(positions, scores, lines, "membranes", normals),
    }
    for name, picks in tables.items():
        write_csv(picks, tmp_path / f"TS_1__{name}.csv", frame)
        succeeded(cli("export", f"TS_1__{name}.csv", "--tomogram", "TS_1.mrc", "--copick", "c.json"))
    found = other_program("read_copick.py", tmp_path / "c.json")
    assert found["objects"]["actin"][::2] == [True, True]
    assert found["objects"]["ribosome"][::2] == [True, False]
    by_name = {one["name"]: one for one in found["runs"]["TS_1"]["picks"]}
    for one in by_name.values():
        assert np.allclose(one["positions"], positions[:, ::-1] * SIZE_A, atol=1e-3)
        assert one["scores"] == [200.0, 10.0, 5.5, 0.0]
    assert by_name["ribosome"]["ids"] == [0, 0, 0, 0]
    assert not by_name["ribosome"]["trust"]
    assert by_name["actin"]["ids"] == by_name["membrane"]["ids"] == [1, 1, 2, 2]
    assert np.allclose(by_name["actin"]["z_axes"], [[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]], atol=1e-5)
    assert np.allclose(by_name["membrane"]["z_axes"], normals[:, ::-1], atol=1e-4)


def test_nothing_of_others_is_overwritten(cli: Cli, mask: Path, tmp_path: Path) -> None:
    """A second export of the same object, user and session needs --force; that of another session leaves it alone."""
    command = ("export", mask, "--copick", "project", "--label", "1", "--object")
    succeeded(cli(*command, "membrane:ann/1"))
    before = {path: path.read_bytes() for path in (tmp_path / "project").rglob("*") if path.is_file()}
    refused = cli(*command, "membrane:ann/1")
    assert refused.exit_code == 6
    assert "--force" in refused.output
    succeeded(cli(*command, "membrane:ann/2"))
    assert all(path.read_bytes() == content for path, content in before.items())
    succeeded(cli(*command, "membrane:ann/1", "--force"))


def test_a_project_of_copick_is_read(cli: Cli, tmp_path: Path, other_program: OtherProgram) -> None:
    """Tomogram, mask and picks that copick wrote become files; a mask is measured, a tomogram segmented."""
    other_program("write_copick.py", tmp_path)
    listed = succeeded(cli("info", "copick:config.json")).stdout
    assert "copick:config.json#TS_1/wbp@10.000" in listed
    succeeded(cli("convert", "copick:config.json#TS_1/wbp@10", "-o", "t.mrc"))
    with mrcfile.open(tmp_path / "t.mrc") as file:
        assert np.array_equal(file.data, np.arange(6 * 70 * 72).reshape(6, 70, 72))
        assert float(file.voxel_size.x) == 10
    measured = json.loads(succeeded(cli("measure", "copick:config.json#TS_1/membrane", "--no-shape", "--json")).stdout)
    assert measured["labels"][0]["voxels"] == 6 * 70 * 72 / 7
    succeeded(cli("export", "copick:config.json#TS_1/membrane:ann/1@10", "-o", "m.nrrd"))
    succeeded(cli("export", "copick:config.json#TS_1/ribosome:ann/1", "-o", "p.csv"))
    picks = read_csv(tmp_path / "p.csv")
    assert np.allclose(picks.positions, [[3, 2, 1], [9, 7, 5]])
    assert picks.scores.tolist() == [0.5, 2.0]
    succeeded(cli("export", "copick:config.json#TS_1/actin:ann/1", "-o", "f.csv"))
    assert read_csv(tmp_path / "f.csv").kind == "filaments"
    succeeded(cli("segment", "copick:config.json#TS_1/wbp", "-e", "threshold", "-p", "contrast=bright"))
    assert (tmp_path / "TS_1__threshold.mrc").is_file()


def test_other_keys_of_a_configuration_stay(cli: Cli, mask: Path, tmp_path: Path, other_program: OtherProgram) -> None:
    """A new object is added to copick's configuration, and everything else in it is kept."""
    other_program("write_copick.py", tmp_path)
    before = json.loads((tmp_path / "config.json").read_text())
    succeeded(cli("export", mask, "--copick", ".", "--label", "1", "--object", "vesicle"))
    after = json.loads((tmp_path / "config.json").read_text())
    assert after["pickable_objects"][:-1] == before["pickable_objects"]
    assert after["pickable_objects"][-1]["label"] == 4
    assert {**after, "pickable_objects": 0} == {**before, "pickable_objects": 0}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("export", "m.mrc", "--copick", "p"), "one voxel size"),
        (("export", "cube.mrc", "--copick", "s3.json"), "not in a local folder"),
        (("export", "cube.mrc", "--copick", "portal.json"), "copick sync"),
        (("export", "cube.mrc", "--copick", "p", "-o", "x.mrc"), "one output"),
        (("export", "cube.mrc", "--copick", "p", "--object", "a-multilabel"), "several objects"),
        (("convert", "copick:none.json#TS_1/wbp", "-o", "x.mrc"), "no copick project"),
        (("convert", "copick:p/copick_config.json#TS_9/wbp", "-o", "x.mrc"), "no run 'TS_9'"),
    ],
)
def test_what_copick_cannot_have_is_refused(cli: Cli, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    """Each refusal says what is wrong."""
    for name, size in (("m.mrc", (20.0, 10.0, 10.0)), ("cube.mrc", CUBE)):
        with MaskWriter(tmp_path / name, blank_header((4, 5, 6), size), labels=1, engine="x") as writer:
            writer.write(0, 0, 0, np.ones((4, 5, 6), np.uint8))
    objects: dict[str, object] = {"pickable_objects": []}
    (tmp_path / "s3.json").write_text(json.dumps({**objects, "overlay_root": "s3://bucket/x"}))
    (tmp_path / "portal.json").write_text(json.dumps({**objects, "config_type": "cryoet_data_portal"}))
    if "TS_9" in "".join(arguments):
        succeeded(cli("export", "cube.mrc", "--copick", "p"))
    refused = cli(*arguments)
    assert refused.exit_code != 0
    assert says in " ".join(refused.output.split())
