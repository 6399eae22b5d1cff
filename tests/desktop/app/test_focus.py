"""When the server is told where the person looks."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel

from napari_cryomamba.app.focus import Focus


class Counted(Focus):
    """A focus that notes the section at which it would have told the server."""

    def send(self) -> None:
        self.sections = [*getattr(self, "sections", []), self._viewer.dims.current_step[0]]


def test_many_steps_are_one_focus(qtbot: Any) -> None:
    """However many sections a person passes without stopping, the server is told one: the last."""
    viewer = ViewerModel(ndisplay=2)
    viewer.dims.ndim = 3
    viewer.dims.range = ((0, 63, 1), (0, 63, 1), (0, 63, 1))
    unused: Any = None
    focus = Counted(viewer, jobs=unused, preview=unused)
    try:
        for section in range(5, 31):
            viewer.dims.set_current_step(0, section)
        qtbot.waitUntil(lambda: hasattr(focus, "sections"), timeout=20_000)
        assert focus.sections == [30]
    finally:
        focus.close()
