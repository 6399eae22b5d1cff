"""Importing the SDK is light."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "qtpy",
    "PyQt6",
    "PySide6",
    "napari",
    "fastapi",
    "starlette",
    "uvicorn",
    "scipy",
    "onnxruntime",
    "torch",
    "zarr",
    "nibabel",
    "httpx",
    "zmq",
)


def test_import_pulls_in_nothing_heavy() -> None:
    """``import cryomamba`` loads neither Qt nor a web framework nor numerics; the client loads only what it needs."""
    program = (
        "import sys, cryomamba\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
        "cryomamba.connect\n"
        f"print([name for name in {HEAVY[:11]!r} if name in sys.modules])\n"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.split("\n")[:2] == ["[]", "[]"]


def test_every_public_name_is_there() -> None:
    """Each name that the package lists can be had, and no other."""
    import cryomamba

    for name in cryomamba.__all__:
        assert getattr(cryomamba, name)
    assert not hasattr(cryomamba, "no_such_name")
