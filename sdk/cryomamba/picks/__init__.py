"""Picks: coordinates that an engine has found in a tomogram, and tables of them for other programs.

`write_csv` and `read_csv` handle CryoMamba's own CSV tables, `write_star` writes RELION 5 STAR files and `write_dynamo`
Dynamo tables; `write_picks` chooses the format by the file extension.
"""

from cryomamba.picks.picks import Kind, Picks, empty_picks
from cryomamba.picks.tables import (
    EXTENSIONS,
    NORMAL_COLUMNS,
    TomogramInfo,
    read_csv,
    write_csv,
    write_dynamo,
    write_picks,
    write_star,
)

__all__ = [
    "EXTENSIONS",
    "NORMAL_COLUMNS",
    "Kind",
    "Picks",
    "TomogramInfo",
    "empty_picks",
    "read_csv",
    "write_csv",
    "write_dynamo",
    "write_picks",
    "write_star",
]
