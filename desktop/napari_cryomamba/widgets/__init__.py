"""The panels. Each shows a part of the desk and holds no state of its own."""

from napari_cryomamba.widgets.main import CryoMambaWidget

__all__ = ["CryoMambaWidget"]
