"""Shared by several methods: grids, background, padding, fiducials, the missing wedge."""
