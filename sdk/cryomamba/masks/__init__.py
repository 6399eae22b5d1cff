"""Masks, slab by slab: thresholds, components, cleaning, splitting, measurements, surfaces, meshes."""
