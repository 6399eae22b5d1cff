"""Tests with networks of PyTorch, nnU-Net, MemBrain-seg and Keras, in the environment that `make test-models` makes.

`make test` has none of these packages and does not collect them here; there, `make test-models` is a run of its own,
which fails if it collects nothing.
"""

from __future__ import annotations

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_*.py"]
