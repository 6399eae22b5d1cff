"""Plate maps of whole volumes, box by box."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest

from cryomamba_inference.network import sheets as sheets_module
from cryomamba_inference.network.sheets import (
    LIMITS,
    MAPS,
    SheetFilter,
    half,
    half_shape,
    normalized_sheets,
    sheet_boxes,
    sheet_tasks,
)
from cryomamba_inference.volume_preparation.scale import Scale

Field = npt.NDArray[np.float32]


def maps_of(field: Field, *, threads: int = 1, backwards: bool = False) -> npt.NDArray[np.float16]:
    maps = np.full((MAPS, *half_shape(field.shape)), np.nan, np.float16)
    sheets = SheetFilter(lambda box: np.ascontiguousarray(field[box]), field.shape)
    tasks = sheet_tasks(sheets, sheet_boxes(field.shape), maps)
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(task) for task in (reversed(tasks) if backwards else tasks)]:
            done.result()
    return maps


def noise(shape: tuple[int, int, int]) -> Field:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def test_boxes_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Filtered in many boxes, the maps are those of one box, away from the borders."""
    field = noise((33, 64, 71))
    whole = maps_of(field).astype(np.float32)
    monkeypatch.setattr(sheets_module, "_BOX", 12)
    boxes = maps_of(field).astype(np.float32)
    assert np.isfinite(boxes).all()
    inner = (slice(None), slice(5, -5), slice(8, -8), slice(8, -8))
    assert np.abs(boxes - whole)[inner].max() < 0.15 * whole.std()


def test_threads_and_order_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread or three, in any order: the same bytes."""
    monkeypatch.setattr(sheets_module, "_BOX", 10)
    field = noise((20, 40, 40))
    np.testing.assert_array_equal(maps_of(field), maps_of(field, threads=3, backwards=True))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (1, 9, 30), (5, 1, 2)])
def test_the_smallest_volumes_have_maps(shape: tuple[int, int, int]) -> None:
    """Volumes smaller than the filters have finite maps."""
    assert np.isfinite(maps_of(noise(shape))).all()


def test_an_inverted_volume_exchanges_the_maps() -> None:
    """Sheets of higher density are those of lower density in the inverted volume."""
    field = noise((12, 16, 16))
    swapped = maps_of(-field).reshape(-1, 2, 6, 8, 8)[:, ::-1].reshape(MAPS, 6, 8, 8)
    np.testing.assert_allclose(swapped.astype(np.float32), maps_of(field).astype(np.float32), atol=2e-3)


def test_a_sheet_is_in_its_map() -> None:
    """A dense sheet is brightest in the maps of dense sheets, where it is."""
    field = np.zeros((32, 40, 40), np.float32)
    field[15:18] = 3
    maps = maps_of(field).astype(np.float32)
    for high, low in maps.reshape(-1, 2, *maps.shape[1:]):
        assert high[:, 10, 10].argmax() in {7, 8}
        assert high[:, 10, 10].max() > 1.3 * low[:, 10, 10].max()


def test_half_averages_and_keeps_the_last_node() -> None:
    """Blocks are averaged; at an odd end the last node counts twice."""
    field = np.arange(3 * 2 * 5, dtype=np.float32).reshape(3, 2, 5)
    found = half(field)
    assert found.shape == half_shape((3, 2, 5)) == (2, 1, 3)
    assert found[0, 0, 0] == pytest.approx(field[:2, :, :2].mean())
    assert found[1, 0, 2] == pytest.approx(field[2, :, 4].mean())


def test_normalized_maps_are_in_deviations() -> None:
    """Level and deviation of each map are taken off, and what is far is clipped."""
    maps = np.stack([np.full((2, 2, 2), 3.0), np.full((2, 2, 2), 1e4), np.full((2, 2, 2), -1e4)]).astype(np.float16)
    one, most, least = normalized_sheets(maps, [Scale(1.0, 2.0)] * 3)
    assert most[0, 0, 0] == pytest.approx(LIMITS[1] * one[0, 0, 0])
    assert least[0, 0, 0] == pytest.approx(LIMITS[0] * one[0, 0, 0])
