"""Strokes: what a person has painted to show a classifier what is what. Pure.

A record of strokes is small enough to travel as a parameter of a job. It holds lines with a radius, which are easy to
write by hand, and painted voxels, which are packed as runs along x.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.geometry import Shape

STROKES_MAX_BYTES: Final = 20_000
"""Of the record as JSON: with all else of a job it must fit into one message."""
STROKES_MAX_VOXELS: Final = 1_000_000
BRUSHED_VOXELS_MAX: Final = 100_000_000
"""Of all lines: a few kB of long lines with a wide brush would otherwise take hours to draw, these take seconds."""
LABELS_MAX: Final = 16
"""The background and 15 labels."""
RADIUS_MAX: Final = 50
FILE_MAX: Final = 1024**2
_RUN_BYTES_MAX: Final = 4 * 1024**2

Voxels = npt.NDArray[np.int64]
Values = npt.NDArray[np.uint8]
LabelName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}$")]
Coordinate = Annotated[int, Field(ge=0, lt=2**31)]
COLOURS: Final = ("#808080", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Colours of labels that have none of their own: those of Okabe and Ito, which colour-blind people can tell apart."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StrokeLabel(_Part):
    """A label that is painted; its number is its position among the labels, 0 is the background."""

    name: LabelName
    colour: Colour = COLOURS[1]


def _name_or_fields(schema: dict[str, Any]) -> None:
    """Let the schema of labels take names alone, which have a colour of :data:`COLOURS`."""
    schema["items"] = {"anyOf": [{"type": "string", "minLength": 1, "maxLength": 64}, schema["items"]]}


class StrokeLine(_Part):
    """A line that was painted with a round brush.

    Attributes
    ----------
    label : int
    radius : int
        Of the brush, in voxels: each section that the line passes gets a disc in y and x; 0 for single voxels.
    points : tuple
        Voxels (z, y, x), joined by straight lines; one point is a dot.
    """

    label: Annotated[int, Field(ge=0, lt=LABELS_MAX)]
    radius: Annotated[int, Field(ge=0, le=RADIUS_MAX)] = 1
    points: Annotated[tuple[tuple[Coordinate, Coordinate, Coordinate], ...], Field(min_length=1, max_length=2000)]


class StrokesFields(_Part):
    """All strokes on a tomogram, each field checked by itself; :class:`Strokes` checks whether they fit together.

    Attributes
    ----------
    shape : tuple of int
        ZYX shape of the tomogram.
    labels : tuple of StrokeLabel
        Label 0, the background, first.
    lines : tuple of StrokeLine
        Later ones cover earlier ones, and all of them cover `voxels`.
    voxels : str
        Painted voxels, packed by :meth:`of_voxels`: base64 of a zlib stream of variable-length integers (LEB128), for
        each label with voxels its number, the count of its runs, and for each run along x the voxels since the end of
        the run before (in the order of a ZYX array) and its length less 1.
    """

    shape: tuple[
        Annotated[int, Field(ge=1, lt=2**31)],
        Annotated[int, Field(ge=1, lt=2**31)],
        Annotated[int, Field(ge=1, lt=2**31)],
    ]
    labels: Annotated[
        tuple[StrokeLabel, ...], Field(min_length=2, max_length=LABELS_MAX, json_schema_extra=_name_or_fields)
    ]
    lines: Annotated[tuple[StrokeLine, ...], Field(max_length=1000)] = ()
    voxels: str = ""

    @field_validator("labels", mode="before")
    @classmethod
    def _names_alone(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            return value
        return tuple(
            {"name": one, "colour": COLOURS[number % len(COLOURS)]} if isinstance(one, str) else one
            for number, one in enumerate(value)
        )


class Strokes(StrokesFields):
    """The same, checked as a whole: no line leaves the tomogram, and the JSON has at most 20,000 bytes."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.to_json()) > STROKES_MAX_BYTES:
            raise ValueError(
                f"the strokes take {len(self.to_json()):,} bytes and {STROKES_MAX_BYTES:,} are allowed; "
                "remove some, or paint fewer and thinner ones"
            )
        for line in self.lines:
            if line.label >= len(self.labels):
                raise ValueError(f"a line has the label {line.label}, and the last label is {len(self.labels) - 1}")
            if any(at >= size for point in line.points for at, size in zip(point, self.shape, strict=True)):
                raise ValueError("a line leaves the tomogram")
        if sum(_brushed_voxels(line) for line in self.lines) > BRUSHED_VOXELS_MAX:
            raise ValueError(
                f"the lines pass over more than {BRUSHED_VOXELS_MAX:,} voxels, each counted as often as the brush "
                "covers it; paint shorter lines, or thinner ones"
            )
        _unpack(self.voxels, self.shape, len(self.labels))
        return self

    @classmethod
    def of_voxels(cls, shape: Shape, labels: Sequence[StrokeLabel], voxels: Voxels, values: Values) -> Strokes:
        """Return the record of painted voxels.

        Parameters
        ----------
        voxels : array of shape (n, 3)
            Different voxels (z, y, x).
        values : array of shape (n,), uint8
            Their labels.

        Raises
        ------
        InvalidRequestError
            ``too_large``: they take too much space; else ``invalid_parameters``.
        """
        packed = _pack(np.ravel_multi_index(tuple(np.asarray(voxels).T), shape), values, shape[2])
        return read_strokes({"shape": shape, "labels": [dict(one) for one in labels], "voxels": packed})

    def painted(self) -> tuple[Voxels, Values]:
        """Return the painted voxels (n, 3) in the order of a ZYX array, and their labels."""
        at, values = _unpack(self.voxels, self.shape, len(self.labels))
        indices, labels = [at], [values]
        for line in self.lines:
            drawn = _draw(line, self.shape)
            indices.append(drawn)
            labels.append(np.full(len(drawn), line.label, np.uint8))
        every, label = np.concatenate(indices), np.concatenate(labels)
        # The last of several labels of a voxel counts.
        _, last = np.unique(every[::-1], return_index=True)
        kept = len(every) - 1 - last
        return np.stack(np.unravel_index(every[kept], self.shape), axis=1).astype(np.int64), label[kept]

    @property
    def names(self) -> dict[int, str]:
        """Names of the labels without the background."""
        return {number: label.name for number, label in enumerate(self.labels) if number}

    def to_json(self) -> str:
        """Return the record as JSON, the form in which it travels and is kept in files."""
        return json.dumps(self.model_dump(mode="json"), separators=(",", ":"), ensure_ascii=False)


