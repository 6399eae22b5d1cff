"""Pixel classification: features on several scales, and a random forest that is trained on painted strokes."""
