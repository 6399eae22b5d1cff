"""Sizes, places, edits, and where masks go."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from cryomamba.errors import InvalidRequestError
from cryomamba.volumes import blank_header, open_volume
from napari_cryomamba.masks import find_holes, find_other_pieces, find_small_pieces
from napari_cryomamba.measure import COLUMNS, measure, to_csv
from napari_cryomamba.revisions import SUFFIXES, Format, export_mask, next_revision, save_mask, write_star

SIZE = (20.0, 10.0, 10.0)


@pytest.fixture
def mask() -> np.ndarray:
    """Two boxes of label 1 and one hollow box of label 2."""
    found = np.zeros((12, 16, 20), np.uint8)
    found[1:3, 1:3, 1:3] = 1
    found[5:8, 5:8, 1:5] = 1
    found[2:9, 9:15, 9:16] = 2
    found[4:6, 11:13, 11:13] = 0
    return found


def test_a_box_measures_what_it_is(mask: np.ndarray) -> None:
    """Voxels, volume, centre and extent of a box are the numbers one counts by hand."""
    whole, large, small, hollow, _ = measure(mask, SIZE, {1: "vesicle"})
    assert (whole.label, whole.piece, whole.voxels) == (1, 0, 44)
    assert (large.name, large.piece, large.voxels) == ("vesicle", 1, 36)
    assert large.volume_nm3 == pytest.approx(36 * 2.0)
    assert large.centroid_nm == pytest.approx((6 * 2.0, 6 * 1.0, 2.5 * 1.0))
    assert large.extent_nm == pytest.approx((6.0, 3.0, 4.0))
    assert (small.start, small.stop) == ((1, 1, 1), (3, 3, 3))
    assert (hollow.name, hollow.voxels) == ("label 2", 7 * 6 * 7 - 8)


@settings(max_examples=25)
@given(arrays(np.uint8, (5, 6, 7), elements=st.integers(0, 2)))
def test_pieces_agree_with_scipy(mask: np.ndarray) -> None:
    """Number, size and centre of the pieces are those that scipy finds with 26 neighbours."""
    rows = measure(mask, (10.0, 10.0, 10.0), {})
    for label in (1, 2):
        components, count = ndimage.label(mask == label, np.ones((3, 3, 3)))
        pieces = [row for row in rows if row.label == label and row.piece]
        assert len(pieces) == count
        sizes = sorted(ndimage.sum_labels(mask == label, components, range(1, count + 1)))
        assert sorted(row.voxels for row in pieces) == sizes
        centres = ndimage.center_of_mass(mask == label, components, range(1, count + 1))
        ours = sorted(row.centroid_nm for row in pieces)
        np.testing.assert_allclose(ours, sorted(centres) if count else np.empty((0,)), atol=1e-5)


def test_small_pieces_are_found_and_large_ones_kept(mask: np.ndarray) -> None:
    """Removing pieces below 10 voxels takes the small box and nothing else."""
    indices = find_small_pieces(mask, [1, 2], 10)
    mask[indices] = 0
    assert [row.voxels for row in measure(mask, SIZE, {}, pieces=False)] == [36, 286]


def test_holes_are_filled_and_openings_are_not(mask: np.ndarray) -> None:
    """Only background that is enclosed on all sides belongs to a hole."""
    assert len(find_holes(mask, 2)[0]) == 8
    mask[2:5, 11, 11] = 0
    assert len(find_holes(mask, 2)[0]) == 0


def test_the_chosen_piece_is_kept(mask: np.ndarray) -> None:
    """Keeping a piece removes the others of its label, and asks for a label where there is none."""
    mask[find_other_pieces(mask, (1, 1, 1))] = 0
    assert (mask == 1).sum() == 8
    assert (mask == 2).sum() == 286
    with pytest.raises(InvalidRequestError) as caught:
        find_other_pieces(mask, (0, 0, 0))
    assert caught.value.hint


def test_the_table_goes_to_a_spreadsheet(mask: np.ndarray) -> None:
    """CSV and tab-separated text hold a header and every row."""
    rows = measure(mask, SIZE, {})
    lines = to_csv(rows).splitlines()
    assert len(lines) == len(rows) + 1
    assert to_csv(rows, delimiter="\t").splitlines()[0].split("\t") == list(COLUMNS)


def test_revisions_never_overwrite(tmp_path: Path, mask: np.ndarray) -> None:
    """Each save gets the next number, beside what is there."""
    first = next_revision(tmp_path, "tomo.rec.gz", "my engine")
    assert first.name == "tomo__my-engine_v1.mrc"
    save_mask(first, mask, None, SIZE, engine="my engine")
    assert next_revision(tmp_path, "tomo.rec.gz", "my engine").name == "tomo__my-engine_v2.mrc"


def test_a_saved_mask_lies_on_its_tomogram(tmp_path: Path, mask: np.ndarray) -> None:
    """Grid, cell and labels of the saved file are the tomogram's and the person's."""
    like = blank_header((12, 16, 20), SIZE)
    path = tmp_path / "mask.mrc"
    fractions: list[float] = []
    save_mask(path, mask, like, SIZE, engine="membrane", progress=fractions.append)
    with mrcfile.open(path) as file:
        np.testing.assert_array_equal(file.data, mask)
        assert tuple(file.voxel_size.tolist()) == (10.0, 10.0, 20.0)
    assert fractions[-1] == 1.0
    assert mrcfile.validate(path)


@pytest.mark.parametrize("form", [form for form in SUFFIXES if form != "star"])
def test_every_format_is_written_whole(tmp_path: Path, mask: np.ndarray, form: Format) -> None:
    """Each export appears under its name, and nothing unfinished stays beside it."""
    path = tmp_path / f"mask{SUFFIXES[form]}"
    export_mask(path, form, mask, blank_header((12, 16, 20), SIZE), SIZE, engine="membrane")
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    if form == "mrc":
        with open_volume(path) as volume:
            assert volume.voxel_size_A == SIZE


def test_star_coordinates_are_centred(tmp_path: Path, mask: np.ndarray) -> None:
    """Pieces become particles in Å from the tomogram's centre, in x, y, z."""
    path = tmp_path / "pieces.star"
    count = write_star(path, measure(mask, SIZE, {}), "tomo 1.mrc", (12, 16, 20), SIZE)
    table = starfile.read(path)
    assert count == len(table) == 3
    first = table.iloc[0]
    assert first["rlnTomoName"] == "tomo_1"
    assert first["rlnCenteredCoordinateXAngst"] == pytest.approx((2.5 - 10) * 10)
    assert first["rlnCenteredCoordinateYAngst"] == pytest.approx((6 - 8) * 10)
    assert first["rlnCenteredCoordinateZAngst"] == pytest.approx((6 - 6) * 20)
