"""Engines: the interface of a segmentation method, the registry of installed ones, and the files they make."""
