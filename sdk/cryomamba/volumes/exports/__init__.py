"""Masks and volumes in the formats of other programs."""