def read_strokes(fields: object) -> Strokes:
    """Return strokes from the fields of their JSON form.

    Raises
    ------
    InvalidRequestError
        ``invalid_parameters``, with the first problem in words.
    """
    try:
        return Strokes.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = str(first["msg"]).removeprefix("Value error, ")
        raise InvalidRequestError(
            f"The strokes cannot be used: {f'{where}: ' if where else ''}{problem}.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint="The guide 'Segmentation from strokes' shows a file of strokes.",
        ) from None


def load_strokes(path: Path) -> Strokes:
    """Read a file of strokes.

    Raises
    ------
    InvalidRequestError
        It cannot be read, or is not one.
    """
    try:
        if path.stat().st_size > FILE_MAX:
            raise InvalidRequestError(f"'{path.name}' is too large for a file of strokes.", hint="Give another file.")
        fields: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidRequestError(
            f"'{path.name}' cannot be read: {error.strerror or error}.", hint="Check the path."
        ) from None
    except (ValueError, RecursionError):
        raise InvalidRequestError(
            f"'{path.name}' is not JSON, so it contains no strokes.",
            hint="The guide 'Segmentation from strokes' shows a file of strokes.",
        ) from None
    return read_strokes(fields)


def _brushed_voxels(line: StrokeLine) -> int:
    """Return at most how many voxels the brush covers along a line, those that it covers again included."""
    steps = sum(max(abs(a - b) for a, b in zip(start, end, strict=True)) for start, end in pairwise(line.points))
    return (steps + 1) * (2 * line.radius + 1) ** 2


def _draw(line: StrokeLine, shape: Shape) -> Voxels:
    """Return the voxels of a line as indices of the flattened volume."""
    points = np.array(line.points, np.float64)
    parts = [points[:1]]
    for start, end in pairwise(points):
        steps = int(np.abs(end - start).max())
        if len(parts) * steps > STROKES_MAX_VOXELS:
            steps = 1
        parts.append(start + (end - start) * (np.arange(1, steps + 1) / max(steps, 1))[:, None])
    path = np.unique(np.rint(np.concatenate(parts)).astype(np.int64), axis=0)
    reach = np.arange(-line.radius, line.radius + 1)
    disc = np.argwhere(reach[:, None] ** 2 + reach**2 <= line.radius**2) - line.radius
    drawn = np.zeros(0, np.int64)
    # A few points at a time, so that a long line with a wide brush takes little memory.
    for first in range(0, len(path), 2000):
        some = path[first : first + 2000, None, :] + np.pad(disc, ((0, 0), (1, 0)))[None]
        some = some.reshape(-1, 3)
        some = some[((some >= 0) & (some < shape)).all(axis=1)]
        drawn = np.union1d(drawn, np.ravel_multi_index(tuple(some.T), shape))
    return drawn


