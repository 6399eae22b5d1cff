"""Colours and names of labels; the user's choices stay when the mask changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Color = tuple[float, float, float, float]

PALETTE_KEY = "cryomamba_palette"
"""Where a layer's metadata hold its palette."""

# The palette of Okabe and Ito, safe for colour-blind people; colours that stand out best on grey come first.
COLORS: tuple[str, ...] = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#0072b2")


def free_color(taken: Iterable[int]) -> int:
    """Return the number of the colour that the fewest masks begin with."""
    counts = Counter(first % len(COLORS) for first in taken)
    return min(range(len(COLORS)), key=lambda first: (counts[first], first))


def color_of(label: int) -> str:
    """Return the default colour of a label."""
    return COLORS[(label - 1) % len(COLORS)]


@dataclass(slots=True)
class Palette:
    """Names and colours by label; background (0) has neither.

    Attributes
    ----------
    names, chosen : dict
        Names, and colours that the user chose.
    first : int
        Number of the default colour of label 1, so that masks over one tomogram differ.
    """

    names: dict[int, str] = field(default_factory=dict)
    chosen: dict[int, str] = field(default_factory=dict)
    first: int = 0

    def add_names(self, names: Mapping[int, str]) -> bool:
        """Add the names of a job's labels; names that are known stay. Return whether any is new."""
        fresh = {label: name for label, name in names.items() if label > 0 and label not in self.names}
        self.names.update(fresh)
        return bool(fresh)

    def rename(self, label: int, name: str) -> None:
        """Give a label a name."""
        self.names[label] = name.strip() or f"label {label}"

    def set_color(self, label: int, color: str) -> None:
        """Give a label a colour, ``#rrggbb``."""
        self.chosen[label] = color

    def color(self, label: int) -> str:
        """Return the colour of a label, ``#rrggbb``."""
        return self.chosen.get(label, color_of(label + self.first))

    def name(self, label: int) -> str:
        """Return the name of a label."""
        return self.names.get(label, f"label {label}")

    @property
    def labels(self) -> list[int]:
        """The labels that have a name, in order."""
        return sorted(self.names)

    def color_dict(self, labels: Iterable[int]) -> dict[int | None, str]:
        """Return the colours for napari's ``DirectLabelColormap``, those of labels without a name included."""
        colors: dict[int | None, str] = {None: color_of(1 + self.first), 0: "#00000000"}
        colors.update({label: self.color(label) for label in {*self.labels, *labels} if label > 0})
        return colors
