"""What the distribution contains."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
NETWORK = "cryomamba_inference/network/segmentation.onnx"


def test_the_network_is_in_wheel_and_source_distribution(tmp_path: Path) -> None:
    """The network of the engines is installed with them, with nothing to download."""
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    original = (ROOT / "services/inference" / NETWORK).read_bytes()
    with zipfile.ZipFile(wheel) as file:
        assert file.read(NETWORK) == original
    (source,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(source) as archive:
        names = [name for name in archive.getnames() if name.endswith(NETWORK)]
        assert len(names) == 1
        member = archive.extractfile(names[0])
        assert member is not None
        assert member.read() == original
