"""What the network recognizes in samples of a volume: the contrast and the best threshold follow from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Slices
from cryomamba_inference.network.model import SCORES, Structure, probabilities
from cryomamba_inference.volume_preparation.grid import Field
from cryomamba_inference.volume_preparation.region import NodesInside

Inputs = tuple[Field, Field]
"""Normalized densities, and the plate maps at half the resolution."""
Counts = npt.NDArray[np.int64]
_SURE = 0.9  # probability from which a node counts as recognized


class Recognition:
    """Runs the network on samples of a volume.

    Parameters
    ----------
    view : callable
        Returns what the network sees of a box of nodes, given the sign of dense matter.
    boxes : sequence of tuple of slice
        The samples.
    counted : callable
        Returns which nodes of a box count.
    structure : Structure
        Whose probabilities are counted.
    signs : sequence of int
        Signs of dense matter that are possible.
    """

    def __init__(
        self,
        view: Callable[[int, Slices], Inputs],
        boxes: Sequence[Slices],
        counted: NodesInside,
        structure: Structure,
        signs: Sequence[int],
    ) -> None:
        self._view, self._boxes, self._counted, self._structure, self._signs = view, boxes, counted, structure, signs
        self._recognized = {sign: np.zeros((len(boxes), 2), np.int64) for sign in signs}
        self._counts = {sign: np.zeros((len(boxes), SCORES), np.int64) for sign in signs}

    def tasks(self) -> list[Callable[[], None]]:
        """Return independent tasks; the other methods are for when all have ended."""
        return [partial(self._recognize, sign, index) for index in range(len(self._boxes)) for sign in self._signs]

    def share(self, sign: int) -> float:
        """Return the share of the nodes in which anything is recognized."""
        found, total = self._recognized[sign].sum(axis=0)
        return float(found / max(total, 1))

    def counts(self, sign: int) -> Counts:
        """Return how many nodes have each score, from 0 to 255, for the structure."""
        return np.asarray(self._counts[sign].sum(axis=0))

    def _recognize(self, sign: int, index: int) -> None:
        box = self._boxes[index]
        found = probabilities(*self._view(sign, box))[:, self._counted(box)]
        recognized = np.count_nonzero(found[Structure.BACKGROUND] < 1 - _SURE)
        self._recognized[sign][index] = recognized, found.shape[1]
        scores = np.rint((SCORES - 1) * found[self._structure]).astype(np.uint8)
        self._counts[sign][index] = np.bincount(scores, minlength=SCORES)
