"""Reads an nnU-Net v2 results folder as it is: plans, dataset and the checkpoints of its folds."""

from __future__ import annotations

import json
import lzma
import pickletools  # nosec B403 (it lists a pickle, and runs nothing)
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, Final

from cryomamba.trained_models.description import ModelDescription
from cryomamba.trained_models.nnunet_plans import DATASET, PLANS, NnunetPlans, parse_plans
from cryomamba.trained_models.problems import invalid_model

CHECKPOINTS: Final = ("checkpoint_final.pth", "checkpoint_best.pth")
"""Checkpoints of a fold, the first one that is there counts."""
_JSON_MAX: Final = 32 * 1024**2
_PICKLE_MAX: Final = 64 * 1024**2
_LITERALS_MAX: Final = 1_000_000
"""How many values of a pickle are looked at; a checkpoint has some ten thousand."""
_CONFIGURATION: Final = "configuration"
_MIRRORED: Final = "inference_allowed_mirroring_axes"
_SKIPPED: Final = ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE", "MARK", "EMPTY_LIST")


def read_nnunet_folder(path: Path, name: str) -> tuple[ModelDescription, tuple[str, ...]] | None:
    """Return the description of a results folder and the files it was read from; None if it is not one.

    Raises
    ------
    InvalidRequestError
        It is one, and cannot be used.
    """
    if not (path.is_dir() and (path / PLANS).is_file() and (path / DATASET).is_file()):
        return None
    return read_plans(path, name).description, (PLANS, DATASET)


def read_plans(folder: Path, name: str) -> NnunetPlans:
    """Read plans, dataset and, of the first checkpoint, which configuration was trained.

    Raises
    ------
    InvalidRequestError
        A file is missing, broken, or describes a network that cannot be used here.
    """
    weights = _checkpoints(folder)
    if not weights:
        raise invalid_model(name, [f"it has no checkpoint (fold_0/{CHECKPOINTS[0]})"], hint="Copy the folds, too.")
    configuration, mirrored = _stated(folder / weights[0])
    plans, dataset = (_json(folder / file, name) for file in (PLANS, DATASET))
    return parse_plans(plans, dataset, weights, name, configuration=configuration, mirrored=mirrored)


def _checkpoints(folder: Path) -> list[str]:
    """Return the checkpoints of the folds; that of all data counts if there are no others."""
    found = {
        fold.name: f"{fold.name}/{file}"
        for fold in sorted(folder.glob("fold_*"))
        for file in reversed(CHECKPOINTS)
        if (fold / file).is_file()
    }
    single = found.pop("fold_all", None)
    return list(found.values()) or ([single] if single else [])


def _json(path: Path, name: str) -> Mapping[str, Any]:
    if path.stat().st_size > _JSON_MAX:
        raise invalid_model(name, [f"'{path.name}' is larger than {_JSON_MAX // 1024**2} MiB"])
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise invalid_model(name, [f"'{path.name}' is not valid JSON: {str(error)[:100]}"]) from None
    if not isinstance(found, dict):
        raise invalid_model(name, [f"'{path.name}' is not a JSON object"])
    return found


def _stated(checkpoint: Path) -> tuple[str | None, tuple[int, ...] | None]:
    """Return configuration and axes that may be mirrored, if the checkpoint states them.

    The instructions of its pickle are listed, not run.
    """
    configuration: str | None = None
    mirrored: tuple[int, ...] | None = None
    try:
        values = list(islice(_literals(checkpoint), _LITERALS_MAX))
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        OSError,
        EOFError,
        ValueError,
        LookupError,
        RuntimeError,
        ArithmeticError,
        struct.error,
    ):
        return None, None
    for number, value in enumerate(values[:-1]):
        if value == _CONFIGURATION and isinstance(values[number + 1], str):
            configuration = configuration or str(values[number + 1])
        if value == _MIRRORED:
            axes = tuple(takewhile(lambda each: isinstance(each, int), values[number + 1 :]))
            mirrored = tuple(axis for axis in (0, 1, 2) if axis in axes)
    return configuration, mirrored


def _literals(checkpoint: Path) -> Iterator[str | int | None]:
    """Yield the texts and integers of a checkpoint's pickle in order, and None for what else stands between them."""
    with zipfile.ZipFile(checkpoint) as archive:
        inner = next((item for item in archive.infolist() if item.filename.endswith("/data.pkl")), None)
        if inner is None or inner.file_size > _PICKLE_MAX:
            return
        data = archive.read(inner)
    remembered: dict[int, str] = {}
    last: str | int | None = None
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("BINPUT", "LONG_BINPUT") and isinstance(last, str) and isinstance(argument, int):
            remembered[argument] = last
        if opcode.name in _SKIPPED:
            continue
        last = None
        if opcode.name in ("BINGET", "LONG_BINGET") and isinstance(argument, int):
            last = remembered.get(argument)
        elif isinstance(argument, str | int) and opcode.name.endswith(("UNICODE", "INT", "INT1", "INT2")):
            last = argument
        yield last
