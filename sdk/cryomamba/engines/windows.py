"""Engines that predict overlapping windows, as networks do.

A network sees a box of fixed size and is good in its middle and poor at its border. So windows overlap, and the scores
of a voxel are the mean of those of all windows that have it, weighted by a Gaussian about each window's centre. The
runner does all of it: positions, resampling to the voxel size of the network, weights, previews, focus, cancel and
processes. Memory does not grow with the volume, and the result does not depend on the order of windows or on the number
of processes: sums are those of integers.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Final, Generic, Literal

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Engine, Labels, P, Tile, VolumeContext, Voxels
from cryomamba.engines.densities import Standardizer
from cryomamba.engines.uncertainty import binary_entropy_percent, entropy_percent, wants_uncertainty
from cryomamba.errors import ErrorCode, InternalError, JobFailedError
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.thresholds import HysteresisThreshold

Scores = npt.NDArray[np.float32]
"""Shape (channels, z, y, x)."""
Axis = Literal["z", "y", "x"]
Resampling = Literal["average", "spline"]

SCORES_MAX: Final = 4096.0
"""What a network gives beyond it, in either direction, is limited to it."""
_CERTAIN: Final = 16.0
"""Logit of a label that is certain, for voxels that are not computed."""
_HALF: Final = 128
"""Of the scores from 0 to 255: the least above one half."""


def probabilities(logits: Scores, scoring: Literal["softmax", "sigmoid"]) -> Scores:
    """Return softmax over the channels, or the logistic function of each, of logits (channels, z, y, x)."""
    if scoring == "sigmoid":
        # By tanh, which does not overflow.
        return np.asarray(0.5 + 0.5 * np.tanh(logits / 2), np.float32)
    exponential = np.exp(logits - logits.max(axis=0))
    return np.asarray(exponential / exponential.sum(axis=0), np.float32)


class WindowEngine(Engine[P], Generic[P]):
    """A segmentation method that predicts windows. A subclass implements :meth:`predict_window`.

    A second engine is prepared with the statistics of a small sample (:attr:`VolumeContext.coarse` is then True), for
    the first windows that are shown while the volume is being read: that must be quick.

    The class sets the attributes, or its constructor depending on the parameters. As any engine it is pickled into
    processes after :meth:`prepare`, so it holds plain data; what is large, such as a loaded network, is kept in the
    module.

    Attributes
    ----------
    window : tuple of int
        Voxels (z, y, x) of a window, on the grid of the network.
    overlap : tuple of float
        Fraction of the window by which neighbours overlap at least, 0 to 0.9, along z, y, x.
    weights_offset : tuple of float
        Voxels from the centre of a window to where its weights are largest, along z, y, x.
    channels : int
        How many scores a voxel has.
    scoring : {'softmax', 'sigmoid'}
        With softmax, channel 0 is the background, channel n is label n, and the largest wins. With sigmoid, channel n
        is label n + 1, and the largest of those above `threshold` wins.
    logits : bool
        Whether that function is still to be applied to what :meth:`predict_window` returns. It is applied to the mean
        of all windows, mirrorings and members.
    threshold : float
        Probability from which on a voxel belongs to a label, with sigmoid.
    network_voxel_size_A : tuple of float or None
        Ångström (z, y, x) to which the volume is resampled; None for no resampling. An axis with 0 is not resampled.
    resampling : {'average', 'spline'}
        How: by averages of what a coarser voxel covers and cubic convolution to finer ones, or by the values of a cubic
        spline through the voxels, as nnU-Net does, which aliases when it coarsens.
    voxel_size_tolerance : float
        Relative difference of voxel sizes up to which an axis is not resampled.
    mirror : sequence of {'z', 'y', 'x'}
        Axes along which windows are mirrored: scores are the mean over all combinations, 8 for three axes.
    members : int
        How many models an ensemble has; their scores are averaged.
    labels : mapping of int to str
        As of any engine; with one label, `output` is ``scores`` and can be re-thresholded.
    """

    window: Shape = (64, 64, 64)
    overlap: Spacing = (0.5, 0.5, 0.5)
    weights_offset: Spacing = (0.0, 0.0, 0.0)
    channels: int = 2
    scoring: Literal["softmax", "sigmoid"] = "softmax"
    logits: bool = True
    threshold: float = 0.5
    network_voxel_size_A: Spacing | None = None
    resampling: Resampling = "average"
    voxel_size_tolerance: float = 0.05
    mirror: Sequence[Axis] = ()
    members: int = 1
    scratch_per_voxel = 8
    _standardizer: Standardizer = Standardizer()

    @abstractmethod
    def predict_window(self, data: Voxels, member: int) -> Scores:
        """Return the scores of a window; must be deterministic, and the same in every process.

        Parameters
        ----------
        data : ndarray of float32
            Normalized densities, of the shape `window`. Do not modify it or keep a reference.
        member : int
            Which model of an ensemble, from 0.

        Returns
        -------
        ndarray of float32
            Shape (channels, z, y, x); not NaN.
        """

    def prepare(self, context: VolumeContext) -> None:
        """Note mean and standard deviation of the volume, or of the region that limits the job, for :meth:`normalize`.

        A subclass that normalizes otherwise overrides both.
        """
        self._standardizer = Standardizer.of(context.statistics)

    def normalize(self, data: Voxels) -> Voxels:
        """Return the densities of a window as the network expects them: by default standardized by the volume's.

        Called with a new array of the part of the window that is in the volume, on the grid of the network; outside,
        the window is filled with 0 afterwards.
        """
        return data

    @property
    def blended_channels(self) -> int:
        """Channels of :meth:`window_scores`: those of the scores, and those of the probabilities."""
        return 2 * self.channels if self._blends_probabilities else self.channels

    def window_scores(self, data: Voxels) -> Scores:
        """Return the scores of a normalized window, averaged over mirrorings and members.

        If the uncertainty is wanted and the scores are logits, the mean probabilities follow as further channels: a
        mean of logits hides how much they differ.

        Raises
        ------
        JobFailedError
            The scores have another shape, or are NaN.
        """
        total = np.zeros((self.blended_channels, *data.shape), np.float32)
        count = 0
        for member in range(self.members):
            for axes in self._mirrorings():
                flipped = np.ascontiguousarray(np.flip(data, axes))
                found = self._checked(self.predict_window(flipped, member), data.shape)
                found = np.flip(found, tuple(axis + 1 for axis in axes))
                total[: self.channels] += found
                if self._blends_probabilities:
                    total[self.channels :] += self.probabilities(found)
                count += 1
        return np.asarray(total / np.float32(count), np.float32)

    def empty_scores(self) -> npt.NDArray[np.float32]:
        """Return what :meth:`window_scores` has for a voxel of the background, for windows that are not computed."""
        if self.scoring == "softmax":
            scores = np.zeros(self.channels, np.float32)
            scores[0] = _CERTAIN if self.logits else 1.0
        else:
            scores = np.full(self.channels, -_CERTAIN if self.logits else 0.0, np.float32)
        return np.concatenate([scores, self.probabilities(scores)]) if self._blends_probabilities else scores

    def probabilities(self, scores: Scores) -> Scores:
        """Return the probabilities of averaged scores, of the same shape."""
        return probabilities(scores, self.scoring) if self.logits else scores

    def decode(self, scores: Scores) -> Labels:
        """Return labels, or the scores from 0 to 255 of the only label, of averaged scores; ZYX, a new array."""
        if self.output == "scores":
            probability = self.probabilities(scores)[-1]
            return np.asarray(np.rint(np.clip(probability, 0, 1) * 255), np.uint8)
        largest: npt.NDArray[np.intp] = scores.argmax(axis=0)
        if self.scoring == "sigmoid":
            largest = np.where(self.probabilities(scores).max(axis=0) >= self.threshold, largest + 1, 0)
        return largest.astype(np.uint8) if self.channels <= 256 else largest.astype(np.uint16)

    def uncertainty(self, blended: Scores) -> npt.NDArray[np.uint8]:
        """Return the predictive entropy in percent, ZYX, of what :meth:`window_scores` gives, averaged over windows.

        With sigmoid it is that of the most uncertain label.
        """
        mean = blended[-self.channels :]
        if self.scoring == "softmax":
            return entropy_percent(np.clip(mean, 0, 1))
        return np.asarray(np.max([binary_entropy_percent(each) for each in mean], axis=0), np.uint8)

    def thresholds(self) -> HysteresisThreshold:
        """Return the threshold on the scores of the only label."""
        lowest = _HALF if self.scoring == "softmax" else min(max(round(self.threshold * 255 + 0.5), 1), 255)
        return HysteresisThreshold(lowest, lowest)

    def predict(self, tile: Tile) -> Labels:  # noqa: ARG002 (the interface)
        """Raise: the runner predicts windows, not tiles."""
        raise InternalError(f"The engine '{self.name}' predicts windows, not tiles.")

    @property
    def _blends_probabilities(self) -> bool:
        return self.logits and wants_uncertainty(self)

    def _mirrorings(self) -> Iterator[tuple[int, ...]]:
        axes = ["zyx".index(axis) for axis in self.mirror]
        for count in range(len(axes) + 1):
            yield from itertools.combinations(axes, count)

    def _checked(self, scores: Scores, shape: tuple[int, ...]) -> Scores:
        expected = (self.channels, *shape)
        if scores.shape != expected:
            raise JobFailedError(
                f"The model returned scores of shape {scores.shape}; {expected} is expected.",
                code=ErrorCode.ENGINE_FAILED,
                hint="Check labels, window and axes in the description of the model: 'cryomamba models check'.",
            )
        if not np.isfinite(scores).all():
            raise JobFailedError(
                "The model returned scores that are NaN or infinite.",
                code=ErrorCode.ENGINE_FAILED,
                hint="Check the normalization in the description of the model, and the density of the tomogram.",
            )
        return np.asarray(scores, np.float32)
