"""Slices of previews as images."""

from __future__ import annotations

from cryomamba_gateway.png import palette


def test_labels_keep_their_colours_and_differ() -> None:
    """256 different colours, the same on every machine."""
    colours = [palette()[place : place + 3] for place in range(0, 768, 3)]
    assert colours[0] == b"\0\0\0"
    assert len(set(colours)) == 256
    assert colours[1] == bytes([238, 136, 43])
