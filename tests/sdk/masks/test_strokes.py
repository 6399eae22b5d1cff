"""Strokes: small, exact there and back, and refused with a sentence where they do not fit."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryomamba.errors import InvalidRequestError
from cryomamba.masks.strokes import STROKES_MAX_BYTES, StrokeLabel, Strokes, load_strokes, read_strokes

LABELS = (StrokeLabel(name="background", colour="#808080"), StrokeLabel(name="carbon"))


def fields(**changes: Any) -> dict[str, Any]:
    return {"shape": [8, 9, 10], "labels": ["background", "carbon"], **changes}


@given(st.integers(0, 2**32 - 1))
def test_painted_voxels_come_back_as_they_were(seed: int) -> None:
    """Packing voxels and reading them gives the same voxels and labels, in the order of the volume."""
    rng = np.random.default_rng(seed)
    volume = rng.integers(0, 6, (5, 6, 7)) - 1
    at = np.argwhere((volume >= 0) & (volume < 2))
    order = rng.permutation(len(at))
    values = volume[tuple(at.T)].astype(np.uint8)
    strokes = Strokes.of_voxels((5, 6, 7), LABELS, at[order], values[order])
    voxels, labels = read_strokes(json.loads(strokes.to_json())).painted()
    np.testing.assert_array_equal(voxels, at)
    np.testing.assert_array_equal(labels, values)


def test_a_line_is_drawn_with_its_brush_in_each_section() -> None:
    """A line through sections gets a disc in each of them, is clipped at the border, and covers what is below it."""
    line = {"label": 1, "radius": 1, "points": [[0, 0, 0], [2, 4, 0]]}
    below = {"label": 0, "radius": 0, "points": [[0, 0, 0], [0, 0, 9]]}
    voxels, labels = read_strokes(fields(lines=[below, line])).painted()
    painted = {tuple(voxel): int(label) for voxel, label in zip(voxels.tolist(), labels, strict=True)}
    assert painted[0, 0, 0] == painted[0, 0, 1] == painted[2, 4, 0] == painted[2, 3, 0] == painted[1, 2, 1] == 1
    assert painted[0, 0, 2] == painted[0, 0, 9] == 0
    assert (2, 4, 2) not in painted
    assert voxels.min() >= 0


def test_a_hundred_brush_strokes_fit() -> None:
    """A hundred strokes of a brush seven voxels wide and forty long, in a tomogram of 512³, are below the limit."""
    rng = np.random.default_rng(1)
    volume: dict[tuple[int, int, int], int] = {}
    for number in range(100):
        z, y, x = rng.integers(60, 450, 3)
        angle = rng.uniform(0, np.pi)
        points = [[int(z), int(y + t * np.sin(angle)), int(x + t * np.cos(angle))] for t in range(0, 40, 4)]
        drawn, _ = read_strokes(
            {"shape": [512] * 3, "labels": ["a", "b"], "lines": [{"label": 1, "radius": 3, "points": points}]}
        ).painted()
        volume |= {(int(a), int(b), int(c)): number % 2 for a, b, c in drawn}
    strokes = Strokes.of_voxels(
        (512, 512, 512), LABELS, np.array(list(volume)), np.array(list(volume.values()), np.uint8)
    )
    assert len(strokes.to_json()) < STROKES_MAX_BYTES


def packed(*numbers: int) -> str:
    return base64.b64encode(zlib.compress(bytes(numbers))).decode()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": ["background"]}, "labels"),
        ({"labels": ["background", ""]}, "labels"),
        ({"shape": [0, 1, 1]}, "shape"),
        ({"lines": [{"label": 2, "points": [[0, 0, 0]]}]}, "the last label is 1"),
        ({"lines": [{"label": 1, "points": [[0, 9, 0]]}]}, "a line leaves the tomogram"),
        ({"lines": [{"label": 1, "points": [[0, -1, 0]]}]}, "lines.0.points.0.1"),
        ({"lines": [{"label": 1, "radius": 999, "points": [[0, 0, 0]]}]}, "radius"),
        (
            {"shape": [4, 4, 1000], "lines": [{"label": 1, "radius": 50, "points": [[0, 0, 0], [0, 0, 999]] * 10}]},
            "the lines pass over more",
        ),
        ({"voxels": "!"}, "damaged"),
        ({"voxels": base64.b64encode(b"no zlib").decode()}, "damaged"),
        ({"voxels": packed(1, 5, 0, 0)}, "damaged"),
        ({"voxels": packed(0x80)}, "damaged"),
        ({"voxels": packed(*[0xFF] * 9, 1)}, "damaged"),
        ({"voxels": packed(7, 1, 0, 0)}, "the last label is 1"),
        ({"voxels": packed(1, 1, 0xFF, 0x7F, 0)}, "outside of the tomogram"),
        ({"voxels": packed(1, 1, 0, 0xFF, 0xFF, 0xFF, 0x7F)}, "more than 1,000,000 voxels"),
        ({"voxels": base64.b64encode(zlib.compress(b"\x01" * 10**8)).decode()}, "bytes"),
        ({"voxels": "A" * 30_000}, "20,000 are allowed"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(changes: dict[str, Any], words: str) -> None:
    """Wrong labels, voxels outside, damaged or endless packing: one sentence that names the problem."""
    with pytest.raises(InvalidRequestError, match=r"The strokes cannot be used") as error:
        read_strokes(fields(**changes))
    assert words in error.value.message


@pytest.mark.parametrize("content", [b"no json", b"[]", b"\xff", b"[" * 100_000])
def test_a_file_that_holds_no_strokes_is_refused(content: bytes, tmp_path: Path) -> None:
    """A file that is not JSON, or another JSON, is refused with a sentence."""
    path = tmp_path / "strokes.json"
    path.write_bytes(content)
    with pytest.raises(InvalidRequestError):
        load_strokes(path)
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        load_strokes(tmp_path / "none.json")
