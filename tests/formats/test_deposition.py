"""A folder for the CryoET Data Portal: against its metadata schema 2.0, and read as copick reads the portal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import mrcfile
import numpy as np
import pytest
import zarr
from tests.formats.conftest import OtherProgram
from typer.testing import CliRunner, Result

from cryomamba.picks import Picks, TomogramInfo, write_csv
from cryomamba.volumes import MaskWriter, blank_header
from cryomamba_cli.app import app

Cli = Callable[..., Result]
SHAPE = (6, 20, 24)
FRAME = TomogramInfo(SHAPE, (10.0, 10.0, 10.0), "TS_1")
TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
DATE = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}


def closed(required: str, optional: str = "", **fields: Any) -> dict[str, Any]:
    """Return the schema of an object with these fields alone; those that are not described are texts."""
    names = [*required.split(), *optional.split()]
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": {name: fields.get(name, TEXT) for name in names},
    }


# What the portal's schema says of AnnotationMetadata, in our own words.
METADATA = closed(
    "deposition_id last_updated_at annotation_method annotation_object method_type dates authors",
    "alignment_metadata_path annotation_publications annotation_software confidence files ground_truth_status"
    " is_curator_recommended method_links object_count version",
    deposition_id={"type": "integer"},
    last_updated_at={"type": "number"},
    annotation_object=closed("id name", "description state", id={"pattern": "^(GO:[0-9]{7}|UniProtKB:[A-Z0-9]+)$"}),
    method_type={"enum": ["manual", "automated", "hybrid", "simulated"]},
    dates=closed("deposition_date release_date last_modified_date", deposition_date=DATE, release_date=DATE),
    authors={
        "type": "array",
        "minItems": 1,
        "items": closed(
            "name",
            "ORCID email affiliation_name affiliation_address affiliation_identifier corresponding_author_status"
            " primary_author_status",
            ORCID={"pattern": r"^[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9X]$"},
            corresponding_author_status={"type": "boolean"},
            primary_author_status={"type": "boolean"},
        ),
    },
    files={
        "type": "array",
        "items": closed(
            "format path shape is_visualization_default",
            format={"enum": ["mrc", "zarr", "ndjson", "glb"]},
            shape={"enum": ["SegmentationMask", "OrientedPoint", "Point", "InstanceSegmentation"]},
            is_visualization_default={"type": "boolean"},
        ),
    },
    method_links={
        "type": "array",
        "items": closed(
            "link link_type",
            "custom_name",
            link_type={"enum": ["documentation", "models_weights", "other", "source_code", "website"]},
        ),
    },
    ground_truth_status={"type": "boolean"},
    object_count={"type": "integer"},
    version={"type": "number", "minimum": 0},
)
ABOUT = """
deposition_id = 10301
deposition_date = 2026-12-01
release_date = 2027-03-01
last_modified_date = 2026-12-01
method_type = "hybrid"
publications = "doi:10.1101/2024.01.05.574336"
[[authors]]
name = "Ann Example"
ORCID = "0000-0002-1825-0097"
corresponding_author_status = true
primary_author_status = true
[[links]]
link = "https://example.org/code"
link_type = "source_code"
[objects.membrane]
id = "GO:0016020"
[objects.ribosome]
id = "GO:0022626"
name = "cytosolic ribosome"
state = "translating"
[objects.points]
id = "GO:0016020"
[objects.actin]
id = "GO:0005884"
"""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command in a folder with a mask of two membranes and tables of picks."""
    monkeypatch.setenv("CRYOMAMBA_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "about.toml").write_text(ABOUT)
    with MaskWriter(tmp_path / "TS_1__membrane.mrc", blank_header(SHAPE, 10.0), labels=1, engine="membrane") as writer:
        writer.write(0, 0, 0, labels())
    places = np.array([[1.0, 2.5, 3.0], [1.0, 2.5, 8.0], [2.0, 15.0, 20.0]])
    normals = np.array([[0.0, 0.6, 0.8], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    numbers = np.array([1, 1, 2])
    write_csv(Picks(places, np.ones(3), numbers), tmp_path / "TS_1__ribosome.csv", FRAME)
    write_csv(Picks(places, np.ones(3), numbers, "membranes", normals), tmp_path / "TS_1__points.csv", FRAME)
    write_csv(Picks(places, np.ones(3), numbers, "filaments"), tmp_path / "TS_1__actin.csv", FRAME)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def labels() -> np.ndarray:
    return np.random.default_rng(6).integers(0, 2, SHAPE).astype(np.uint8)


def test_all_kinds_of_results(cli: Cli, tmp_path: Path, other_program: OtherProgram) -> None:
    """Each annotation has metadata by the portal's schema, and files that exist and hold what they should."""
    tables = [f"TS_1__{name}.csv" for name in ("ribosome", "points", "actin")]
    arguments = ("-o", "deposition", "--about", "about.toml", "--tomogram", "TS_1__membrane.mrc", "--json")
    done = cli("deposit", "TS_1__membrane.mrc", *tables, *arguments)
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed["missing"] == []
    folder = tmp_path / "deposition"
    described = {}
    for path in printed["files"]:
        metadata = json.loads((tmp_path / path).read_text())
        jsonschema.validate(metadata, METADATA)
        described[metadata["annotation_object"]["name"]] = metadata
        for file in metadata["files"]:
            assert (folder / file["path"]).exists()
            assert file["path"].startswith("TS_1/Reconstructions/VoxelSpacing10.000/Annotations/10")
    assert {name: one["files"][0]["shape"] for name, one in described.items()} == {
        "membrane": "SegmentationMask",
        "cytosolic ribosome": "Point",
        "points": "OrientedPoint",
        "actin": "InstanceSegmentation",
    }
    assert described["actin"]["object_count"] == 2
    assert described["cytosolic ribosome"]["annotation_object"]["state"] == "translating"
    assert "membrane" in described["membrane"]["annotation_method"]
    assert described["membrane"]["annotation_software"].startswith("CryoMamba ")

    mrc, store = (folder / file["path"] for file in described["membrane"]["files"])
    with mrcfile.open(mrc) as file:
        assert np.array_equal(file.data, labels())
        assert float(file.voxel_size.x) == 10
    group = zarr.open_group(store, mode="r")
    multiscales: Any = group.attrs["multiscales"]
    array: Any = group["0"]
    assert multiscales[0]["version"] == "0.4"
    assert np.array_equal(array[:], labels())

    points = folder / described["points"]["files"][0]["path"]
    found = other_program("read_portal_points.py", points, 10.0)
    assert found["positions"] == [[30, 25, 10], [80, 25, 10], [200, 150, 20]]
    assert np.allclose(found["z_axes"], np.array([[0.8, 0.6, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]), atol=1e-5)
    lines = (folder / described["actin"]["files"][0]["path"]).read_text().splitlines()
    assert [json.loads(line)["instance_id"] for line in lines] == [1, 1, 2]
    assert {json.loads(line)["type"] for line in lines} == {"instancePoint"}


def test_what_is_missing_is_named(cli: Cli, tmp_path: Path) -> None:
    """Without a file about the deposition, everything is written, and each gap is listed."""
    done = cli("deposit", "TS_1__membrane.mrc", "-o", "deposition")
    assert done.exit_code == 0, done.output
    for gap in ("deposition_id", "authors", "release_date", "objects.membrane.id"):
        assert gap in done.output
    again = cli("deposit", "TS_1__membrane.mrc", "-o", "deposition")
    assert again.exit_code == 6
    assert cli("deposit", "TS_1__membrane.mrc", "-o", "deposition", "--force").exit_code == 0
    assert len(list((tmp_path / "deposition").rglob("*.json"))) == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("deposition_id = 'x'", "deposition_id"),
        ("nonsense = 1", "nonsense: there is no such field"),
        ("[objects.membrane]\nid = 'GO:16020'", "objects.membrane.id"),
        ("[[authors]]\nname = 'A'\nORCID = '1825'", "authors.0.ORCID"),
        ("version = ", "not TOML"),
    ],
)
def test_a_wrong_field_is_named(cli: Cli, tmp_path: Path, line: str, says: str) -> None:
    """The message has the file and the field; nothing is written."""
    (tmp_path / "about.toml").write_text(line)
    done = cli("deposit", "TS_1__membrane.mrc", "-o", "deposition", "--about", "about.toml")
    assert done.exit_code != 0
    assert says in " ".join(done.output.split())
    assert not (tmp_path / "deposition").exists()


def test_parameters_of_a_batch_are_in_the_method(cli: Cli, tmp_path: Path) -> None:
    """The record beside a mask says with which parameters it was made."""
    recipe = {"engine": "membrane", "parameters": {"contrast": "dark", "high": 170}}
    (tmp_path / "TS_1__membrane.mrc.json").write_text(json.dumps({"recipe": recipe}))
    done = cli("deposit", "TS_1__membrane.mrc", "-o", "deposition", "--about", "about.toml", "--json")
    metadata = json.loads(Path(tmp_path, json.loads(done.stdout)["files"][0]).read_text())
    assert metadata["annotation_method"] == "membrane (contrast=dark, high=170)"
