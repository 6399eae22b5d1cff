"""``model.toml``: what a person writes becomes a description, and what is wrong is said in words."""

from __future__ import annotations

import pytest

from cryomamba.errors import InvalidRequestError
from cryomamba.trained_models.normalization import Clip, ScaleRange, ZeroMeanUnitVariance
from cryomamba.trained_models.toml_sidecar import parse_toml

SHORT = """
kind = "onnx"
weights = "net.onnx"
window = 64
[labels]
1 = "membrane"
"""


def problems(text: str) -> list[str]:
    """Return what is wrong with a sidecar."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_toml(text.encode(), "net")
    assert "'net'" in caught.value.message
    found = caught.value.details["problems"]
    assert isinstance(found, list)
    return found


def test_five_lines_are_enough() -> None:
    """Kind, weights, window and labels are asked for; one number stands for three equal ones."""
    found = parse_toml(SHORT.encode(), "net")
    assert (found.weights, found.window, found.overlap) == (("net.onnx",), (64, 64, 64), (0.5, 0.5, 0.5))
    assert (found.labels, found.channels, found.voxel_size_A) == ({1: "membrane"}, 2, None)


def test_normalization_is_a_word_or_a_list_of_steps() -> None:
    """A step without options is its name; several steps are done in order."""
    assert parse_toml(f'normalization = "zero_mean_unit_variance"\n{SHORT}'.encode(), "net").normalization == (
        ZeroMeanUnitVariance(),
    )
    steps = """
    [[normalization]]
    step = "clip"
    min_percentile = 1
    max_percentile = 99
    [[normalization]]
    step = "scale_range"
    over = "window"
    """
    found = parse_toml((SHORT + steps).encode(), "net").normalization
    assert found == (Clip(min_percentile=1, max_percentile=99), ScaleRange(over="window"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("windw = 64", "Did you mean 'window'?"),
        ("license = 'MIT'", "Did you mean 'licence'?"),
        ("overlap = 1.5", "'overlap.0' is invalid"),
        ("window = 4096", "at most 33,554,432 voxels"),
        ("axes = 'bczzx'", "give each axis once"),
        ("axes = 'bcyx'\noutput_axes = 'bcyx'", "window of 1 along z"),
        ("output_axes = 'bzyx'", "needs a channel axis"),
        ("voxel_size_A = 0", "greater than 0"),
        ("voxel_size_A = nan", "finite number"),
        ("normalization = 'log'", "'log'"),
        ("normalization = {step = 'clip'}", "at least one limit"),
        ("labels = {2 = 'membrane'}", "numbered 1, 2, 3"),
        ("kind = 'keras'", "'onnx', 'torchscript'"),
        ("weights = []", "at least 1 item"),
        ("kind = ", "not valid TOML"),
    ],
)
def test_a_mistake_is_named(line: str, words: str) -> None:
    """Each mistake is said in one sentence that names the field."""
    key = line.partition(" =")[0]
    kept = [
        each for each in SHORT.splitlines() if not each.startswith((f"{key} =", "[labels" if key == "labels" else "#"))
    ]
    if key == "labels":
        kept.remove('1 = "membrane"')
    found = problems("\n".join([line, *kept]))
    assert any(words in problem for problem in found), found


def test_all_mistakes_are_listed() -> None:
    """A person sees everything that is wrong at once."""
    found = problems("windw = 3\nkind = 'onnx'")
    assert {problem.split("'")[1] for problem in found} == {"windw", "weights", "labels", "window"}


def test_bytes_that_are_no_text_are_refused() -> None:
    """A binary file is not TOML."""
    with pytest.raises(InvalidRequestError, match="not valid TOML"):
        parse_toml(b"\xff\xfe\x00", "net")
