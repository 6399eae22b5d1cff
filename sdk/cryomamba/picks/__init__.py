"""Picks: coordinates that an engine has found in a tomogram, and tables of them for other programs.

`write_csv` and `read_csv` handle CryoMamba's own CSV tables, `write_star` and `read_relion` STAR files of RELION 4 and
5, `write_imod` and `read_imod` IMOD models, and `write_dynamo` Dynamo tables; `write_picks` and `read_picks` choose the
format by the file extension.
"""

from cryomamba.picks.imod import read_imod, write_imod
from cryomamba.picks.picks import Kind, Picks, empty_picks
from cryomamba.picks.relion import read_relion
from cryomamba.picks.tables import (
    EXTENSIONS,
    NORMAL_COLUMNS,
    READABLE,
    read_csv,
    read_picks,
    write_csv,
    write_dynamo,
    write_picks,
    write_star,
)
from cryomamba.picks.tomogram_info import TomogramInfo

__all__ = [
    "EXTENSIONS",
    "NORMAL_COLUMNS",
    "READABLE",
    "Kind",
    "Picks",
    "TomogramInfo",
    "empty_picks",
    "read_csv",
    "read_imod",
    "read_picks",
    "read_relion",
    "write_csv",
    "write_dynamo",
    "write_imod",
    "write_picks",
    "write_star",
]
