"""Checks a model: its description, its files, a window, and its test tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from cryomamba.engines.windows import Scores, probabilities
from cryomamba.errors import CryoMambaError
from cryomamba.models.trained_models import Kind
from cryomamba.trained_models.description import WINDOW_VOXELS_MAX, ModelDescription, TestCase
from cryomamba.trained_models.model import Model, read_model
from cryomamba_inference.torch_networks.loaded import run_network
from cryomamba_inference.torch_networks.loaders import LOADERS
from cryomamba_inference.trained_models.normalizer import Normalizer
from cryomamba_inference.trained_models.onnx_network import networks_of, onnx_problems
from cryomamba_inference.trained_models.tensors import Tensor, to_scores, to_tensor

_OUTPUT_MAX: Final = 2**28
"""Elements of the largest test tensor of an output; that of an input is at most the largest window."""

_DETAIL_MAX: Final = 200

Run = Callable[[Tensor], Tensor]
"""Runs one network on a tensor with the axes of the description."""


@dataclass(frozen=True, slots=True)
class Opened:
    """How the networks of a kind of model are run for a check.

    Attributes
    ----------
    problems : callable
        Returns what is wrong with the weights without loading them.
    open : callable
        Returns one network for each weights file.
    """

    problems: Callable[[Model], list[str]]
    open: Callable[[Model], tuple[Run, ...]]


def _of_torch(kind: Kind) -> Opened:
    def networks(model: Model) -> tuple[Run, ...]:
        return tuple(partial(run_network, network) for network in LOADERS[kind](model))

    # What is wrong with them is found while they are opened, which runs nothing.
    return Opened(lambda _model: [], networks)


KINDS: Final[Mapping[Kind, Opened]] = {
    "onnx": Opened(onnx_problems, lambda model: networks_of(model.weights, "cpu")),
    **{kind: _of_torch(kind) for kind in LOADERS},
}
"""The kinds of models whose networks can be run here."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found.

    Attributes
    ----------
    model : Model or None
        None if it could not be read.
    passed : tuple of str
        What was checked and is right, one sentence each.
    problems : tuple of str
        What is wrong.
    notes : tuple of str
        What could not be checked.
    """

    model: Model | None
    passed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check_model(path: Path) -> CheckResult:
    """Check a model on disk; nothing is raised for what is wrong with it."""
    try:
        model = read_model(path)
    except CryoMambaError as error:
        return CheckResult(None, problems=tuple(_listed(error)))
    passed = [f"{' and '.join(model.sidecars) or 'The weights'} can be read, and all files are there."]
    problems = model.checksum_problems()
    kind = KINDS.get(model.description.kind)
    if kind is None:
        note = f"Models of kind '{model.description.kind}' are checked when they run."
        return CheckResult(model, tuple(passed), tuple(problems), (note,))
    problems += kind.problems(model)
    if problems:
        return CheckResult(model, tuple(passed), tuple(problems))
    notes: list[str] = []
    try:
        networks = kind.open(model)
        passed += _checked_window(model.description, networks)
        for test in model.description.tests:
            _check_test(model, test, networks, passed, problems)
        if not model.description.tests:
            notes.append("The sidecar has no test tensors, so whether the scores are right was not checked.")
    except CryoMambaError as error:
        problems += _listed(error)
    except (ValueError, RuntimeError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError) as error:
        # Of PyTorch; a program of TorchScript puts its own lines before the reason.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        detail = (lines[-1] if lines else type(error).__name__)[:_DETAIL_MAX].rstrip(".")
        problems.append(f"The network cannot be used: {detail}.")
    return CheckResult(model, tuple(passed), tuple(problems), tuple(notes))


def _listed(error: CryoMambaError) -> list[str]:
    problems = error.details.get("problems")
    return [str(one) for one in problems] if isinstance(problems, list) else [error.message]


def _checked_window(described: ModelDescription, networks: tuple[Run, ...]) -> list[str]:
    noise = np.random.default_rng(0).normal(size=described.window).astype(np.float32)
    for name, network in zip(described.weights, networks, strict=True):
        scores = to_scores(network(to_tensor(noise, described.axes)), described.output_axes)
        expected = (described.channels, *described.window)
        if scores.shape != expected:
            names = ", ".join(described.labels.values())
            raise ValueError(
                f"'{name}' gives scores of shape {scores.shape} for a window, and {expected} is expected for the "
                f"labels {names} with {described.scores}"
            )
        if not np.isfinite(scores).all():
            raise ValueError(f"'{name}' gives NaN or infinite scores for a window of noise")
    z, y, x = described.window
    return [f"A window of {z} × {y} × {x} voxels gives scores of {described.channels} channels."]


def _check_test(
    model: Model, test: TestCase, networks: tuple[Run, ...], passed: list[str], problems: list[str]
) -> None:
    described = model.description
    given = _tensor(model.folder / test.input, WINDOW_VOXELS_MAX)
    wanted = _tensor(model.folder / test.output, _OUTPUT_MAX)
    values = given.astype(np.float64).reshape(-1)
    normalizer = Normalizer.of_values(described.normalization, values)
    data = normalizer(given.astype(np.float32))
    found = np.mean(
        [_probabilities(to_scores(run(data), described.output_axes), described) for run in networks], axis=0
    )
    expected = to_scores(wanted, described.output_axes)
    if found.shape != expected.shape:
        problems.append(f"'{test.output}' has the shape {expected.shape}, and the scores have {found.shape}.")
        return
    allowed = test.absolute_tolerance + test.relative_tolerance * np.abs(expected)
    difference = np.abs(found - expected)
    share = float(np.mean(~(difference <= allowed))) * 1e6
    if share > test.deviating_per_million:
        problems.append(
            f"The scores for '{test.input}' are not those of '{test.output}': {share / 1e4:.3g} % deviate, by at most "
            f"{float(np.nanmax(difference)):.3g}."
        )
    else:
        largest = float(difference.max())
        passed.append(f"The scores for '{test.input}' are those of '{test.output}', within {largest:.2g}.")


def _probabilities(scores: Scores, described: ModelDescription) -> Scores:
    return probabilities(scores, described.scores) if described.logits else scores


def _tensor(path: Path, most: int) -> Tensor:
    """Read a ``.npy`` file; objects, which would be unpickled, and huge arrays are refused."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError, TypeError, ArithmeticError, SyntaxError, RecursionError) as error:
        reason = str(error).partition("\n")[0][:_DETAIL_MAX]
        raise ValueError(f"'{path.name}' is not a NumPy array: {reason}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub" or not 0 < math.prod(array.shape) <= most:
        raise ValueError(f"'{path.name}' is not an array of at most {most:,} numbers")
    return np.asarray(array)
