"""Picks: places in a tomogram that an engine has found, and the tables that other programs read them from.

`Picks` holds them, `read_csv` and `write_csv` are this house's own table, `write_star` is RELION 5's and
`write_dynamo` Dynamo's; `write_picks` chooses by the name's ending.
"""

from cryomamba.picks.picks import Kind, Picks, no_picks
from cryomamba.picks.tables import (
    ENDINGS,
    NORMAL_HEADS,
    Frame,
    read_csv,
    write_csv,
    write_dynamo,
    write_picks,
    write_star,
)

__all__ = [
    "ENDINGS",
    "NORMAL_HEADS",
    "Frame",
    "Kind",
    "Picks",
    "no_picks",
    "read_csv",
    "write_csv",
    "write_dynamo",
    "write_picks",
    "write_star",
]
