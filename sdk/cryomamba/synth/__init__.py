"""Phantoms: synthetic tomograms whose truth is known exactly.

`synthesize` turns a `PhantomSpec` into a density and its labels; `score_mask` says how well a mask found them,
`score_thresholds` how well the masks that can be cut from scores would.
"""

from cryomamba.synth._phantom import Phantom, synthesize
from cryomamba.synth.scoring import MaskScore, score_mask, score_thresholds
from cryomamba.synth.spec import LABELS, PhantomSpec

__all__ = ["LABELS", "MaskScore", "Phantom", "PhantomSpec", "score_mask", "score_thresholds", "synthesize"]
