"""The process that makes the coarser levels of volumes, when it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryomamba.testing import wait_until_async
from cryomamba.volumes import write_volume
from cryomamba_gateway.volumes.level_builder import LevelBuilder
from cryomamba_gateway.volumes.open_images import ImageSource
from cryomamba_gateway.volumes.reading import LevelFolder

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_folder_that_cannot_be_used_is_reported_and_left_alone_for_a_while(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says why there are no levels, and each further view of the volume does not try again."""
    write_volume(tmp_path / "ts.mrc", np.zeros((4, 130, 130), np.float32), 9.0)
    source = ImageSource("ts.mrc", tmp_path / "ts.mrc", (tmp_path,))
    (tmp_path / "levels").write_text("not a folder")
    builder = LevelBuilder(LevelFolder(tmp_path / "levels", 1 << 30, 0))

    async def reported() -> bool:
        return "The coarser levels of ts.mrc were not made" in caplog.text

    try:
        builder.want(source)
        await wait_until_async(reported, what="the report")
        builder.want(source)
        assert not builder.is_waiting(source)
    finally:
        builder.close()
