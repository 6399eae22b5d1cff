"""Phantoms: synthetic tomograms with an exactly known ground truth.

`synthesize` makes a density and its labels from a `PhantomSpec`. `score_mask` compares a mask with the labels, and
`score_thresholds` compares a score map with them at every threshold.
"""

from cryomamba.synth.phantom import Phantom, synthesize
from cryomamba.synth.scoring import MaskScore, score_mask, score_thresholds
from cryomamba.synth.spec import LABELS, PhantomSpec

__all__ = ["LABELS", "MaskScore", "Phantom", "PhantomSpec", "score_mask", "score_thresholds", "synthesize"]
