"""The figures of one volume."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """How well the membranes of one volume were found.

    Attributes
    ----------
    crowding : float or None
        Volume fraction of background particles, if it is not that of the family.
    membranes : bool
        Whether the volume has any; without, `taken` is what counts.
    f1, precision, recall : float
        Of the mask, against all membranes.
    seen : float
        F1 where the tilt range lets membranes be seen.
    best : float
        F1 of the best threshold on the score map.
    taken : float
        Share of the voxels that the mask has.
    contrast : str or None
        What was decided; None if nothing was found and the engine does not tell.
    peers : dict
        F1 of other filters.
    """

    family: str
    voxel_A: float
    noise: str
    imaging: str
    seed: int
    crowding: float | None
    membranes: bool
    f1: float
    precision: float
    recall: float
    seen: float
    best: float
    taken: float
    contrast: str | None
    seconds: float
    peers: dict[str, float]

    @property
    def name(self) -> str:
        return f"{self.kind}, {self.voxel_A:g} Å, {self.noise} noise, {self.imaging}, seed {self.seed}"

    @property
    def kind(self) -> str:
        """The family, and its crowding if that is not the family's own."""
        return self.family if self.crowding is None else f"{self.family}, crowding {self.crowding:g}"

    @property
    def inverted(self) -> bool:
        return self.imaging == "inverted"

    @property
    def contrast_is_wrong(self) -> bool:
        return self.contrast is not None and self.contrast != ("bright" if self.inverted else "dark")

    @property
    def badness(self) -> float:
        """How bad the result is, for the choice of the worst; inverted volumes have a table of their own.

        At extreme noise there is no target, and all results are bad.
        """
        if self.inverted or self.noise == "extreme":
            return -2.0
        return 1 - self.f1 if self.membranes else self.taken

    @property
    def summary(self) -> str:
        if not self.membranes:
            return f"{self.taken:.2%} taken, {self.seconds:.1f} s"
        return (
            f"F1 {self.f1:.3f} (precision {self.precision:.3f}, recall {self.recall:.3f}), best {self.best:.3f}, "
            f"contrast {self.contrast}{', wrong' if self.contrast_is_wrong else ''}, {self.seconds:.1f} s"
        )
