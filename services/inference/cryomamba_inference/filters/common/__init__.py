"""What several methods use: grids, background, padding, fiducials, the missing wedge."""
