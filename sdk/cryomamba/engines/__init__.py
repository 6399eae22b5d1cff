"""Engines: what a segmentation method is, how methods are found, and which files they make."""
