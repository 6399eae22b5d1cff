"""`cryomamba models convert` writes a model and says what it is; a refusal is a sentence with what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.models.networks import nnunet_folder
from typer.testing import CliRunner

from cryomamba_cli.app import app


def test_a_results_folder_is_converted(tmp_path: Path) -> None:
    """The command prints where the model is and what it deviates by, as text or JSON."""
    source = nnunet_folder(tmp_path / "source")
    found = CliRunner().invoke(app, ["models", "convert", str(source), "-o", str(tmp_path / "net")])
    assert found.exit_code == 0, found.output
    assert "labels 1 membrane, 2 ribosome" in found.stdout
    assert "model.toml" in found.stderr
    again = CliRunner().invoke(
        app,
        ["models", "convert", str(source), "-o", str(tmp_path / "b"), "--json", "--title", "Lab", "--voxel-size", "9"],
    )
    facts = json.loads(again.stdout)
    assert facts["title"] == "Lab"
    assert facts["voxel_size_A"] == [9.0, 9.0, 9.0]
    assert facts["deviation"] < 1e-4


@pytest.mark.parametrize("arguments", [["--window", "no"], ["--voxel-size", "-1"], ["--label", "a"]])
def test_a_wrong_option_is_refused(arguments: list[str], tmp_path: Path) -> None:
    """A value that does not fit ends with an error and a hint, and writes nothing."""
    source = nnunet_folder(tmp_path / "source")
    found = CliRunner().invoke(app, ["models", "convert", str(source), "-o", str(tmp_path / "net"), *arguments])
    assert found.exit_code != 0
    assert "hint:" in found.stderr
    assert not (tmp_path / "net").exists()
