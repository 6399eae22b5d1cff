"""The forest: it learns what can be learned, always the same, and counts every vote."""

from __future__ import annotations

import numpy as np

from cryomamba_inference.pixels.features import feature_box
from cryomamba_inference.pixels.forest import Forest, train
from cryomamba_inference.pixels.scales import scales_of
from cryomamba_inference.pixels.smoothing import winners

RNG = np.random.default_rng(4)


def votes_of(forest: Forest, samples: np.ndarray) -> np.ndarray:
    """The votes for samples, one node after the other."""
    found = np.zeros((len(samples), forest.classes), int)
    for features, thresholds, votes in zip(forest.features, forest.thresholds, forest.votes, strict=True):
        for n, sample in enumerate(samples):
            node = 0
            while node < len(features):
                node = 2 * node + 1 + int(sample[features[node]] > thresholds[node])
            found[n] += votes[node - len(features)]
    return found


def test_it_learns_a_rule_that_no_single_feature_tells() -> None:
    """Of samples it has not seen, nearly all are classified by the sign of a product of two features."""
    samples = RNG.normal(size=(4000, 6)).astype(np.float32)
    classes = (samples[:, 1] * samples[:, 4] > 0).astype(np.int64) + (samples[:, 0] > 1)
    forest = train(samples[:3000], classes[:3000], 3)
    found = votes_of(forest, samples[3000:]).argmax(axis=1)
    assert np.mean(found == classes[3000:]) > 0.93


def test_the_same_samples_give_the_same_forest() -> None:
    """Training is deterministic, and values that are all the same do no harm."""
    samples = np.repeat(RNG.normal(size=(50, 1)), 3, axis=1).astype(np.float32)
    samples[:, 1] = 7
    classes = (samples[:, 0] > 0).astype(np.int64)
    one, two = train(samples, classes, 2), train(samples.copy(), classes.copy(), 2)
    for name in ("features", "thresholds", "votes"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_votes_of_a_box_are_those_of_its_voxels() -> None:
    """The fast count over rows gives for each voxel what the trees give for its features."""
    data = RNG.normal(size=(12, 13, 14)).astype(np.float32)
    box = feature_box(data.__getitem__, data.shape, scales_of((10.0,) * 3, 12.0, 2), (2, 3, 4), (3, 4, 5))
    voxels = np.argwhere(np.ones(box.shape)) + box.start
    samples = box.at(voxels)
    forest = train(samples, RNG.integers(0, 3, len(samples)), 3, trees=5, depth=4)
    np.testing.assert_array_equal(forest.count_votes(box).reshape(3, -1).T, votes_of(forest, samples))


def test_votes_are_smoothed_exactly() -> None:
    """The winner is that of the binomial kernel, and at the border the nearest votes count."""
    votes = RNG.integers(0, 8000, (3, 6, 7, 8)).astype(np.uint16)
    padded = np.pad(votes.astype(np.int64), ((0, 0), (1, 1), (2, 2), (2, 2)), mode="edge")
    total = np.zeros(votes.shape, np.int64)
    for z, a in enumerate((1, 2, 1)):
        for y, b in enumerate((1, 4, 6, 4, 1)):
            for x, c in enumerate((1, 4, 6, 4, 1)):
                total += a * b * c * padded[:, z : z + 6, y : y + 7, x : x + 8]
    np.testing.assert_array_equal(winners(votes, (0, 0, 0), (6, 7, 8)), total.argmax(axis=0))
    np.testing.assert_array_equal(winners(votes, (1, 2, 2), (4, 3, 4)), total.argmax(axis=0)[1:5, 2:5, 2:6])
