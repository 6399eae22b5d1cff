"""The table of artifacts is complete and free of contradictions."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from cryomamba.engines.artifacts import (
    ARTIFACTS,
    EXPORTS,
    ExportFormat,
    candidates_path,
    formats_of,
    media_type,
    requested_formats,
    revision_name,
    revision_number,
)
from cryomamba.engines.membrane_options import MembraneOptions


def test_names_formats_and_endings_are_unique() -> None:
    """No two artifacts share a name, and no two files that a local run writes next to a mask do either."""
    assert len({kind.name for kind in ARTIFACTS}) == len(ARTIFACTS)
    assert set(EXPORTS) == set(get_args(ExportFormat))
    endings = [kind.ending for kind in ARTIFACTS if kind.ending]
    assert len(set(endings)) == len(endings) == len(EXPORTS) + 1


def test_options_of_membranes_request_their_artifacts() -> None:
    """Each format of membranes is a parameter of that name; points request the table of picks."""
    schema = MembraneOptions.model_json_schema()
    values: dict[str, object] = {"point_spacing_A": 100.0}
    values.update(dict.fromkeys(formats_of("membranes"), True))
    assert values.keys() == schema["properties"].keys()
    assert requested_formats(schema, values) == (*formats_of("membranes"), "csv")
    assert requested_formats(schema, {"instances": False, "point_spacing_A": None}) == ()


@pytest.mark.parametrize(
    ("scores", "candidates"),
    [
        ("scores.mrc", "candidates.csv"),
        ("t1_scores.mrc", "t1_candidates.csv"),
        ("other.mrc", "other.mrc.candidates.csv"),
    ],
)
def test_candidates_lie_next_to_their_scores(scores: str, candidates: str) -> None:
    """The table of candidates is named like its score map."""
    assert candidates_path(Path("folder") / scores) == Path("folder") / candidates


def test_revisions_are_numbered_from_1() -> None:
    """The name of a revision holds its number; no other artifact has one."""
    assert revision_number(revision_name(12)) == 12
    assert [revision_number(name) for name in ("mask_r0.mrc", "mask_r01.mrc", "mask.mrc", "mask_r1.mrc.gz")] == [
        None
    ] * 4
    assert media_type(revision_name(1)) == media_type("mask.mrc")
