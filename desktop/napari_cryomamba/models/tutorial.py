"""The steps of the guided first run. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Step(StrEnum):
    """What the person does next."""

    OPEN = "open"
    ENGINE = "engine"
    RUN = "run"
    WATCH = "watch"
    LOOK = "look"
    MEASURE = "measure"
    SAVE = "save"


TUTORIAL_ENGINE: Final = "membrane"
TEXTS: Final = {
    Step.OPEN: "Open the sample: a synthetic tomogram with vesicles. Choose CryoMamba → Open sample tomogram, or the "
    "button in the Tomogram tab.",
    Step.ENGINE: "Choose how to segment: go to the Segment tab, and choose the engine 'membrane'.",
    Step.RUN: "Press 'Run on this computer'. No server is needed.",
    Step.WATCH: "Watch the preview of the mask appear over the tomogram; scroll through the sections meanwhile. The "
    "job is listed below.",
    Step.LOOK: "Look at the mask in 3D: CryoMamba → View → 2D / 3D, or Ctrl+Shift+D. Drag to turn it.",
    Step.MEASURE: "Go to the Mask tab, and press 'Measure': volume, surface and thickness of each component.",
    Step.SAVE: "Press 'Save new version' at the bottom of the Mask tab: the mask is saved beside its tomogram.",
}
FINISHED: Final = (
    "That is all. Rulers and profiles are in the Measure tab, tools to correct a mask under Edit in the Mask tab."
)


@dataclass(slots=True)
class Progress:
    """Where a person is in the tutorial."""

    done: int = 0

    @property
    def step(self) -> Step | None:
        """The step to do next, None at the end."""
        steps = list(Step)
        return steps[self.done] if self.done < len(steps) else None

    @property
    def text(self) -> str:
        """Suggested next step."""
        if self.step is None:
            return FINISHED
        return f"Tutorial, step {self.done + 1} of {len(Step)}. {TEXTS[self.step]}"

    def advance(self) -> None:
        """Go to the next step."""
        self.done = min(self.done + 1, len(Step))
