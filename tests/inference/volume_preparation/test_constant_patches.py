"""Patches of constant density: two ways to one result, and a small tomogram that needs no compiler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cryomamba_inference.volume_preparation import constant_patches
from cryomamba_inference.volume_preparation.constant_patch_kernel import mark_around
from cryomamba_inference.volume_preparation.constant_patches import PATCH_RADIUS, TOLERANCE, mark_constant


@pytest.mark.parametrize(
    ("shape", "levels"), [((17, 19, 23), 2), ((17, 19, 23), 30), ((3, 40, 40), 2), ((2, 30, 31), 1), ((1, 9, 9), 1)]
)
def test_few_and_many_nodes_are_marked_alike(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int, int], levels: int
) -> None:
    """NumPy and the compiled loop mark the same nodes: at borders, in thin volumes, beside NaN, infinity and blocks."""
    random = np.random.default_rng(levels)
    nodes = random.integers(0, levels, shape).astype(np.float32)
    nodes[:, : shape[1] // 2, : shape[2] // 3] = 7.0
    nodes[:, -4:, -6:] = 0.1 + 1e-9 * random.random((shape[0], 4, 6))
    nodes[shape[0] // 2, 2, 3], nodes[0, -1, -1], nodes[-1, 5, 5] = np.nan, np.inf, -np.inf
    expected = np.zeros(shape, np.bool_)
    mark_around(nodes, expected, TOLERANCE, PATCH_RADIUS)
    for few in (10**9, 0):
        monkeypatch.setattr(constant_patches, "_FEW_NODES", few)
        marked = np.zeros(shape, np.bool_)
        mark_constant(nodes, marked)
        assert np.array_equal(marked, expected)
    assert expected.any()


def test_a_small_tomogram_needs_no_compiler(tmp_path: Path) -> None:
    """The first mask does not wait for numba: segmenting a tomogram without padding does not import it."""
    program = (
        "import sys; from cryomamba_cli import main; sys.argv[1:] = {}; \n"
        "try: main()\nexcept SystemExit as end: assert not end.code\nprint('numba' in sys.modules)"
    )
    for arguments in (["synth", "t.mrc", "--shape", "32", "--voxel-size", "14", "-q"], ["segment", "t.mrc", "-q"]):
        done = subprocess.run(
            [sys.executable, "-c", program.format(arguments)], cwd=tmp_path, capture_output=True, text=True, check=True
        )
    assert done.stdout.splitlines()[-1] == "False"
