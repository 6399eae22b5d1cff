"""Corrections of a mask in memory, each in the bounding box that it needs."""
