"""Trains a classifier on strokes, and keeps the features of what was painted and of the section that is looked at."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Labels
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Shape
from cryomamba.masks.strokes import Strokes
from cryomamba_inference.network.model import checksum
from cryomamba_inference.pixels.classifier import PixelClassifier, with_margin
from cryomamba_inference.pixels.features import FeatureBox, feature_box
from cryomamba_inference.pixels.filters import Field
from cryomamba_inference.pixels.forest import train
from cryomamba_inference.pixels.network_maps import Block, NetworkMaps
from cryomamba_inference.pixels.scales import Read, Scale
from cryomamba_inference.threads import ThreadTeam

_SIDE = 256
"""Of a block of a section."""
_CACHE_NBYTES = 192 * 1024**2
_SAMPLES_MAX = 8000
"""Of a label; they are taken evenly from all that was painted."""

Key = tuple[int, int, int]
Voxels = npt.NDArray[np.int64]


@dataclass
class SectionFeatures:
    """Features of blocks of sections, the least recently used of which are forgotten; for several threads.

    Parameters
    ----------
    read : callable
        Normalized densities.
    volume : tuple of int
        Shape of the volume.
    maps : NetworkMaps
        The network's, further features once they are prepared.

    Attributes
    ----------
    viewed : int or None
        The section that was looked at last.
    """

    read: Read
    volume: Shape
    scales: tuple[Scale, ...]
    maps: NetworkMaps
    viewed: int | None = None
    _boxes: OrderedDict[Key, FeatureBox] = field(default_factory=OrderedDict)
    _samples: dict[tuple[Key, bool], tuple[Voxels, Field]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def blocks(self, z: int) -> list[tuple[Key, Shape]]:
        """Return start and shape of the blocks of a section."""
        _, height, width = self.volume
        return [
            ((z, y, x), (1, min(_SIDE, height - y), min(_SIDE, width - x)))
            for y in range(0, height, _SIDE)
            for x in range(0, width, _SIDE)
        ]

    def box(self, start: Key) -> FeatureBox:
        """Return the features of a block and of the margin whose votes count."""
        with self._lock:
            if start in self._boxes:
                self._boxes.move_to_end(start)
                return self._boxes[start]
        shape = next(shape for key, shape in self.blocks(start[0]) if key == start)
        first, size = with_margin(start, shape, self.volume)
        box = feature_box(self.read, self.volume, self.scales, first, size)
        with self._lock:
            self._boxes[start] = box
            while len(self._boxes) > 1 and sum(each.nbytes for each in self._boxes.values()) > _CACHE_NBYTES:
                self._boxes.popitem(last=False)
        return box

    def with_maps(self, box: FeatureBox) -> FeatureBox:
        """Return a box with the features of the network as well, of which the blocks must be computed."""
        file = self.maps.file
        return box if file is None else replace(box, maps=file.box(box.start, box.shape))

    def samples(self, start: Key, voxels: Voxels, *, maps: bool) -> Field:
        """Return the features (voxel, feature) of voxels (n, 3) in a block, with or without those of the network."""
        known = self._samples.get((start, maps))
        if known is None or not np.array_equal(known[0], voxels):
            box = self.box(start)
            known = voxels, (self.with_maps(box) if maps else box).at(voxels)
            self._samples[start, maps] = known
        return known[1]

    def boxes(self, starts: Iterable[Key]) -> Iterator[tuple[Shape, Shape]]:
        """Yield start and shape of blocks with their margin."""
        for start in starts:
            shape = next(shape for key, shape in self.blocks(start[0]) if key == start)
            yield with_margin(start, shape, self.volume)

    def missing(self, strokes: Strokes | None, *, viewed: bool = True) -> list[Block]:
        """Return the blocks of the network's maps that strokes and the section that is looked at still need."""
        keys = set() if strokes is None else {key for key, _ in _by_block(_chosen(strokes)[0])}
        if viewed and self.viewed is not None:
            keys |= {key for key, _ in self.blocks(self.viewed)}
        return self.maps.missing(self.maps.blocks_of(self.boxes(sorted(keys))))


