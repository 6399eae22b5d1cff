from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.volumes import Volume
from cryomamba.volumes.exports import write_nifti, write_ome_zarr, write_tiff


@pytest.mark.parametrize(
    ("write", "package"), [(write_nifti, "nibabel"), (write_tiff, "tifffile"), (write_ome_zarr, "zarr")]
)
def test_a_missing_library_is_named_with_the_way_to_get_it(
    volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., None], package: str
) -> None:
    """On a machine without the extra, an export says what to install and leaves nothing behind."""
    monkeypatch.setitem(sys.modules, package, None)
    before = set(tmp_path.iterdir())
    with pytest.raises(InvalidRequestError, match=package) as caught:
        write(volume, tmp_path / "out")
    assert caught.value.code == ErrorCode.ENGINE_UNAVAILABLE
    assert "cryomamba[tomo]" in caught.value.hint
    assert set(tmp_path.iterdir()) == before
