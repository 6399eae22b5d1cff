"""Networks of PyTorch: checkpoints read without running anything of theirs, and the networks built from them.

PyTorch and what else a network needs is imported when a function is called, so that importing these modules is light.
"""
