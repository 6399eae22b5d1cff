"""Overlapping windows: where they are, their weights, their sums, and the labels of finished blocks."""