def require_trainable(strokes: Strokes, volume: Shape) -> None:
    """Refuse strokes that teach nothing.

    Raises
    ------
    InvalidRequestError
        The strokes are those of a volume of another shape, or fewer than two labels have been painted.
    """
    if strokes.shape != volume:
        raise InvalidRequestError(
            f"The strokes were painted on a tomogram of {_times(strokes.shape)} voxels; this one has {_times(volume)}.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint="To use them on another tomogram, save the trained model and give it with 'model'.",
        )
    classes = np.unique(strokes.painted()[1])
    if len(classes) < 2:
        painted = f"only '{strokes.labels[classes[0]].name}' was painted" if len(classes) else "nothing was painted"
        raise InvalidRequestError(
            f"A classifier needs strokes of two labels; {painted}.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint="Paint some of the background, label 0, and some of each structure.",
        )


def train_classifier(
    strokes: Strokes, features: SectionFeatures, finest_A: float, team: ThreadTeam, *, maps: bool = False
) -> PixelClassifier:
    """Train a classifier on strokes, with or without the features of the network, whose blocks must be computed.

    The strokes are as :func:`require_trainable` wants them.
    """
    voxels, labels = _chosen(strokes)
    classes = np.unique(labels)
    parts = list(_by_block(voxels))
    found = team.map(lambda part: features.samples(part[0], voxels[part[1]], maps=maps), parts)
    order = np.concatenate([index for _, index in parts])
    forest = train(np.concatenate(found), np.searchsorted(classes, labels[order]), len(classes))
    count = len(features.scales)
    network = checksum() if maps else ""
    return PixelClassifier(strokes.names, tuple(classes.tolist()), finest_A, count, forest, network)


def classify_section(classifier: PixelClassifier, features: SectionFeatures, z: int, team: ThreadTeam) -> Labels:
    """Return the labels of a section, shape (1, y, x)."""
    out = np.empty((1, *features.volume[1:]), np.uint8)

    def classify(block: tuple[Key, Shape]) -> None:
        start, shape = block
        rows, columns = (slice(start[axis], start[axis] + shape[axis]) for axis in (1, 2))
        box = features.box(start)
        box = features.with_maps(box) if classifier.network else box
        out[:, rows, columns] = classifier.result_of(box, start, shape).labels

    team.map(classify, features.blocks(z))
    return out


def _chosen(strokes: Strokes) -> tuple[Voxels, npt.NDArray[np.uint8]]:
    """Return the voxels that are learned from and their labels: all that are painted, up to a number of each label."""
    voxels, labels = strokes.painted()
    if not len(labels):
        return voxels, labels
    chosen = np.sort(np.concatenate([_evenly(np.flatnonzero(labels == each)) for each in np.unique(labels)]))
    return voxels[chosen], labels[chosen]


def _by_block(voxels: Voxels) -> Iterator[tuple[Key, npt.NDArray[np.int64]]]:
    """Yield the blocks that hold voxels, in order, and which voxels these are."""
    blocks = np.stack([voxels[:, 0], voxels[:, 1] // _SIDE * _SIDE, voxels[:, 2] // _SIDE * _SIDE], axis=1)
    keys, inverse = np.unique(blocks, axis=0, return_inverse=True)
    for number, (z, y, x) in enumerate(keys.tolist()):
        yield (z, y, x), np.flatnonzero(inverse.reshape(-1) == number)


def _evenly(indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if len(indices) <= _SAMPLES_MAX:
        return indices
    return indices[np.linspace(0, len(indices) - 1, _SAMPLES_MAX).round().astype(np.int64)]


def _times(shape: Shape) -> str:
    return " × ".join(map(str, shape))
