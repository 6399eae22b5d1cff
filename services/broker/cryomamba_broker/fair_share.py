"""Which job comes next: owners take turns, and the jobs of one owner go by priority and age. Pure functions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryomamba.access.visibility import Visibility
from cryomamba.models.jobs import Priority

PRIORITY_S: Final = 86_400.0
"""A step of priority counts as much as a day in the queue, so that a job of low priority is not overtaken for ever."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """Which jobs a worker may be given.

    Attributes
    ----------
    engines : tuple of str
    models : tuple of str
        Trained models that it may use.
    declined : tuple of str
        Jobs that it has handed back because it cannot run them.
    """

    engines: tuple[str, ...]
    models: tuple[str, ...] = ()
    declined: tuple[str, ...] = ()

    @property
    def pool(self) -> str:
        """Stands for all workers with the same engines and models: among these the owners take turns.

        With turns over all workers, an owner whose jobs keep one worker busy would never have a turn on another.
        """
        text = "\n".join((*sorted(self.engines), "", *sorted(self.models)))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Turn:
    """When an owner was given a job last, as a number that grows with each job; 0 for never.

    Attributes
    ----------
    pool : int
        In this pool of workers.
    anywhere : int
    """

    pool: int = 0
    anywhere: int = 0


NEVER: Final = Turn()


def next_owner(first: Mapping[str, int], turns: Mapping[str, Turn]) -> str:
    """Return the owner whose turn it is: the one that was given a job the longest ago.

    Parameters
    ----------
    first : mapping of str to int
        The owners with a job that can run, and the serial number of the job of each that comes first.
    turns : mapping of str to Turn
    """
    return owner_order(first, turns)[0]


def owner_order(first: Mapping[str, int], turns: Mapping[str, Turn]) -> list[str]:
    """Return the owners in the order of their turns; parameters as for :func:`next_owner`."""
    return sorted(first, key=lambda owner: _turn_order(owner, first[owner], turns))


def place_in_queue(rank: int, owner: str, counts: Mapping[str, int], order: Sequence[str]) -> int:
    """Return the place of a job in the order in which one pool starts its jobs, from 1.

    Before the job of rank 3, for example, start two other jobs of its owner, and up to three of each owner whose turn
    is before, or two of each whose turn is after.

    Parameters
    ----------
    rank : int
        Place of the job among those of its owner, from 1, in the order of :func:`queue_key`.
    counts : mapping of str to int
        How many jobs of each owner the pool can run.
    order : sequence of str
        As :func:`owner_order` returns it.
    """
    mine = order.index(owner)
    return rank + sum(
        min(counts[other], rank if place < mine else rank - 1) for place, other in enumerate(order) if place != mine
    )


def queue_key(created_at: float, priority: int, serial: int) -> tuple[float, int]:
    """Return by what the jobs of one owner are ordered; `created_at` in seconds since 1970."""
    return created_at - priority * PRIORITY_S, serial


def allowed_priority(priority: int, visibility: Visibility) -> int:
    """Return the priority that a job gets: only administrators may go beyond ``low`` and ``high``."""
    return priority if visibility.is_everything else min(max(priority, Priority.LOW), Priority.HIGH)


def _turn_order(owner: str, first: int, turns: Mapping[str, Turn]) -> tuple[int, int, int]:
    turn = turns.get(owner, NEVER)
    return turn.pool, turn.anywhere, first
