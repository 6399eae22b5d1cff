"""Phantoms: synthetic tomograms with an exactly known ground truth.

`synthesize` makes a density and its labels from a `PhantomSpec`; `FAMILIES` names specifications of different kinds.
`score_mask` compares a mask with the labels, and `score_thresholds` compares a score map with them at every threshold.
"""

from cryomamba.synth.families import FAMILIES, Family
from cryomamba.synth.phantom import Phantom, clean_phantom, synthesize
from cryomamba.synth.scoring import MaskScore, score_mask, score_thresholds
from cryomamba.synth.spec import LABELS, PhantomSpec

__all__ = [
    "FAMILIES",
    "LABELS",
    "Family",
    "MaskScore",
    "Phantom",
    "PhantomSpec",
    "clean_phantom",
    "score_mask",
    "score_thresholds",
    "synthesize",
]
