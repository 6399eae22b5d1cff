"""Detection kernels: pure functions from arrays to arrays, lengths in Å, axes ZYX."""
