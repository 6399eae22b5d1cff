"""How uncertain the label of each voxel is, by the predictive entropy.

An engine whose parameters derive from :class:`UncertaintyOptions` has the job write ``uncertainty.mrc`` on request.
With the probability p of each class, the background among them, the entropy of a voxel is −Σ p log p (Shannon 1948),
here in percent of log C, the largest that C classes can have. The probabilities are the mean over all that vote: the
models of an ensemble (Lakshminarayanan et al., NeurIPS 2017), mirrored windows (Wang et al., Neurocomputing 2019),
overlapping windows, or the trees of a forest (Criminisi et al. 2012). So it is high where a vote is close, be it that
each voter is undecided or that they contradict each other.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cryomamba.engines.api import Engine, EngineParameters
from cryomamba.engines.artifacts import PRODUCES

PERCENT_MAX: Final = 100
"""Of a voxel for which all classes are equally probable."""
_TINY: Final = 1e-30


class UncertaintyOptions(EngineParameters):
    """The parameter that requests the uncertainty of each voxel.

    With it, an engine that predicts windows does nothing more, and any other returns the uncertainty of each tile as
    :attr:`~cryomamba.engines.api.TileResult.uncertainty`, for which :func:`entropy_percent` is there.
    """

    uncertainty: bool = Field(
        default=False,
        title="Uncertainty",
        description="Also write uncertainty.mrc: the predictive entropy of each voxel, from 0 (one label is certain) "
        "to 100 (all are equally probable).",
        json_schema_extra={PRODUCES: "uncertainty"},
    )


def wants_uncertainty(engine: Engine[Any]) -> bool:
    """Return whether an engine's parameters request the uncertainty."""
    options = engine.parameters
    return isinstance(options, UncertaintyOptions) and options.uncertainty


def entropy_percent(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return the entropy in percent of the largest possible, rounded.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (classes, ...)
        Of at least two classes, the background among them; they add up to 1.
    """
    entropy = np.zeros(probabilities.shape[1:], np.float32)
    # Class by class, as intermediate results of all classes are large.
    for each in probabilities:
        entropy -= each * np.log(np.maximum(each, np.float32(_TINY)))
    percent = np.rint(entropy * np.float32(PERCENT_MAX / math.log(len(probabilities))))
    return np.asarray(np.clip(percent, 0, PERCENT_MAX), np.uint8)


def binary_entropy_percent(probability: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return the entropy of being in a structure or not, given the probability of being in it."""
    inside = np.clip(probability, 0, 1)
    return entropy_percent(np.stack([1 - inside, inside]))
