"""Measurements as layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cryomamba.picks import Picks
from napari_cryomamba.layers.measurements import distances_of, set_distances
from napari_cryomamba.layers.picks import SCORE, show_picks

if TYPE_CHECKING:
    from tests.desktop.conftest import RecordMaker

pytestmark = pytest.mark.desktop
SIZE_A = (10.0, 10.0, 10.0)


def test_a_distance_belongs_to_the_point_that_was_measured(viewer: Any, make_record: RecordMaker) -> None:
    """A point that is moved loses its distance, and one that is added has none, whatever is selected."""
    picks = Picks(np.zeros((3, 3)), np.array([20.0, 90.0, 50.0]), np.ones(3, np.int64))
    layer = show_picks(viewer, make_record(), picks, SIZE_A)
    set_distances(layer, [0, 1, 2], [5.0, 7.0, 9.0])
    layer._move([0], [0.0, 4.0, 4.0])
    layer.add([[1.0, 2.0, 3.0]])
    assert layer.features[SCORE][3] == 255
    layer.selected_data = {2}
    layer.add([[1.0, 2.0, 4.0]])
    assert [found.value for found in distances_of(layer)] == [7.0, 9.0]
