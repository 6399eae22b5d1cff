"""When a delivery to a webhook is tried again, and when it is given up."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

_DAY_S: Final = 86400.0


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """The pauses between tries grow by a factor, with jitter: by default eight tries within a day.

    Attributes
    ----------
    tries : int
        The last one that fails ends the delivery.
    first_s, factor, longest_s : float
        The first pause in seconds, by what the next one is longer, and the longest; the longest is also as long as a
        receiver can ask to be left alone.
    jitter : float
        Each pause is changed by up to this fraction, so that messages that have failed together do not come together.
    disable_after_s : float
        A delivery that is given up disables a webhook of which every try has failed for this long.
    lease_s : float
        Seconds that a gateway has for a try; more than the time limit of one.
    per_owner : int
        Tries for one owner at the same time: half of those that a gateway makes, so that others have the rest.
    pending_max : int
        Messages that may wait for one webhook; further ones are recorded as failed.
    kept : int
        Ended deliveries of a webhook that can be looked at.
    """

    tries: int = 8
    first_s: float = 10.0
    factor: float = 5.0
    longest_s: float = 10 * 3600.0
    jitter: float = 0.15
    disable_after_s: float = 3 * _DAY_S
    lease_s: float = 30.0
    per_owner: int = 4
    pending_max: int = 1000
    kept: int = 100

    def pause(self, tries: int, retry_after_s: float = 0.0) -> float:
        """Return the seconds to wait after a number of failed tries, at least what the receiver has asked for."""
        regular = min(self.first_s * self.factor ** (tries - 1), self.longest_s)
        spread = regular * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 (no secret)  # nosec B311
        return max(spread, min(retry_after_s, self.longest_s))
