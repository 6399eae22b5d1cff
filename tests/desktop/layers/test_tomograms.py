"""The tomogram layers of a viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryomamba.errors import InvalidRequestError
from cryomamba.volumes import write_volume
from napari_cryomamba.layers.tomogram import open_tomogram
from napari_cryomamba.layers.tomograms import require_savable


def test_nothing_is_saved_onto_an_open_tomogram(viewer: Any, tmp_path: Path) -> None:
    """Not by its name, another spelling or a link; other files may be replaced, for the dialog has asked."""
    path = tmp_path / "t.mrc"
    write_volume(path, np.zeros((4, 5, 6), np.float32), 10.0)
    data, arguments, _ = open_tomogram(path).layer()
    viewer.add_image(data, **arguments)
    (tmp_path / "link.mrc").symlink_to(path)
    (tmp_path / "hard.mrc").hardlink_to(path)
    for name in ("t.mrc", f"../{tmp_path.name}/t.mrc", "link.mrc", "hard.mrc"):
        with pytest.raises(InvalidRequestError, match="input"):
            require_savable(viewer, tmp_path / name)
    (tmp_path / "mask.mrc").touch()
    require_savable(viewer, tmp_path / "mask.mrc")
    with pytest.raises(InvalidRequestError, match="missing"):
        require_savable(viewer, tmp_path / "missing" / "mask.mrc")
