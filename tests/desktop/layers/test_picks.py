"""Picked points as layers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cryomamba.models.jobs import JobState
from cryomamba.picks import Picks
from napari_cryomamba.layers.picks import (
    add_hidden,
    diameter_A,
    hide_below,
    picks_in,
    review_of,
    set_review,
    show_picks,
)
from napari_cryomamba.models.gallery import Review

if TYPE_CHECKING:
    from tests.desktop.conftest import RecordMaker

pytestmark = pytest.mark.desktop
SIZE = (20.0, 10.0, 10.0)
PICKS = Picks(
    np.array([[0.0, 0.0, 0.0], [24.0, 48.0, 48.0], [10.25, 20.0, 30.5]]),
    np.array([20.0, 90.0, 50.0]),
    np.array([1, 1, 2]),
)


@pytest.fixture
def layer(viewer: Any, make_record: RecordMaker) -> Any:
    record = make_record(state=JobState.COMPLETED, params={"diameter_A": 180.0})
    return show_picks(viewer, record, PICKS, SIZE, diameter_A(record, None))


def test_points_lie_where_the_particles_are(layer: Any) -> None:
    """In nm, each of the engine's diameter, a colour per label."""
    np.testing.assert_allclose(layer.data_to_world(PICKS.positions[2]), [20.5, 20.0, 30.5])
    assert layer.size[0] * layer.scale[-1] == pytest.approx(18.0)
    assert not np.allclose(layer.border_color[0], layer.border_color[2])


def test_hidden_points_are_not_among_the_picks(layer: Any) -> None:
    """A score hides points below it; a point that the user adds has the highest score."""
    assert hide_below(layer, 40.0) == 2
    layer.add([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(picks_in(layer).scores, [90, 50, 255])
    assert hide_below(layer, 0.0) == 4


def test_what_was_reviewed_stays_so_when_hidden_picks_are_added(layer: Any) -> None:
    """A rejected pick is not shown by a lower threshold, and the added ones are not reviewed."""
    set_review(layer, 1, Review.REJECTED)
    add_hidden(layer, PICKS.select(PICKS.labels == 2))
    assert review_of(layer) == ["", "rejected", "", ""]
    assert hide_below(layer, 0.0) == 3
    layer.add([[1.0, 2.0, 3.0]])
    assert layer.features["score"].to_list() == [20, 90, 50, 50, 255]


def test_the_same_job_has_one_layer(viewer: Any, layer: Any, make_record: RecordMaker) -> None:
    """Shown again, the picks replace those from before."""
    show_picks(viewer, make_record(state=JobState.COMPLETED), PICKS, SIZE)
    assert len(viewer.layers) == 1


def test_no_picks_are_a_layer_too(viewer: Any, make_record: RecordMaker) -> None:
    """A job that found nothing adds an empty layer."""
    empty = Picks(np.empty((0, 3)), np.empty(0), np.empty(0, np.int64))
    assert len(show_picks(viewer, make_record(state=JobState.COMPLETED), empty, SIZE).data) == 0


def test_points_on_membranes_have_arrows(viewer: Any, make_record: RecordMaker) -> None:
    """Normals are arrows beside the points, in voxels; shown again they are replaced."""
    record = make_record(state=JobState.COMPLETED, params={"point_spacing_A": 100.0})
    normals = np.array([[1.0, 0, 0], [0, 0.6, 0.8], [0, 0, -1.0]])
    membranes = replace(PICKS, kind="membranes", normals=normals)
    for _ in range(2):
        layer = show_picks(viewer, record, membranes, SIZE, diameter_A(record, None))
    assert [type(one).__name__ for one in viewer.layers] == ["Vectors", "Points"]
    arrows = viewer.layers[0].data
    np.testing.assert_allclose(arrows[:, 0], PICKS.positions)
    np.testing.assert_allclose(arrows[:, 1] * SIZE, 50 * normals)
    assert layer.size[0] * layer.scale[-1] == pytest.approx(5.0)
    layer.add([[1.0, 2.0, 3.0]])
    normals_shown = picks_in(layer).normals
    assert normals_shown is not None
    np.testing.assert_allclose(normals_shown, [*normals, [1, 0, 0]])


def filament(number: int, start: tuple[float, float, float], step: tuple[float, float, float], scores: Any) -> Picks:
    """Points one after the other."""
    at = np.array(start) + np.arange(len(scores))[:, None] * np.array(step)
    return Picks(at, np.array(scores, float), np.full(len(scores), number), "filaments")


def lines_of(viewer: Any) -> Any:
    return next(layer for layer in viewer.layers if layer.name.endswith("paths"))


@pytest.fixture
def two_filaments(viewer: Any, make_record: RecordMaker) -> Any:
    one = filament(1, (10, 5, 5), (2.0, 8.0, 0.0), [200, 200, 90, 200, 200])
    other = filament(2, (30, 5, 60), (0.0, 0.0, 4.0), [120, 120, 120])
    positions, scores, labels = (np.concatenate(pair) for pair in zip(parts(one), parts(other), strict=True))
    both = Picks(positions, scores, labels, "filaments")
    record = make_record(state=JobState.COMPLETED, params={"diameter_A": 200.0})
    return show_picks(viewer, record, both, SIZE, diameter_A(record, None))


def parts(picks: Picks) -> tuple[Any, Any, Any]:
    return picks.positions, picks.scores, picks.labels


def test_filaments_are_lines_through_their_points(viewer: Any, two_filaments: Any) -> None:
    """Segments of a voxel at most, on the tomogram in nm, joined from end to end, and one colour for each filament."""
    lines = lines_of(viewer)
    assert type(lines).__name__ == "Vectors"
    begin, end = lines.data[:, 0], lines.data.sum(axis=1)
    assert np.abs(lines.data[:, 1]).max() <= 1
    colors, numbers = np.unique(lines.edge_color, axis=0, return_inverse=True)
    assert len(colors) == 2
    for number, last in ((numbers[0], [18, 37, 5]), (numbers[-1], [30, 5, 68])):
        np.testing.assert_allclose(end[numbers == number][:-1], begin[numbers == number][1:])
        np.testing.assert_allclose(end[numbers == number][-1], last)
    np.testing.assert_allclose(lines.data_to_world(begin[0]), two_filaments.data_to_world([10, 5, 5]))
    assert viewer.layers.selection.active is two_filaments


def test_lines_follow_the_points(viewer: Any, two_filaments: Any) -> None:
    """Hiding, deleting or moving points changes the lines, and points that are added are one more filament."""
    lines = lines_of(viewer)
    hide_below(two_filaments, 130)
    np.testing.assert_allclose(lines.data[[0, 8], 0], [[10, 5, 5], [16, 29, 5]])
    assert len(lines.data) == 16
    hide_below(two_filaments, 0)
    two_filaments.add([[1.0, 1.0, 1.0], [1.0, 1.0, 3.0]])
    np.testing.assert_allclose(lines.data[-2:, 0], [[1, 1, 1], [1, 1, 2]])
    two_filaments.selected_data = set(range(8))
    two_filaments.remove_selected()
    assert len(lines.data) == 2
    two_filaments.selected_data = {0, 1}
    two_filaments.remove_selected()
    assert len(lines.data) == 0
