"""Blob filters and the choice of picks for particles."""
