"""Imports of packages that come with an extra; if one is missing, the error says what to install."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final

from cryomamba.errors import ErrorCode, InvalidRequestError

# Of packages that are imported in passing, by the name of their module; a test compares them with pyproject.toml.
_EXTRAS: Final = {
    **dict.fromkeys(("cc3d", "edt", "nibabel", "scipy", "tifffile", "zarr"), "tomo"),
    **dict.fromkeys(("numba", "onnxruntime", "PIL", "psutil", "threadpoolctl"), "inference"),
    **dict.fromkeys(
        ("fastapi", "honcho", "httpcore", "jsonschema", "jwt", "orjson", "prometheus_client", "uvicorn"), "server"
    ),
    **dict.fromkeys(("napari", "qtpy", "superqt"), "desktop"),
    **dict.fromkeys(("h5py", "onnx"), "convert"),
    "torch": "torch",
    "monai": "membrain",
    "nnunetv2": "nnunet",
}


def import_optional(name: str) -> ModuleType:
    """Import a package of the ``tomo`` extra when it is needed.

    Raises
    ------
    InvalidRequestError
        ``engine_unavailable``: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise _missing(name.partition(".")[0], "tomo") from error


@contextmanager
def requires_extra(extra: str) -> Iterator[None]:
    """Turn a failed import in a ``with`` block into an error that names the extra to install.

    Raises
    ------
    InvalidRequestError
        ``engine_unavailable``: a package is missing.
    """
    try:
        yield
    except ImportError as error:
        raise _missing(error.name or str(error), extra) from error


def missing_package(error: ImportError) -> InvalidRequestError | None:
    """Return an error that names the extra with the package that could not be imported; None if it is in none."""
    package = (error.name or "").partition(".")[0]
    extra = _EXTRAS.get(package)
    return None if extra is None or not isinstance(error, ModuleNotFoundError) else _missing(package, extra)


def _missing(package: str, extra: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"The package {package} is not installed here.",
        code=ErrorCode.ENGINE_UNAVAILABLE,
        hint=f"Install it with: pip install 'cryomamba[{extra}]'.",
    )
