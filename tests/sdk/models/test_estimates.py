"""Estimates as people read them."""

from __future__ import annotations

from cryomamba.engines.api import Estimate
from cryomamba.models.estimates import estimates_line


def test_names_become_words_and_units() -> None:
    """The last part of a name is its unit where it is one; numbers have three digits."""
    estimates: dict[str, Estimate] = {
        "contrast": "dark",
        "contrast_margin": 0.12345,
        "tilt_range_deg": 60.0,
        "step_A": 13.5,
        "nm": 2,
    }
    assert estimates_line(estimates) == "contrast dark, contrast margin 0.123, tilt range ±60°, step 13.5 Å, nm 2"
    assert estimates_line({}) == ""


def test_a_checksum_is_shown_by_its_first_characters() -> None:
    """Twelve of them tell models apart."""
    assert estimates_line({"model": "net", "model_sha256": "0123456789abcdef" * 4}) == (
        "model net, model sha256 0123456789ab"
    )
