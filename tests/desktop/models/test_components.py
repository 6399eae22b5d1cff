"""The table of pieces, edits, and where masks go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import starfile
from napari.layers import Labels

from cryomamba.errors import InvalidRequestError, NotFoundError
from cryomamba.volumes import blank_header, open_volume
from napari_cryomamba.app.revisions import TITLES, export_mask, next_version, save_mask, write_centres
from napari_cryomamba.layers.masks import PREVIEW, apply_edit, mask_of
from napari_cryomamba.models.components import (
    COLUMNS,
    as_text,
    fill_holes,
    keep_component,
    measure_mask,
    remove_small_components,
    table_rows,
)

SIZE = (20.0, 10.0, 10.0)


@pytest.fixture
def mask() -> Any:
    """Two boxes of label 1 and one hollow box of label 2."""
    found = np.zeros((12, 16, 20), np.uint8)
    found[1:3, 1:3, 1:3] = 1
    found[5:8, 5:8, 1:5] = 1
    found[2:9, 9:15, 9:16] = 2
    found[4:6, 11:13, 11:13] = 0
    return found


def counts(mask: Any) -> list[int]:
    return [int(count) for count in np.bincount(mask.reshape(-1), minlength=3)]


def test_the_table_has_labels_first_and_then_pieces_by_size(mask: Any) -> None:
    """Voxels, volume and centre stand in the units that the heads name; pieces can be left out."""
    measured = measure_mask(mask, SIZE, {1: "vesicle"})
    rows = table_rows(measured)
    assert [row.cells[:4] for row in rows] == [
        (1, "vesicle", "all", 44),
        (2, "label 2", "all", 286),
        (2, "label 2", 1, 286),
        (1, "vesicle", 2, 36),
        (1, "vesicle", 3, 8),
    ]
    assert rows[3].cells[4] == 36 * 2.0
    assert rows[3].centre_nm == pytest.approx((6 * 2.0, 6 * 1.0, 2.5 * 1.0))
    assert len(rows[3].cells) == len(COLUMNS)
    assert len(table_rows(measured, components=False)) == 2


def test_the_table_goes_to_a_spreadsheet(mask: Any) -> None:
    """The clipboard gets a line of heads and one for each row, tab-separated."""
    rows = table_rows(measure_mask(mask, SIZE, {}))
    lines = as_text(rows).splitlines()
    assert lines[0].split("\t") == list(COLUMNS)
    assert len(lines) == len(rows) + 1


def test_small_pieces_go_and_large_ones_stay(mask: Any) -> None:
    """A bound of 20 nm³ takes the box of 16 nm³ and nothing else, and Ctrl-Z brings it back."""
    layer = Labels(mask)
    apply_edit(layer, remove_small_components(mask, SIZE, 20.0))
    assert counts(layer.data)[1:] == [36, 286]
    layer.undo()
    assert counts(layer.data)[1:] == [44, 286]


def test_holes_are_filled_and_openings_are_not(mask: Any) -> None:
    """Only background that is enclosed on all sides is filled, with the label around it."""
    layer = Labels(mask.copy())
    apply_edit(layer, fill_holes(mask, SIZE))
    assert counts(layer.data)[1:] == [44, 294]
    mask[2:5, 11, 11] = 0
    assert len(fill_holes(mask, SIZE)) == 0


def test_the_chosen_piece_is_kept_and_other_labels_stay(mask: Any) -> None:
    """Keeping a piece removes the others of its label alone, and asks for a piece where there is none."""
    layer = Labels(mask.copy())
    apply_edit(layer, keep_component(mask, SIZE, (1, 1, 1)))
    assert counts(layer.data)[1:] == [8, 286]
    with pytest.raises(NotFoundError) as caught:
        keep_component(mask, SIZE, (0, 0, 0))
    assert caught.value.hint


def test_a_preview_is_not_kept() -> None:
    """What is still coarse cannot be measured or saved by mistake."""
    found = mask_of(Labels(np.zeros((2, 2, 2), np.uint8)), None)
    assert found is not None
    found.require_finished()
    with pytest.raises(InvalidRequestError, match="coarse preview"):
        replace(found, not_ready=PREVIEW).require_finished()


def test_revisions_never_overwrite(tmp_path: Path, mask: Any) -> None:
    """Each save gets the next number, beside what is there."""
    first = next_version(tmp_path, "tomo.rec.gz", "my engine")
    assert first.name == "tomo__my-engine_v1.mrc"
    save_mask(first, mask, None, SIZE, engine="my engine")
    assert next_version(tmp_path, "tomo.rec.gz", "my engine").name == "tomo__my-engine_v2.mrc"


def test_a_saved_mask_lies_on_its_tomogram(tmp_path: Path, mask: Any) -> None:
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


@pytest.mark.parametrize("suffix", [suffix for suffix in TITLES if suffix != ".star"])
def test_every_format_is_written_whole(tmp_path: Path, mask: Any, suffix: str) -> None:
    """Each export appears under its name, and nothing unfinished stays beside it."""
    path = tmp_path / f"mask{suffix}"
    export_mask(path, mask, blank_header((12, 16, 20), SIZE), SIZE, engine="membrane")
    assert path.name in {found.name for found in tmp_path.iterdir()}
    assert not [found for found in tmp_path.iterdir() if found.name.startswith(".")]
    if suffix == ".mrc":
        with open_volume(path) as volume:
            assert volume.voxel_size_A == SIZE


def test_star_coordinates_are_centred(tmp_path: Path, mask: Any) -> None:
    """Pieces become particles in Å from the tomogram's centre, in x, y, z."""
    path = tmp_path / "pieces.star"
    count = write_centres(path, measure_mask(mask, SIZE, {}), "tomo 1.mrc", (12, 16, 20), SIZE)
    table = starfile.read(path)
    assert count == len(table) == 3
    second = table.iloc[1]
    assert second["rlnTomoName"] == "tomo_1"
    assert second["rlnCenteredCoordinateXAngst"] == pytest.approx((2.5 - 10) * 10)
    assert second["rlnCenteredCoordinateYAngst"] == pytest.approx((6 - 8) * 10)
    assert second["rlnCenteredCoordinateZAngst"] == pytest.approx((6 - 6) * 20)