def _pack(indices: Voxels, values: Values, columns: int) -> str:
    numbers: list[int] = []
    order = np.argsort(indices, kind="stable")
    indices, values = np.asarray(indices, np.int64)[order], np.asarray(values)[order]
    for label in np.unique(values):
        own = indices[values == label]
        # A run ends where the next voxel is not its neighbour, or is in the next row.
        breaks = np.flatnonzero((np.diff(own) != 1) | (own[1:] % columns == 0)) + 1
        starts, ends = own[np.r_[0, breaks]], own[np.r_[breaks - 1, len(own) - 1]] + 1
        numbers += [int(label), len(starts)]
        numbers += np.stack([starts - np.r_[0, ends[:-1]], ends - starts - 1], axis=1).reshape(-1).tolist()
    return base64.b64encode(zlib.compress(_to_bytes(numbers), 9)).decode() if numbers else ""


def _unpack(packed: str, shape: Shape, labels: int) -> tuple[Voxels, Values]:
    """Return flat indices and labels; raises ValueError with the problem in words."""
    if not packed:
        return np.zeros(0, np.int64), np.zeros(0, np.uint8)
    problem = "the painted voxels are damaged"
    try:
        stream = zlib.decompressobj()
        data = stream.decompress(base64.b64decode(packed, validate=True), _RUN_BYTES_MAX)
    except (zlib.error, binascii.Error, ValueError):
        raise ValueError(problem) from None
    if not stream.eof or stream.unused_data:
        raise ValueError(problem)
    numbers = _from_bytes(data)
    total, at, indices, values = shape[0] * shape[1] * shape[2], 0, [], []
    count = 0
    while at < len(numbers):
        label, runs = int(numbers[at]), int(numbers[at + 1]) if at + 1 < len(numbers) else -1
        pairs = numbers[at + 2 : at + 2 + 2 * max(runs, 0)]
        if runs < 1 or len(pairs) < 2 * runs:
            raise ValueError(problem)
        if label >= labels:
            raise ValueError(f"voxels have the label {label}, and the last label is {labels - 1}")
        gaps, lengths = pairs[::2], pairs[1::2] + 1
        count += int(lengths.sum())
        if count > STROKES_MAX_VOXELS or int(lengths.max()) > STROKES_MAX_VOXELS:
            raise ValueError(f"more than {STROKES_MAX_VOXELS:,} voxels are painted")
        if int(gaps.max()) > total:
            raise ValueError("a painted voxel lies outside of the tomogram")
        ends = np.cumsum(gaps + lengths)
        if int(ends[-1]) > total or (np.diff(ends) < 0).any():
            raise ValueError("a painted voxel lies outside of the tomogram")
        own = (
            np.repeat(ends - lengths, lengths)
            + np.arange(lengths.sum())
            - np.repeat(np.cumsum(lengths) - lengths, lengths)
        )
        indices.append(own)
        values.append(np.full(len(own), label, np.uint8))
        at += 2 + 2 * runs
    if not indices:
        raise ValueError(problem)
    return np.concatenate(indices), np.concatenate(values)


def _to_bytes(numbers: Sequence[int]) -> bytes:
    out = bytearray()
    for number in numbers:
        while number >= 0x80:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return bytes(out)


def _from_bytes(data: bytes) -> Voxels:
    """Return the numbers of a sequence of LEB128 integers below 2^62."""
    raw = np.frombuffer(data, np.uint8)
    last = np.flatnonzero(raw < 0x80)
    if not len(last) or last[-1] != len(raw) - 1:
        raise ValueError("the painted voxels are damaged")
    first = np.r_[0, last[:-1] + 1]
    if int((last - first).max()) > 8:
        raise ValueError("the painted voxels are damaged")
    shift = 7 * (np.arange(len(raw)) - np.repeat(first, last - first + 1))
    return np.add.reduceat((raw & 0x7F).astype(np.int64) << shift, first)
