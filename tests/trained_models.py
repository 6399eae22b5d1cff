"""Models for the tests of the store: their weights are bytes that nobody runs."""

from __future__ import annotations

from pathlib import Path

SIDECAR = """kind = "onnx"
title = "{title}"
weights = "net.onnx"
window = 32
voxel_size_A = 10.0
licence = "{licence}"
[labels]
1 = "membrane"
"""


def write_model(folder: Path, *, title: str = "", licence: str = "", weights: bytes = b"weights") -> Path:
    """Write a folder that is a model, with a file that it does not need."""
    folder.mkdir(parents=True)
    (folder / "model.toml").write_text(SIDECAR.format(title=title, licence=licence))
    (folder / "net.onnx").write_bytes(weights)
    (folder / "notes.txt").write_text("not needed")
    return folder
