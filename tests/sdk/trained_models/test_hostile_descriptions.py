"""Descriptions that are hostile: whatever a field holds, reading ends soon, with a description or a short sentence."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.sdk.trained_models.test_rdf import V05

from cryomamba.errors import InvalidRequestError
from cryomamba.trained_models.model import read_model
from cryomamba.trained_models.nnunet_plans import parse_plans
from cryomamba.trained_models.rdf import parse_rdf
from cryomamba.trained_models.toml_sidecar import parse_toml

V04: Final[dict[str, Any]] = {
    "type": "model",
    "format_version": "0.4.9",
    "name": "net",
    "inputs": [
        {
            "name": "raw",
            "axes": "bczyx",
            "shape": {"min": [1, 1, 32, 32, 32], "step": [0, 0, 16, 16, 16]},
            "preprocessing": [{"name": "zero_mean_unit_variance", "kwargs": {"mode": "fixed", "mean": 1, "std": 2}}],
        }
    ],
    "outputs": [
        {
            "name": "out",
            "axes": "bczyx",
            "shape": {"reference_tensor": "raw", "scale": [1, 1, 1, 1, 1], "offset": [0, 0, 0, 0, 0]},
            "halo": [0, 0, 4, 4, 4],
            "postprocessing": [{"name": "sigmoid"}, {"name": "binarize", "kwargs": {"threshold": 0.5}}],
        }
    ],
    "test_inputs": ["in.npy"],
    "test_outputs": ["out.npy"],
    "weights": {"onnx": {"source": "net.onnx"}},
}
PLANS: Final[dict[str, Any]] = {
    "dataset_name": "d",
    "transpose_forward": [0, 1, 2],
    "configurations": {
        "3d_fullres": {
            "patch_size": [32, 32, 32],
            "spacing": [10.0, 10.0, 10.0],
            "normalization_schemes": ["CTNormalization"],
            "use_mask_for_norm": [False],
            "UNet_class_name": "PlainConvUNet",
            "UNet_base_num_features": 8,
            "unet_max_num_features": 320,
            "n_conv_per_stage_encoder": [2, 2],
            "n_conv_per_stage_decoder": [2],
            "conv_kernel_sizes": [[3, 3, 3], [3, 3, 3]],
            "pool_op_kernel_sizes": [[1, 1, 1], [2, 2, 2]],
        }
    },
    "foreground_intensity_properties_per_channel": {
        "0": {"mean": 0.2, "std": 2.0, "percentile_00_5": -3.0, "percentile_99_5": 4.0}
    },
}
DATASET: Final[dict[str, Any]] = {"channel_names": {"0": "t"}, "labels": {"background": 0, "membrane": 1}}

DEEP: list[Any] = []
for _ in range(200):
    DEEP = [DEEP]
VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    1,
    10**30,
    2**6000 * 3,
    math.inf,
    -math.inf,
    math.nan,
    1e-300,
    1e300,
    "",
    "x" * 20_000,
    "../../etc/passwd",
    "\0",
    "/dev/zero",
    [],
    {},
    [0],
    [[]],
    [{}],
    {"a": 1},
    {"x" * 20_000: 1},
    [None] * 2000,
    [0] * 5,
    [math.inf] * 3,
    ["x", {"y": 1}],
    DEEP,
)
SENTENCE_MAX: Final = 1000
SECONDS_MAX: Final = 5


def mutants(document: Any) -> Iterator[Any]:
    """Yield a document with each of its values replaced by each hostile one."""
    for path in paths(document):
        for value in VALUES:
            changed = copy.deepcopy(document)
            at = changed
            for part in path[:-1]:
                at = at[part]
            at[path[-1]] = value
            yield changed


def paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*before, key)
        if isinstance(inner, dict | list):
            yield from paths(inner, (*before, key))


def read(parse: Callable[[], object]) -> None:
    """Read a description; the only error is one of ours, and all it states is short."""
    try:
        parse()
    except InvalidRequestError as error:
        for sentence in (error.message, error.hint, *error.details["problems"]):
            assert 0 < len(sentence) <= SENTENCE_MAX, f"{len(sentence)} characters: {sentence[:300]}"


@pytest.mark.parametrize("document", [V05, V04], ids=["0.5", "0.4"])
def test_rdf_with_any_value_anywhere(document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model of bioimage.io."""
    for mutant in mutants(document):
        # Parsing YAML is tested below; here it is what comes after.
        monkeypatch.setattr(yaml, "load", lambda *_, found=mutant: found)
        read(lambda: parse_rdf(b"", "net"))


