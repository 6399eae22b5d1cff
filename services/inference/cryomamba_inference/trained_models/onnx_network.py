"""Networks in ONNX files: checked, loaded once per process, and run in one thread."""

from __future__ import annotations

import sys
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnxruntime

from cryomamba.errors import ErrorCode, InvalidRequestError, JobFailedError
from cryomamba.trained_models.model import Model
from cryomamba.trained_models.model_files import path_problem
from cryomamba.trained_models.problems import invalid_model
from cryomamba_inference.trained_models.onnx_file import read_onnx
from cryomamba_inference.trained_models.tensors import Tensor

Device = Literal["cpu", "gpu"]
_GPU: Final = (
    "CUDAExecutionProvider",
    "ROCMExecutionProvider",
    "MIGraphXExecutionProvider",
    "DmlExecutionProvider",
    "CoreMLExecutionProvider",
)
"""Providers that compute on a graphics processor, the preferred first."""
_CPU: Final = "CPUExecutionProvider"
_TYPES: Final = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
}
_DETAIL_MAX: Final = 300
_loading: Final = threading.Lock()


def provider_of(device: Device) -> str:
    """Return onnxruntime's provider for a device.

    Raises
    ------
    InvalidRequestError
        ``invalid_parameters``: the onnxruntime that is installed here cannot use a graphics processor.
    """
    if device == "cpu":
        return _CPU
    available = onnxruntime.get_available_providers()
    found = next((one for one in _GPU if one in available), None)
    if found is None:
        raise InvalidRequestError(
            "The onnxruntime that is installed here computes on the CPU only.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint="Use device=cpu, or install onnxruntime-gpu (CUDA) or onnxruntime-directml in place of onnxruntime.",
        )
    return found


def require_safe(model: Model) -> None:
    """Refuse a model whose ONNX files read other files than its own, or need operators of others.

    Raises
    ------
    InvalidRequestError
        With all problems in ``details``.
    """
    problems = onnx_problems(model)
    if problems:
        raise invalid_model(model.name, problems)


def onnx_problems(model: Model) -> list[str]:
    """Return what is wrong with the ONNX files of a model, without loading them."""
    found: list[str] = []
    own = {*model.description.weights, *model.description.extra_files}
    for name in model.description.weights:
        try:
            content = read_onnx(model.folder / name)
        except ValueError as error:
            found.append(f"'{name}' cannot be read: {error}")
            continue
        # Locations are relative to the file that states them.
        prefix = name.rpartition("/")[0]
        for location in sorted(content.external):
            path = f"{prefix}/{location}" if prefix else location
            if problem := path_problem(model.folder, path):
                found.append(f"'{name}' has weights in another file: {problem}")
            elif path not in own:
                found.append(f"'{name}' has weights in '{path}', which must be listed in extra_files")
        if content.foreign:
            listed = ", ".join(name[:80] for name in sorted(content.foreign)[:5])
            found.append(f"'{name}' needs operators that are not part of ONNX or onnxruntime ({listed})")
    return found


class OnnxNetwork:
    """One loaded network."""

    def __init__(self, path: Path, device: Device) -> None:
        options = onnxruntime.SessionOptions()
        # There are as many processes as cores, and the order of summation must not depend on their number.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        provider = provider_of(device)
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=[provider] if provider == _CPU else [provider, _CPU]
            )
        except Exception as error:  # noqa: BLE001 (onnxruntime has many classes of errors, without a common one)
            raise _failed("cannot be loaded", path.name, error) from None
        self._name = path.name
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(each.name for each in inputs)
            raise _refused(self._name, f"it takes {len(inputs)} inputs ({names}); there is only the tomogram")
        self._input = inputs[0]
        if self._input.type not in _TYPES:
            raise _refused(self._name, f"its input is a {self._input.type}, and not one of numbers")
        self._output = self._session.get_outputs()[0].name

    def __call__(self, tensor: Tensor) -> Tensor:
        """Return the first output for an input.

        Raises
        ------
        JobFailedError
            The input does not fit, or the network fails.
        """
        self._require_shape(tensor.shape)
        data = tensor.astype(_TYPES[self._input.type], copy=False)
        try:
            (found,) = self._session.run([self._output], {self._input.name: data})
        except Exception as error:  # noqa: BLE001 (as above)
            raise _failed("failed", self._name, error) from None
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiub":
            raise _refused(self._name, "its first output is not an array of numbers")
        return found

    def _require_shape(self, shape: tuple[int, ...]) -> None:
        wanted = self._input.shape
        sizes = [each if isinstance(each, int) else None for each in wanted]
        fits = len(sizes) == len(shape) and all(
            size is None or size == given for size, given in zip(sizes, shape, strict=True)
        )
        if not fits:
            shown = ", ".join("any" if size is None else str(size) for size in sizes)
            raise _refused(self._name, f"it takes an input of shape ({shown}), and the description gives {shape}")


def _failed(what: str, name: str, error: Exception) -> JobFailedError:
    # onnxruntime states the file's path and lines of its own source.
    detail = " ".join(str(error).split())
    detail = detail.rpartition(" : ")[2] or detail
    if "alloc" in detail.lower():
        return JobFailedError(
            f"The network '{name}' needs more memory than there is.",
            code=ErrorCode.OUT_OF_MEMORY,
            hint="Use a smaller window in the description of the model, or fewer processes (CRYOMAMBA_PROCESSES).",
        )
    return JobFailedError(
        f"The network '{name}' {what}: {detail[:_DETAIL_MAX].rstrip('.')}.",
        code=ErrorCode.ENGINE_FAILED,
        hint="'cryomamba models check FOLDER' checks the model.",
    )


def _refused(name: str, problem: str) -> JobFailedError:
    return JobFailedError(
        f"The network '{name}' cannot be used: {problem}.",
        code=ErrorCode.ENGINE_FAILED,
        hint="Correct the description of the model; 'cryomamba models check FOLDER' checks it.",
    )


def networks_of(paths: tuple[Path, ...], device: Device) -> tuple[OnnxNetwork, ...]:
    """Return the networks of a model: those of the last models stay loaded in a process, from job to job."""
    stamps = tuple((path, *_stamp(path)) for path in paths)
    with _loading:
        return _loaded(stamps, device)


@lru_cache(maxsize=2)
def _loaded(stamps: tuple[tuple[Any, ...], ...], device: Device) -> tuple[OnnxNetwork, ...]:
    return tuple(OnnxNetwork(path, device) for path, *_ in stamps)


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, 0 if sys.platform == "win32" else status.st_ino
