"""The shipped network: from normalized densities to probabilities of what is there."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources

import numpy as np
import onnxruntime

from cryomamba_inference.network.sheets import MAPS
from cryomamba_inference.volume_preparation.grid import Field

STEP_A = 12.5
"""Distance between nodes that the network was trained for, in Å; it takes from 11 to 36."""
HALO = 12
"""Nodes around a box that influence its probabilities noticeably."""
MULTIPLE = 16
"""Nodes of a block on the network's coarsest level: it halves its grid four times."""
SCORES = 256
"""Probabilities are kept as scores from 0 to 255."""
_FOLD = 8  # nodes of a block that become channels
_FILE = "segmentation.onnx"


class Structure(enum.IntEnum):
    """What the network tells apart, by the index of its output."""

    BACKGROUND = 0
    MEMBRANE = 1
    PARTICLE = 2
    FILAMENT = 3
    FIDUCIAL = 4


def probability(field: Field, maps: Field, structure: Structure) -> Field:
    """Return the probability of a structure, as :func:`probabilities` does those of all."""
    return np.asarray(_run(field, maps, [structure])[0], np.float32)


def probabilities(field: Field, maps: Field) -> Field:
    """Return the probabilities (structures, z, y, x) on the nodes of a normalized field.

    One thread computes it, so that the result does not depend on the number of cores. What lies outside the field
    counts as 0, the level of the volume.

    Parameters
    ----------
    field : array of shape (z, y, x), float32
        Normalized densities.
    maps : array of shape (MAPS, z / 2, y / 2, x / 2)
        Plate responses at half the resolution.
    """
    return _run(field, maps, list(Structure))


@lru_cache(maxsize=1)
def checksum() -> str:
    """Return the SHA-256 of the network's file: another network gives other probabilities."""
    return hashlib.sha256(_file()).hexdigest()


def _run(field: Field, maps: Field, structures: Sequence[Structure]) -> Field:
    half = [-(-size // MULTIPLE) * (MULTIPLE // 2) for size in field.shape]
    inputs = np.zeros((1, _FOLD + MAPS, *half), np.float32)
    padded = np.pad(field, [(0, 2 * count - size) for size, count in zip(field.shape, half, strict=True)])
    inputs[0, :_FOLD] = _fold(padded)
    inputs[0, _FOLD:, : maps.shape[1], : maps.shape[2], : maps.shape[3]] = maps
    (found,) = _session().run(None, {"inputs": inputs})
    z, y, x = field.shape
    return np.stack([_unfold(found[0, each].reshape(_FOLD, *half))[:z, :y, :x] for each in structures])


def _fold(field: Field) -> Field:
    """Turn blocks of 2 × 2 × 2 nodes into 8 channels."""
    z, y, x = (size // 2 for size in field.shape)
    return np.asarray(field.reshape(z, 2, y, 2, x, 2).transpose(1, 3, 5, 0, 2, 4).reshape(_FOLD, z, y, x), np.float32)


def _unfold(channels: Field) -> Field:
    """Undo :func:`_fold`."""
    _, z, y, x = channels.shape
    blocks = channels.reshape(2, 2, 2, z, y, x).transpose(3, 0, 4, 1, 5, 2)
    return np.asarray(blocks.reshape(2 * z, 2 * y, 2 * x), np.float32)


@lru_cache(maxsize=1)
def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Memory goes back after each tile; the arena would keep the most that was ever needed.
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(_file(), options, providers=["CPUExecutionProvider"])


def _file() -> bytes:
    return resources.files(__package__).joinpath(_FILE).read_bytes()