def test_plans_with_any_value_anywhere() -> None:
    """Of nnU-Net's two files."""
    for plans in mutants(PLANS):
        read(lambda plans=plans: parse_plans(plans, DATASET, ["fold_0/checkpoint_final.pth"], "net"))  # type: ignore[misc]
    for dataset in mutants(DATASET):
        read(lambda dataset=dataset: parse_plans(PLANS, dataset, ["fold_0/checkpoint_final.pth"], "net"))  # type: ignore[misc]


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "9" * 10_000,
        "a = 0x" + "f" * 200_000,
        "a = " + "[" * 100_000,
        "x" * 200_000 + " = 1",
        "labels = { " + "y" * 200_000 + ' = "a" }',
        'kind = "' + "z" * 200_000 + '"',
        "\n".join(f"k{n} = 1" for n in range(20_000)),
        "window = 1e999",
    ],
    ids=lambda text: text[:12],
)
def test_hostile_toml(text: str) -> None:
    """Numbers and names of a megabyte, nesting and thousands of unknown fields."""
    began = time.process_time()
    read(lambda: parse_toml(text.encode(), "net"))
    assert time.process_time() - began < SECONDS_MAX


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "9" * 10_000,
        "a: 0x" + "f" * 200_000,
        "format_version: 0x" + "f" * 100_000 + "\ntype: model",
        "a: " + ":".join(["59"] * 80_000),
        "a: " + ":".join(["59"] * 80_000) + ".5",
        "a: 2001-99-99",
        "a: 1e999999999",
        "? " * 50_000,
        "- " * 100_000,
        "{" * 100_000,
        "a: !!binary '" + "A" * 200_000 + "'",
        "!!timestamp x",
        "<<: {a: 1}",
        "<<: " + "[{" * 5000,
        "x" * 200_000 + ": 1",
        "type: model\nformat_version: 0.5.0\n" + "y: [" + "1, " * 60_000 + "]",
        "%YAML 9.9\n---\na: 1",
        "\xff\xfe",
        "? [a]\n: 1",
        "? {a: 1}\n: 1",
    ],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)
def test_hostile_yaml_is_read_in_bounded_time(text: str) -> None:
    """Numbers that grow with the square of their length, nesting, keys that are none, and long lists."""
    began = time.process_time()
    read(lambda: parse_rdf(text.encode("latin-1"), "net"))
    assert time.process_time() - began < SECONDS_MAX


def test_json_of_nnunet_is_read_in_bounded_time(tmp_path: Path) -> None:
    """Stages without number, nesting and numbers without end."""
    folder = tmp_path / "net"
    (folder / "fold_0").mkdir(parents=True)
    (folder / "fold_0" / "checkpoint_final.pth").write_bytes(b"x")
    stages = copy.deepcopy(PLANS)
    stages["configurations"]["3d_fullres"]["n_conv_per_stage_encoder"] = [1] * 3_000_000
    for text in (json.dumps(stages), "[" * 100_000, '{"a": ' + "9" * 10_000 + "}", '{"a": Infinity}', "[1]"):
        (folder / "plans.json").write_text(text)
        (folder / "dataset.json").write_text(json.dumps(DATASET))
        began = time.process_time()
        read(lambda: read_model(folder))
        assert time.process_time() - began < SECONDS_MAX
