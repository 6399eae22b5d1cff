"""IMOD models, against the description of their format."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cryomamba.errors import InvalidRequestError
from cryomamba.picks import Picks, TomogramInfo, empty_picks, read_imod, read_picks, write_imod, write_picks

FRAME = TomogramInfo((40, 61, 80), (20.0, 10.0, 10.0), "TS_01")
PLACES = np.array([[0.0, 0.0, 0.0], [20.0, 30.5, 40.0], [39.25, 60.0, 79.5], [5.0, 6.0, 7.0]])
PICKS = Picks(PLACES, np.array([200.0, 150.5, 99.25, 80.0]), np.array([1, 1, 2, 2]))


def test_particles_are_scattered_points(tmp_path: Path) -> None:
    """The bytes are those of the description: header, an object for each label, its contour, x, y, z, end."""
    write_picks(PICKS, tmp_path / "p.mod", FRAME)
    content = (tmp_path / "p.mod").read_bytes()
    assert content[:8] == b"IMODV1.2"
    assert struct.unpack(">4i", content[136:152]) == (80, 61, 40, 2)
    assert content[240:244] == b"OBJT"
    contours, flags = struct.unpack(">iI", content[372:380])
    assert (contours, flags) == (1, 1 << 9)
    assert content[420:424] == b"CONT"
    assert struct.unpack(">i", content[424:428]) == (2,)
    # The centre of the first voxel is at 0.5, 0.5 and section 0.
    assert struct.unpack(">6f", content[440:464]) == (0.5, 0.5, 0.0, 40.5, 31.0, 20.0)
    assert content[-4:] == b"IEOF"


@pytest.mark.parametrize("kind", ["particles", "filaments"])
def test_what_is_written_is_read_again(tmp_path: Path, kind: str) -> None:
    """Places, labels and kind; a model has no scores."""
    picks = replace(PICKS, kind=kind)  # type: ignore[arg-type]
    write_imod(picks, tmp_path / "p.mod", FRAME)
    found = read_picks(tmp_path / "p.mod", FRAME)
    np.testing.assert_allclose(found.positions, PLACES)
    assert (found.labels.tolist(), found.kind) == ([1, 1, 2, 2], kind)
    assert np.isnan(found.scores).all()
    write_imod(empty_picks(), tmp_path / "empty.mod", FRAME)
    assert len(read_imod(tmp_path / "empty.mod", FRAME)) == 0


def with_chunks(path: Path, *chunks: bytes, flags: int = 1 << 14) -> None:
    """Insert chunks before the end, as 3dmod writes them."""
    content = path.read_bytes()
    path.write_bytes(content[:152] + struct.pack(">I", flags) + content[156:-4] + b"".join(chunks) + b"IEOF")


def chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack(">i", len(data)) + data


def minx(scale: tuple[float, ...], origin: tuple[float, ...], start: tuple[float, ...]) -> bytes:
    return chunk(b"MINX", struct.pack(">18f", 1, 1, 1, *origin, 0, 0, 0, *scale, *start, 0, 0, 0))


def test_other_chunks_are_passed_over(tmp_path: Path) -> None:
    """Views, sizes, materials and meshes of 3dmod."""
    write_imod(PICKS, tmp_path / "p.mod", FRAME)
    mesh = b"MESH" + struct.pack(">2iI2h", 3, 2, 0, 0, 0) + bytes(12 * 3 + 4 * 2)
    with_chunks(tmp_path / "p.mod", chunk(b"SIZE", bytes(8)), mesh, chunk(b"VIEW", bytes(4)), chunk(b"LABL", b"abc "))
    np.testing.assert_allclose(read_imod(tmp_path / "p.mod", FRAME).positions, PLACES)


def test_a_model_of_a_binned_tomogram_fits_the_other(tmp_path: Path) -> None:
    """Drawn on voxels of half the size, the corner of the volume stays at the corner: voxel 0 is −0.25, 1 is 0.25."""
    at = Picks(np.array([[0.0, 0, 0], [1, 1, 1], [20, 20, 20]]), np.zeros(3), np.ones(3, np.int64))
    write_imod(at, tmp_path / "p.mod", FRAME)
    with_chunks(tmp_path / "p.mod", minx((5, 5, 10), (0, 0, 0), (0, 0, 0)))
    found = read_imod(tmp_path / "p.mod", FRAME)
    np.testing.assert_allclose(found.positions, [[-0.25] * 3, [0.25] * 3, [9.75] * 3])


def test_a_model_of_a_part_is_placed_in_the_whole(tmp_path: Path) -> None:
    """By the difference of the image's origin and the start of the part that was loaded."""
    write_imod(PICKS, tmp_path / "p.mod", FRAME)
    with_chunks(tmp_path / "p.mod", minx((10, 10, 20), (0, 0, 0), (-50, -100, -40)))
    np.testing.assert_allclose(read_imod(tmp_path / "p.mod", FRAME).positions, PLACES + np.array([2, 10, 5]))


def test_a_count_below_0_is_refused(tmp_path: Path) -> None:
    """A damaged count does not lead backwards for ever."""
    write_imod(PICKS, tmp_path / "p.mod", FRAME)
    content = (tmp_path / "p.mod").read_bytes()
    (tmp_path / "p.mod").write_bytes(content[:424] + struct.pack(">i", -3) + content[428:])
    with pytest.raises(InvalidRequestError, match="incomplete"):
        read_imod(tmp_path / "p.mod", FRAME)


@pytest.mark.parametrize("length", [0, 100, 300, 430, -6])
def test_an_incomplete_model_is_refused(tmp_path: Path, length: int) -> None:
    """Wherever it ends; and a text file is none."""
    write_imod(PICKS, tmp_path / "p.mod", FRAME)
    (tmp_path / "p.mod").write_bytes((tmp_path / "p.mod").read_bytes()[:length])
    with pytest.raises(InvalidRequestError, match="is not a binary IMOD model" if not length else "incomplete"):
        read_imod(tmp_path / "p.mod", FRAME)
