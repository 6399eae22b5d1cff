"""Trained models: how one is described, read from its folder, and found by its name.

The typed records that travel between processes are in :mod:`cryomamba.models`; a *trained* model is a network or a
classifier with its weights.
"""
