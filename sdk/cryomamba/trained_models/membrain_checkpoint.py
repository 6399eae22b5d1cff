"""Describes a checkpoint of MemBrain-seg, which says nothing of itself: how MemBrain-seg 0.0.10 applies it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryomamba.trained_models.description import ModelDescription
from cryomamba.trained_models.normalization import ZeroMeanUnitVariance

_SUFFIX: Final = ".ckpt"
_WINDOW: Final = 160
_VOXEL_A: Final = 10.0


def read_membrain_checkpoint(path: Path, name: str) -> tuple[ModelDescription, tuple[str, ...]] | None:  # noqa: ARG001
    """Return the description of a checkpoint, or of a folder with one; None if there is none."""
    files = sorted(path.glob(f"*{_SUFFIX}")) if path.is_dir() else [path] if path.suffix == _SUFFIX else []
    if not files:
        return None
    return describe_membrain([file.name for file in files]), ()


def describe_membrain(weights: list[str]) -> ModelDescription:
    """Return the description of checkpoints of MemBrain-seg; several are an ensemble."""
    return ModelDescription(
        kind="membrain",
        title="MemBrain-seg",
        summary="Membranes in cryo-electron tomograms.",
        weights=tuple(weights),
        labels={1: "membrane"},
        scores="sigmoid",
        voxel_size_A=(_VOXEL_A,) * 3,
        window=(_WINDOW,) * 3,
        # The file's axes are reversed before the network sees them.
        axes="bcxyz",
        output_axes="bcxyz",
        normalization=(ZeroMeanUnitVariance(eps=0),),
        mirror=("z", "y", "x"),
        contrast="dark",
    )
