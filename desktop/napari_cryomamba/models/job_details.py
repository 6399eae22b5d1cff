"""What a job did, in words: its parameters, what it found out by itself, and when it ran. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cryomamba.engines.api import CONTRAST, CONTRAST_MARGIN
from cryomamba.engines.info import EngineInfo
from cryomamba.models.jobs import JobRecord
from cryomamba.printable import printable
from napari_cryomamba.models.form import FormField, FormModel

Row = tuple[str, str]
_NAMED_MAX = 3
DENSITY_ENGINE = "threshold"
"""The engine whose threshold is a density, not a score."""
_SURROUNDINGS: Final = {"dark": "darker", "bright": "brighter"}
_SCORES: Final = {
    "threshold": "a component needs one voxel of this score",
    "lower_threshold": "all its voxels have at least this score",
}


def changed_parameters(record: JobRecord, engine: EngineInfo | None) -> list[str]:
    """Return the parameters that are not the engine's defaults, such as ``threshold 140`` or ``diameter 250 Å``."""
    fields: dict[str, FormField] = {}
    params: Mapping[str, Any] = record.params
    if engine is not None:
        form = FormModel(engine.parameters)
        fields, params = {field.name: field for field in form.fields}, form.changed(record.params)
    return [printable(_parameter(name, value, fields.get(name))) for name, value in params.items()]


def _parameter(name: str, value: Any, field: FormField | None) -> str:  # noqa: ANN401 (whatever the JSON is)
    title = field.title if field is not None else name.replace("_", " ")
    title = title[:1].lower() + title[1:]
    if value is True or isinstance(value, dict):
        return title
    if value is False:
        return f"no {title}"
    if value is None:
        return f"{title} automatic"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    unit = f" {field.unit}" if field is not None and field.unit else ""
    return f"{title} {text}{unit}"


def short_parameters(record: JobRecord, engine: EngineInfo | None) -> str:
    """Return the changed parameters for a name, at most three; empty if there are none."""
    found = changed_parameters(record, engine)
    more = ["…"] if len(found) > _NAMED_MAX else []
    return ", ".join([*found[:_NAMED_MAX], *more])


def decided_rows(record: JobRecord) -> list[Row]:
    """Return what was determined from the volume, and the contrast that the user set: label and text each."""
    return [*_contrast(record), *_others(record)]


def _contrast(record: JobRecord) -> Iterator[Row]:
    found, given = record.estimates.get(CONTRAST), record.params.get(CONTRAST)
    if isinstance(found, str):
        margin = record.estimates.get(CONTRAST_MARGIN)
        certain = ""
        if isinstance(margin, int | float) and math.isfinite(margin):
            certain = f", margin {margin:.2f} (0 undecided, 1 certain)"
        yield "Contrast", f"{_contrast_words(found)}; determined from the tomogram{certain}"
    elif isinstance(given, str) and given in _SURROUNDINGS:
        yield "Contrast", f"{_contrast_words(given)}; as it was set"


def _contrast_words(contrast: str) -> str:
    word = _SURROUNDINGS.get(contrast)
    return f"{contrast}, structures {word} than their surroundings" if word else contrast


def _others(record: JobRecord) -> Iterator[Row]:
    for name, value in record.estimates.items():
        if name in {CONTRAST, CONTRAST_MARGIN}:
            continue
        label = name.replace("_", " ").capitalize()
        if name in _SCORES and not isinstance(value, str) and record.engine == DENSITY_ENGINE:
            yield label, f"density {value:.3g} (determined from the tomogram)"
        elif name in _SCORES and not isinstance(value, str):
            yield label, f"{value:g} of 255 (determined from the tomogram; {_SCORES[name]})"
        elif name == "tilt_range_deg" and not isinstance(value, str):
            yield "Tilt range", f"±{value:.0f}° (estimated from the missing wedge)"
        elif name == "noise" and not isinstance(value, str):
            yield "Noise", f"{value:.0%} of the density's standard deviation"
        else:
            text = value if isinstance(value, str) else f"{value:.3g}"
            yield label, text


def when_text(record: JobRecord) -> str:
    """Return when a job started, in local time: the time of today, else with the date; empty before."""
    if record.started_at is None:
        return ""
    local = record.started_at.astimezone()
    today = local.date() == datetime.now(UTC).astimezone().date()
    return f"{local:%H:%M:%S}" if today else f"{local:%d %b %H:%M}"


def took_s(record: JobRecord, now: datetime) -> float | None:
    """Return how many seconds a job took, or has run until `now`; None before its start."""
    if record.started_at is None:
        return None
    end = record.completed_at if record.state.final and record.completed_at is not None else now
    return max((end - record.started_at).total_seconds(), 0.0)


def details(record: JobRecord, engine: EngineInfo | None) -> list[Row]:
    """Return all of it as label and text."""
    rows = [("Engine", record.engine)]
    parameters = changed_parameters(record, engine)
    rows.append(("Parameters", ", ".join(parameters) if parameters else "default values"))
    if record.within is not None:
        rows.append(("Within", record.within.name))
    return [(label, printable(text)) for label, text in (*rows, *decided_rows(record))]


def as_lines(rows: list[Row]) -> str:
    """Return rows as lines of text."""
    return "\n".join(f"{label}: {text}" for label, text in rows)
