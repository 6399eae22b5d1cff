"""The offer to open edits that an earlier process could not save."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_cryomamba.app.autosave import Autosave
from napari_cryomamba.widgets.offer_bar import OfferBar


class RecoveryBar(OfferBar):
    """Offers the edits that were kept when a process crashed or was killed."""

    def __init__(self, autosave: Autosave, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._autosave = autosave

    def offer_edits(self) -> None:
        """Offer what is found; stay hidden if there is nothing."""
        found = self._autosave.left_behind()
        if not found:
            return
        newest = found[0][1]
        when = f"{newest.saved_at.astimezone():%d %B, %H:%M}"
        what = f"edits of '{newest.name}'" if len(found) == 1 else f"edits of {len(found)} masks"
        self.offer(
            f"Unsaved {what} from {when} were kept: the program ended before they were saved.",
            "Open",
            lambda: self._autosave.recover(found),
            dismiss="Delete",
            on_dismiss=lambda: self._autosave.discard(found),
        )
