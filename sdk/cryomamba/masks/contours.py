"""Contours of masks, section by section and label by label, and IMOD models of them.

A contour goes through the middle between the centres of neighbouring pixels of which one is inside. So a pixel is
inside exactly if its centre is, and the mask can be made from the contours again, by the even-odd rule. Contours of
holes are contours, too. Pixels that touch at a corner are in one contour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba.errors import InvalidRequestError
from cryomamba.masks.slabs import LabelSource, Progress
from cryomamba.optional_imports import import_optional
from cryomamba.picks.imod import ModelObject, write_model
from cryomamba.picks.tomogram_info import TomogramInfo

Points = npt.NDArray[np.float64]
_OBJECTS_MAX: Final = 1000


def mask_contours(inside: npt.NDArray[np.bool_]) -> Iterator[Points]:
    """Yield the contours of a section.

    Parameters
    ----------
    inside : ndarray of bool, (y, x)

    Yields
    ------
    ndarray of float64, (n, 2)
        y, x in pixels, the centre of the first being 0.0; the last point is followed by the first. Outer contours and
        those of holes run in opposite directions.
    """
    middles, following = _linked_edges(np.pad(inside, 1))
    unvisited = [True] * len(following)
    for first in range(len(following)):
        if not unvisited[first]:
            continue
        line, edge = [], first
        while unvisited[edge]:
            unvisited[edge] = False
            line.append(edge)
            edge = following[edge]
        yield _without_middle_points(middles[line])


def write_contours(
    source: LabelSource,
    path: Path,
    names: Mapping[int, str],
    *,
    label: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write an IMOD model with an object of closed contours for each label.

    Parameters
    ----------
    source : LabelSource
    path : Path
        ``.mod``.
    names : mapping of int to str
        Names of labels; others are called ``label N``.
    label : int, optional
        Only this label.
    progress : callable, optional
        Called with the fraction done; may raise to stop.

    Raises
    ------
    InvalidRequestError
        The mask is empty, or has more than 1,000 labels.
    """
    found: dict[int, list[Points]] = {}
    z = 0
    for slab in source.slabs():
        for plane in slab:
            for number, lines in _plane_contours(plane, label):
                found.setdefault(number, []).extend(
                    np.column_stack([np.full(len(line), float(z)), line]) for line in lines
                )
            z += 1
        if len(found) > _OBJECTS_MAX:
            raise InvalidRequestError(
                f"The mask has more than {_OBJECTS_MAX:,} labels, and each would be an object of the model.",
                hint="Choose one with --label.",
            )
        if progress is not None:
            progress(z / source.shape[0])
    if not found:
        raise InvalidRequestError(
            "The mask is empty, so it has no contours.", hint="Choose another label; 'cryomamba measure' lists them."
        )
    objects = [ModelObject(names.get(number, f"label {number}"), "closed", found[number]) for number in sorted(found)]
    write_model(path, TomogramInfo(source.shape, source.voxel_size_A, path.stem), objects)


def _plane_contours(plane: npt.NDArray[Any], label: int | None) -> Iterator[tuple[int, list[Points]]]:
    """Yield each label of a section with its contours, looking only at its bounding box."""
    labels = plane if label is None else (plane == label).astype(np.uint8)
    for number, box in enumerate(import_optional("scipy.ndimage").find_objects(labels), 1):
        if box is not None:
            corner = np.array([part.start for part in box], np.float64)
            lines = [line + corner for line in mask_contours(labels[box] == number)]
            yield (number if label is None else label), lines


def _linked_edges(padded: npt.NDArray[np.bool_]) -> tuple[Points, list[int]]:
    """Return the middle of each pixel edge between inside and outside, and the edge that follows.

    Edges are directed, with the inside on the left if y points down. Corners of pixels are numbered row by row.
    """
    width = padded.shape[1] + 1
    starts, ends, turns, middles = [], [], [], []
    # Direction, shift to the pixel on the other side, and corners of a pixel at which the edge starts and ends.
    for direction, (dy, dx), begin, end in (
        (0, (1, 0), (1, 0), (1, 1)),
        (1, (0, 1), (1, 1), (0, 1)),
        (2, (-1, 0), (0, 1), (0, 0)),
        (3, (0, -1), (0, 0), (1, 0)),
    ):
        other = np.roll(padded, (-dy, -dx), axis=(0, 1))
        y, x = np.nonzero(padded & ~other)
        starts.append((y + begin[0]) * width + x + begin[1])
        ends.append((y + end[0]) * width + x + end[1])
        turns.append(np.full(len(y), direction))
        middles.append(np.column_stack([y - 1 + dy / 2, x - 1 + dx / 2]))
    start, end_, turn = np.concatenate(starts), np.concatenate(ends), np.concatenate(turns)
    return np.concatenate(middles), _following(start, end_, turn)


def _following(start: npt.NDArray[np.int64], end: npt.NDArray[np.int64], direction: npt.NDArray[np.int64]) -> list[int]:
    order = np.argsort(start, kind="stable")
    first = np.searchsorted(start[order], end, side="left")
    several = np.searchsorted(start[order], end, side="right") - first > 1
    following = order[first]
    # Where two begin at a corner, the pixels of the contour touch there: the one to the right joins them.
    second = order[np.minimum(first + 1, len(order) - 1)]
    is_right = (direction[second] - direction) % 4 == _RIGHT
    chosen: list[int] = np.where(several & is_right, second, following).tolist()
    return chosen


_RIGHT: Final = 3


def _without_middle_points(line: Points) -> Points:
    """Leave out points on the straight line between their neighbours."""
    before, after = line - np.roll(line, 1, axis=0), np.roll(line, -1, axis=0) - line
    kept: Points = line[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
    return kept
