"""A napari window with the CryoMamba panel in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import napari

from napari_cryomamba.app.settings import SettingsFile
from napari_cryomamba.widgets import CryoMambaWidget


def open_window(
    files: Sequence[Path] = (), *, server: str | None = None, settings: SettingsFile | None = None, show: bool = True
) -> tuple[Any, CryoMambaWidget]:
    """Open napari with the panel docked on the right.

    Parameters
    ----------
    server : str, optional
        Address to connect to; that of the last server if not given.

    Returns
    -------
    (napari.Viewer, CryoMambaWidget)
    """
    viewer = napari.Viewer(title="CryoMamba", show=show)
    panel = CryoMambaWidget(viewer, settings=settings, connect=server is None)
    viewer.window.add_dock_widget(panel, name="CryoMamba", area="right")
    if server is not None:
        panel.connection.address.setCurrentText(server)
        panel.connection.connect_now()
    panel.controller.tomograms.open_files(path.absolute() for path in files)
    return viewer, panel
