"""The measurements of a mask (``stats.json``) as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Table = Literal["labels", "instances"]
Row = dict[str, Any]

FIRST = ("label", "name", "instance")


def statistics_rows(statistics: Mapping[str, Any], table: Table = "labels") -> list[Row]:
    """Return one flat row for each label, or for each connected component, of a mask.

    ``pandas.DataFrame(rows)`` makes a table of them. Vectors (z, y, x) become three columns, such as ``centroid_A_z``,
    ``centroid_A_y`` and ``centroid_A_x``.

    Parameters
    ----------
    statistics : mapping
        What ``stats.json`` holds.
    table : {'labels', 'instances'}
        ``instances`` are the connected components, the largest first, at most a thousand.
    """
    return [_flat({**{name: row[name] for name in FIRST if name in row}, **row}) for row in statistics[table]]


def _flat(row: Mapping[str, Any]) -> Row:
    flat: Row = {}
    for name, value in row.items():
        if isinstance(value, list | tuple):
            flat |= {f"{name}_{axis}": part for axis, part in zip("zyx", value, strict=True)}
        else:
            flat[name] = value
    return flat
