"""Half-tomograms and rules of a watched folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from typer.testing import Result

from cryomamba.errors import InvalidRequestError, VolumeError
from cryomamba.volumes import average_volumes, write_volume
from cryomamba_cli.batch.halves import Halves, group_halves, half_of
from cryomamba_cli.batch.rules import Rule, read_rules
from cryomamba_cli.batch.session import FileState

Cli = Callable[..., Result]


@pytest.mark.parametrize(
    ("name", "tomogram", "half"),
    [
        ("g/TS_01_EVN.mrc", "g/TS_01.mrc", Halves.EVEN),
        ("TS_01_ODD_Vol.mrc", "TS_01_Vol.mrc", Halves.ODD),
        ("even_TS_01.rec", "TS_01.rec", Halves.EVEN),
        ("g/odd/TS_01.mrc", "g/TS_01.mrc", Halves.ODD),
    ],
)
def test_names_of_halves(name: str, tomogram: str, half: Halves) -> None:
    """The word may be anywhere in the name, or be the folder's."""
    assert half_of(Path(name)) == (Path(tomogram), half)


@pytest.mark.parametrize("name", ["seven.mrc", "TS_event.mrc", "oddity/TS_01.mrc", "TS_01.mrc"])
def test_other_names(name: str) -> None:
    """Names that only contain these letters are no halves."""
    assert half_of(Path(name)) is None


def test_grouping() -> None:
    """Of a pair there is the mean, one half or both; a tomogram besides its halves is taken instead of them."""
    even, odd, whole, other = (Path(name) for name in ("a_EVN.mrc", "a_ODD.mrc", "a.mrc", "b.mrc"))
    state = {path: FileState(1, 1, 1) for path in (even, odd, other)}

    def grouped(choice: Halves) -> dict[Path, list[Path]]:
        return {name: list(files) for name, files in group_halves(state, lambda _: choice).items()}

    assert grouped(Halves.AVERAGE) == {whole: [even, odd], other: [other]}
    assert grouped(Halves.ODD) == {whole: [odd], other: [other]}
    assert grouped(Halves.SEPARATE) == {even: [even], odd: [odd], other: [other]}
    state[whole] = FileState(1, 1, 1)
    assert grouped(Halves.AVERAGE) == {whole: [whole], other: [other]}


def test_the_mean_of_two_volumes(tmp_path: Path) -> None:
    """It is numpy's, on the same grid, also of integers; other grids are refused."""
    rng = np.random.default_rng(1)
    one, other = rng.integers(-9, 9, (2, 5, 6, 7)).astype(np.int16)
    write_volume(tmp_path / "a.mrc", one, 8.0, dtype="int16")
    write_volume(tmp_path / "b.mrc", other, 8.0, dtype="int16")
    average_volumes(tmp_path / "a.mrc", tmp_path / "b.mrc", tmp_path / "mean.mrc")
    with mrcfile.open(tmp_path / "mean.mrc") as mean:
        np.testing.assert_array_equal(mean.data, (one.astype(np.float32) + other) / 2)
        assert mean.voxel_size.x == pytest.approx(8)
    write_volume(tmp_path / "c.mrc", one, 9.0, dtype="int16")
    with pytest.raises(VolumeError, match="different shapes or voxel sizes"):
        average_volumes(tmp_path / "a.mrc", tmp_path / "c.mrc", tmp_path / "no.mrc")
    assert not (tmp_path / "no.mrc").exists()


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.rec", "grid/deep/a.rec", True),
        ("grid*/*.mrc", "grid1/a.mrc", True),
        ("grid*/*.mrc", "grid1/deep/a.mrc", False),
        ("grid1/**", "grid1/deep/a.mrc", True),
        ("**/a?.mrc", "a1.mrc", True),
        ("a.mrc", "a_mrc", False),
    ],
)
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    """They are those of a shell: a star stays within a name, two do not."""
    assert Rule(match=pattern, parameters={}).matches(Path(path)) is matches


@pytest.mark.parametrize(
    "text",
    [
        "rule = " + "[" * 20_000,
        "[[rule]]\nengine = 'threshold'",
        "[[rule]]\nmatch = '*'\nengin = 'x'",
        "[[rule]",
        "[[rule]]\nmatch = ''",
    ],
)
def test_invalid_rules_are_refused(tmp_path: Path, text: str) -> None:
    """Before anything is segmented."""
    (tmp_path / "rules.toml").write_text(text)
    with pytest.raises(InvalidRequestError, match=r"rules\.toml"):
        read_rules(tmp_path / "rules.toml")


def test_a_misspelt_field_of_a_rule_is_named(tmp_path: Path) -> None:
    """With the number of the rule, counted from 1 as in other messages."""
    (tmp_path / "rules.toml").write_text('[[rule]]\nmatch = "a"\n[[rule]]\nmatch = "b"\nengin = "x"\n')
    with pytest.raises(InvalidRequestError, match="rule 2, engin: "):
        read_rules(tmp_path / "rules.toml")


RULES = """
[[rule]]
match = "raw/**"
skip = true

[[rule]]
match = "*_Vol.mrc"
halves = "average"
engine = "threshold"
parameters = { sigma_A = 12.0 }
voxel_size_A = 11.0
"""


def test_rules_choose(cli: Cli, tomogram: Path) -> None:
    """The first rule that matches gives engine, parameters, voxel size and halves; a half waits for the other."""
    for name in ("raw/a.mrc", "b.mrc", "TS_1_EVN_Vol.mrc", "TS_1_ODD_Vol.mrc", "TS_2_EVN_Vol.mrc"):
        Path("in", name).parent.mkdir(parents=True, exist_ok=True)
        Path("in", name).write_bytes(tomogram.read_bytes())
    Path("rules.toml").write_text(RULES)
    quick = ("--once", "--poll", "0.05", "--stable", "0", "--stalled", "0", "--no-pictures")
    arguments = ("watch-folder", "in", "-o", "out", "--rules", "rules.toml", "-e", "demo", *quick)
    assert cli(*arguments).exit_code == 1
    with Path("out/summary.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["tomogram"]: row for row in csv.DictReader(file)}
    assert {name: (row["state"], row["engine"]) for name, row in rows.items()} == {
        "b.mrc": ("done", "demo"),
        "TS_1_Vol.mrc": ("done", "threshold"),
        "TS_2_Vol.mrc": ("failed", "threshold"),
    }
    assert "other half" in rows["TS_2_Vol.mrc"]["error"]
    record = json.loads(Path("out/TS_1_Vol__threshold.mrc.json").read_bytes())
    assert record["recipe"]["parameters"]["sigma_A"] == 12
    assert record["voxel_size_A"] == [11, 11, 11]
    assert [one["name"] for one in record["input"]] == ["TS_1_EVN_Vol.mrc", "TS_1_ODD_Vol.mrc"]
    Path("in/TS_2_ODD_Vol.mrc").write_bytes(tomogram.read_bytes())
    assert cli(*arguments).exit_code == 0


def test_rules_that_cannot_be_followed_are_refused(cli: Cli) -> None:
    """An engine or a parameter that does not exist, or a value out of range, with the number of the rule."""
    Path("in").mkdir()
    for rule in ("engine = 'nothing'", "engine = 'threshold'\nparameters = {sigma = 1}", "parameters = {sigma_A = -5}"):
        Path("rules.toml").write_text(f"[[rule]]\nmatch = '*'\n{rule}\n")
        refused = cli("watch-folder", "in", "-o", "out", "-e", "threshold", "--rules", "rules.toml", "--once")
        assert refused.exit_code == 2
    assert "Rule 1 ('*')" in refused.stderr
