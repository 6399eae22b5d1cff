"""``info``: header and statistics of a volume."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from typer.testing import Result

from cryomamba.volumes import open_volume

Cli = Callable[..., Result]


def test_info_shows_header_and_statistics(cli: Cli, tomogram: Path) -> None:
    """Shape, voxel size and statistics match the voxels, as text and as JSON."""
    with open_volume(tomogram) as volume:
        voxels = volume.read(slice(None), slice(None), slice(None)).astype(np.float64)
    fields = json.loads(cli("info", tomogram, "--json").stdout)
    assert fields["shape"] == [24, 24, 24]
    assert fields["voxel_size_A"] == [10, 10, 10]
    assert fields["statistics"]["mean"] == pytest.approx(voxels.mean(), rel=1e-6)
    assert fields["statistics"]["std"] == pytest.approx(voxels.std(), rel=1e-6)
    text = cli("info", tomogram).stdout
    assert "24 × 24 × 24 voxels" in text
    assert f"{voxels.min():.6g}" in text


def test_info_warns_of_a_missing_voxel_size(cli: Cli, tmp_path: Path) -> None:
    """There is a warning unless a voxel size is given."""
    with mrcfile.new(tmp_path / "bare.mrc", np.zeros((8, 8, 8), np.float32)) as file:
        file.header.cella = (0, 0, 0)
    bare = cli("info", "bare.mrc", "--no-statistics")
    assert "warning:" in bare.stdout
    assert "minimum" not in bare.stdout
    fields = json.loads(cli("info", "bare.mrc", "--voxel-size", "4,2,2", "--json").stdout)
    assert fields["voxel_size_A"] == [4, 2, 2]


def test_info_of_an_unusable_file_ends_with_5(cli: Cli, tmp_path: Path) -> None:
    """A missing file and another kind of file are errors of the volume, with a hint."""
    (tmp_path / "letter.mrc").write_text("Dear colleague, " * 200)
    for name in ("missing.mrc", "letter.mrc"):
        done = cli("info", name)
        assert done.exit_code == 5
        assert done.stdout == ""
        assert "hint:" in done.stderr
