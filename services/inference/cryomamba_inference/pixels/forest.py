"""A random forest (Breiman 2001) whose trees are complete binary trees, trained on histograms in well under a second.

Everything is whole numbers or has a fixed order, so the same samples give the same forest and the same votes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

from cryomamba_inference.pixels.features import FeatureBox, row_features, row_maps
from cryomamba_inference.pixels.filters import Field

_TREES, _DEPTH = 32, 8
_BINS = 64
"""Candidate thresholds of a feature: quantiles of the samples."""
_LEAST = 2
"""Fewest samples of a leaf."""
_SURE = 255
"""Votes of a tree, shared among the classes."""
_SEED = 20240607

Votes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Forest:
    """A trained forest.

    Attributes
    ----------
    features : ndarray of int16, shape (trees, nodes)
        The feature that a node compares; node ``i`` has the children ``2 i + 1`` and ``2 i + 2``.
    thresholds : ndarray of float32, shape (trees, nodes)
        A voxel goes to the second child if its feature is greater.
    votes : ndarray of uint8, shape (trees, leaves, classes)
        Share of each class in a leaf, 255 in all.
    """

    features: npt.NDArray[np.int16]
    thresholds: Field
    votes: Votes

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""
        return int(self.votes.shape[2])

    def count_votes(self, box: FeatureBox) -> npt.NDArray[np.uint16]:
        """Return the votes (class, z, y, x) of all trees for the voxels of a box."""
        out = np.empty((self.classes, *box.shape), np.uint16)
        maps = (box.maps.values, box.maps.first, box.maps.counts, box.maps.scale)
        forest = (self.features, self.thresholds, self.votes)
        _count_votes(box.values, box.grids, *maps, np.array(box.start), *forest, out, box.count)
        return out


def train(
    samples: Field, classes: npt.NDArray[np.int64], count: int, *, trees: int = _TREES, depth: int = _DEPTH
) -> Forest:
    """Train a forest.

    Parameters
    ----------
    samples : array of shape (n, features), float32
    classes : array of shape (n,), int64
        From 0 to `count` − 1; each has a sample.
    """
    edges = np.quantile(samples, np.arange(1, _BINS) / _BINS, axis=0).astype(np.float32)
    binned = np.empty(samples.shape, np.uint8)
    for feature in range(samples.shape[1]):
        # A value equal to a threshold is not greater, and so belongs before it.
        binned[:, feature] = np.searchsorted(edges[:, feature], samples[:, feature], side="left")
    tried = max(1, round(2 * np.sqrt(samples.shape[1])))
    nodes = 2**depth - 1
    features, splits = np.zeros((trees, nodes), np.int16), np.zeros((trees, nodes), np.int64)
    shares = np.zeros((trees, nodes + 1, count))
    for tree in range(trees):
        chosen = np.random.default_rng([_SEED, tree])
        drawn = np.sort(chosen.integers(0, len(classes), len(classes)))
        order = np.argsort(chosen.random((nodes, samples.shape[1])), axis=1)[:, :tried]
        _grow(binned[drawn], classes[drawn], order, depth, features[tree], splits[tree], shares[tree])
    thresholds = np.where(splits < 0, np.inf, edges[np.maximum(splits, 0), features]).astype(np.float32)
    return Forest(features, thresholds, _as_votes(shares))


def _as_votes(shares: npt.NDArray[np.float64]) -> Votes:
    return np.asarray(np.rint(_SURE * shares / shares.sum(axis=2, keepdims=True)), np.uint8)


@nb.njit(cache=True, nogil=True)
def _grow(binned, classes, order, depth, features, splits, shares):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Grow one tree, level by level; a split of −1 sends all samples to the first child."""
    count, nodes = shares.shape[1], len(features)
    where = np.zeros(len(classes), np.int64)
    totals = np.zeros((2 * nodes + 1, count))
    for n in range(len(classes)):
        totals[0, classes[n]] += 1.0
    for level in range(depth):
        first = 2**level - 1
        # Samples in the order of their nodes, so that each node reads its own alone.
        sizes = np.zeros(2**level + 1, np.int64)
        for n in range(len(where)):
            sizes[where[n] - first + 1] += 1
        starts = np.cumsum(sizes)
        sorted_ = np.empty(len(where), np.int64)
        filled = starts.copy()
        for n in range(len(where)):
            sorted_[filled[where[n] - first]] = n
            filled[where[n] - first] += 1
        for local in range(2**level):
            node = first + local
            own = sorted_[starts[local] : starts[local + 1]]
            feature, split = _best_split(binned, classes, own, totals[node], order[node])
            features[node], splits[node] = feature, split
            for n in own:
                child = 2 * node + 1 + (1 if split >= 0 and binned[n, feature] > split else 0)
                where[n] = child
                totals[child, classes[n]] += 1.0
    # A leaf that no sample reached votes as the deepest of its ancestors that has some.
    for leaf in range(nodes + 1):
        node = nodes + leaf
        while totals[node].sum() <= 0.0:
            node = (node - 1) // 2
        shares[leaf] = totals[node]


@nb.njit(cache=True, nogil=True)
def _best_split(binned, classes, own, totals, tried):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    count = len(totals)
    total = totals.sum()
    if len(own) < 2 or totals.max() >= total - 1e-9:
        return 0, -1
    best, best_feature, best_split = 1e-9, 0, -1
    before = 0.0
    for c in range(count):
        before += totals[c] * totals[c]
    before /= total
    histogram = np.empty((_BINS, count))
    left = np.empty(count)
    for feature in tried:
        histogram[:] = 0.0
        for n in own:
            histogram[binned[n, feature], classes[n]] += 1.0
        left[:] = 0.0
        for split in range(_BINS - 1):
            size = purity_left = purity_right = 0.0
            for c in range(count):
                left[c] += histogram[split, c]
                size += left[c]
                purity_left += left[c] * left[c]
                purity_right += (totals[c] - left[c]) * (totals[c] - left[c])
            if size < _LEAST or total - size < _LEAST:
                continue
            gain = purity_left / size + purity_right / (total - size) - before
            if gain > best:
                best, best_feature, best_split = gain, feature, split
    return best_feature, best_split


@nb.njit(cache=True, nogil=True)
def _count_votes(values, grids, maps, first, counts, scale, start, features, thresholds, votes, out, count):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    columns, classes = out.shape[3], votes.shape[2]
    row = np.empty((count, columns), np.float32)
    scratch = np.empty(grids[:, 4].max(), np.float32)
    nodes = np.empty(columns, np.int64)
    inner, depth = features.shape[1], 0
    while 2**depth - 1 < inner:
        depth += 1
    for z in range(out.shape[1]):
        for y in range(out.shape[2]):
            known = row_features(values, grids, start[0] + z, start[1] + y, start[2], row, scratch)
            row_maps(maps, first, counts, scale, start[0] + z, start[1] + y, start[2], row, known)
            for c in range(classes):
                for x in range(columns):
                    out[c, z, y, x] = 0
            for tree in range(len(features)):
                # Level by level: a processor then works on many voxels at a time.
                nodes[:] = 0
                for _ in range(depth):
                    for x in range(columns):
                        node = nodes[x]
                        nodes[x] = 2 * node + 1 + (row[features[tree, node], x] > thresholds[tree, node])
                for c in range(classes):
                    for x in range(columns):
                        out[c, z, y, x] += votes[tree, nodes[x] - inner, c]
