"""The gallery of picks, and import of picks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from cryomamba.models.jobs import JobState, VolumeSummary
from cryomamba.picks import Picks, TomogramInfo, read_csv, read_picks, write_picks, write_star
from cryomamba.volumes import write_volume
from napari_cryomamba.layers.picks import hide_below, picks_in, show_picks
from napari_cryomamba.models.gallery import PAGE, Sort
from napari_cryomamba.widgets import CryoMambaWidget

if TYPE_CHECKING:
    from tests.desktop.conftest import RecordMaker, WaitFor

pytestmark = pytest.mark.desktop
SIZE_A = (10.0, 10.0, 10.0)
COUNT = 70
POSITIONS = np.random.default_rng(5).integers(10, 50, (COUNT, 3)).astype(float)
SCORES = np.random.default_rng(6).permutation(COUNT).astype(float)


@pytest.fixture
def tomogram(panel: CryoMambaWidget, tmp_path: Path, wait_for: WaitFor) -> Any:
    write_volume(tmp_path / "t.mrc", np.random.default_rng(2).normal(size=(60, 60, 60)).astype(np.float32), SIZE_A)
    panel.controller.tomograms.open_files([tmp_path / "t.mrc"])
    return wait_for(lambda: panel.viewer.layers and panel.viewer.layers[0], panel.controller.notifications)


@pytest.fixture
def layer(panel: CryoMambaWidget, tomogram: Any, make_record: RecordMaker, tmp_path: Path, wait_for: WaitFor) -> Any:
    volume = VolumeSummary(name="t.mrc", shape=(60, 60, 60), voxel_size_A=SIZE_A, path=str(tmp_path / "t.mrc"))
    record = make_record(state=JobState.COMPLETED, volume=volume)
    shown = show_picks(panel.viewer, record, Picks(POSITIONS, SCORES, np.ones(COUNT, np.int64)), SIZE_A, 80.0)
    wait_for(lambda: panel.picks.gallery.list.count() == PAGE, panel.controller.notifications)
    return shown


def test_a_page_has_the_best_picks(panel: CryoMambaWidget, layer: Any, qtbot: Any, wait_for: WaitFor) -> None:
    """Thirty at a time by score, two diameters wide; the view goes to the one that is chosen, and to none before."""
    gallery = panel.picks.gallery
    assert gallery.current() is None
    assert panel.viewer.dims.point == pytest.approx((29.5, 29.5, 29.5), abs=0.6)
    qtbot.keyClick(gallery.list, Qt.Key.Key_Right)
    assert SCORES[gallery.indices()].tolist() == list(range(COUNT - 1, COUNT - 1 - PAGE, -1))
    assert gallery.side_box.value() == pytest.approx(16)
    index = gallery.current()
    assert index == int(SCORES.argmax())
    assert panel.viewer.dims.point == pytest.approx(tuple(POSITIONS[index]))
    assert layer.selected_data == {index}
    gallery.turn(1)
    gallery.turn(1)
    wait_for(lambda: gallery.list.count() == COUNT - 2 * PAGE, panel.controller.notifications)
    assert gallery.title.text().startswith("Page 3 of 3")
    gallery.sort.setCurrentText(Sort.WORST.value)
    gallery.sort.activated.emit(gallery.sort.currentIndex())
    assert SCORES[gallery.indices()[0]] == 2 * PAGE


def test_keys_accept_and_reject(panel: CryoMambaWidget, layer: Any, qtbot: Any, tmp_path: Path) -> None:
    """Each goes on to the next; a rejected pick is hidden and not exported, whatever the minimum score."""
    gallery, shown = panel.picks.gallery, np.asarray
    first, second, third = gallery.indices()[:3]
    gallery.list.setCurrentRow(0)
    for key in (Qt.Key.Key_A, Qt.Key.Key_R):
        qtbot.keyClick(gallery.list, key)
    assert gallery.current() == third
    assert gallery.title.text().endswith("1 accepted, 1 rejected, 68 to review")
    assert [bool(shown(layer.shown)[one]) for one in (first, second, third)] == [True, False, True]
    assert panel.picks.count.text() == "69 of 70 points"
    hide_below(layer, 50)
    assert not layer.shown[second]
    panel.picks.export_to(tmp_path / "p.csv")
    assert SCORES[second] not in read_csv(tmp_path / "p.csv").scores
    qtbot.keyClick(gallery.list, Qt.Key.Key_Left)
    assert gallery.current() == second
    qtbot.keyClick(gallery.list, Qt.Key.Key_U)
    assert layer.shown[second]


def test_picks_are_moved_deleted_and_added(panel: CryoMambaWidget, layer: Any, qtbot: Any, wait_for: WaitFor) -> None:
    """With the keys by a voxel, with napari's tools as everywhere; the gallery follows."""
    gallery = panel.picks.gallery
    gallery.list.setCurrentRow(0)
    index = gallery.current()
    assert index is not None
    before = layer.data[index].copy()
    qtbot.keyClick(gallery.list, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClick(gallery.list, Qt.Key.Key_PageUp, Qt.KeyboardModifier.ShiftModifier)
    np.testing.assert_allclose(layer.data[index], before + np.array([1, 0, 1]))
    assert panel.viewer.dims.point == pytest.approx(tuple(layer.data[index]))
    layer.selected_data = set(gallery.indices())
    layer.remove_selected()
    wait_for(lambda: gallery.title.text().startswith("Page 1 of 2"), panel.controller.notifications)
    layer.add([[30.0, 30.0, 30.0]])
    assert gallery.indices()[0] == len(layer.data) - 1


def test_without_its_tomogram_the_gallery_says_so(panel: CryoMambaWidget, layer: Any, tomogram: Any) -> None:
    """The picks stay, and the text says what to open."""
    panel.viewer.layers.remove(tomogram)
    panel.picks.gallery.reload()
    assert panel.picks.gallery.title.text() == "Open the tomogram of these picks to see them."
    assert panel.picks.gallery.list.count() == 0


@pytest.mark.parametrize("ending", [".mod", ".star", ".csv", "-relion4.star"])
def test_picks_are_imported(
    panel: CryoMambaWidget, tomogram: Any, tmp_path: Path, ending: str, wait_for: WaitFor
) -> None:
    """As a layer on the tomogram; the same file again replaces it, and picks without a score are shown."""
    frame = TomogramInfo((60, 60, 60), SIZE_A, "t")
    picks = Picks(POSITIONS, SCORES, np.ones(COUNT, np.int64))
    path = tmp_path / f"p{ending}"
    if "relion4" in ending:
        write_star(picks, path, frame, relion=4)
    else:
        write_picks(picks, path, frame)
    for _ in range(2):
        panel.picks.import_from(path)
    assert [layer.name for layer in panel.viewer.layers] == ["t.mrc", f"{path.stem} · picks"]
    layer = panel.viewer.layers[-1]
    np.testing.assert_allclose(picks_in(layer).positions, POSITIONS, atol=1e-3)
    assert panel.picks.status.text() == f"Imported 70 points from {path.name}."
    wait_for(lambda: panel.picks.gallery.list.count() == PAGE, panel.controller.notifications)


def test_an_import_that_fails_says_why(panel: CryoMambaWidget, tmp_path: Path) -> None:
    """Beside the button, with what to do."""
    panel.picks.import_from(tmp_path / "p.csv")
    assert panel.picks.status.text() == "No tomogram is open. Open the tomogram of the picks first."


def test_relion_4_is_a_format_of_the_export(panel: CryoMambaWidget, layer: Any, tmp_path: Path) -> None:
    """Its STAR file has pixels and reads back."""
    panel.picks.format.setCurrentText("STAR: RELION 4")
    panel.picks.export_to(tmp_path / "p.star")
    assert "_rlnCoordinateX" in (tmp_path / "p.star").read_text()
    again = read_picks(tmp_path / "p.star", TomogramInfo((60, 60, 60), SIZE_A, "t"))
    np.testing.assert_allclose(again.positions, POSITIONS)
