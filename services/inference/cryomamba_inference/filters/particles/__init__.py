"""Particles: blob filter and target-decoy threshold."""
