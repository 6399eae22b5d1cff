"""The panels. Each receives the controllers that it shows, and holds no state of its own."""

from napari_cryomamba.widgets.main import CryoMambaWidget

__all__ = ["CryoMambaWidget"]
