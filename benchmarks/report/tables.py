"""The tables of `accuracy` as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from benchmarks.report.measured import Measured

_TARGETS = {"low": 0.93, "middle": 0.93, "high": 0.85, "extreme": None}  # of the mean F1, by noise
_NOISES = tuple(_TARGETS)
_TAKEN_TARGET = 0.002


def text(rows: Sequence[Measured]) -> str:
    """Return all tables, each with its title; those without any volume are left out."""
    dark = [row for row in rows if row.membranes and not row.inverted]
    at_12 = [row for row in dark if row.voxel_A == 12]
    parts = [
        _summary(rows),
        _by_family(at_12),
        _by("imaging, 12 Å", at_12, lambda row: row.imaging),
        _by("voxel size, middle noise", [r for r in dark if r.noise == "middle"], lambda row: f"{row.voxel_A:g} Å"),
        _peers(at_12),
        _without_membranes([row for row in rows if not row.membranes and not row.inverted]),
        _by("inverted volumes, by family", [r for r in rows if r.inverted and r.membranes], lambda row: row.family),
        _worst(dark),
    ]
    return "\n\n".join(part for part in parts if part)


def _summary(rows: Sequence[Measured]) -> str:
    lines = []
    for noise in _NOISES:
        chosen = [r for r in rows if r.membranes and not r.inverted and r.noise == noise and r.voxel_A == 12]
        if chosen:
            f1 = [row.f1 for row in chosen]
            target, least, most = (
                [f" (target {each})" for each in (_TARGETS[noise], "0.80", "0.02")] if _TARGETS[noise] else [""] * 3
            )
            gap = np.mean([row.best - row.f1 for row in chosen])
            lines.append(
                f"{noise} noise, 12 Å: F1 {np.mean(f1):.3f}{target}, worst {min(f1):.3f}{least}, "
                f"best threshold {gap:+.3f}{most}, {len(chosen)} volumes"
            )
    for inverted, name in ((False, "dark volumes taken for bright"), (True, "bright volumes taken for dark")):
        chosen = [row for row in rows if row.inverted == inverted]
        if chosen:
            lines.append(f"{name}: {sum(row.contrast_is_wrong for row in chosen)} of {len(chosen)}")
    lines.append(f"seeds {', '.join(str(seed) for seed in sorted({row.seed for row in rows}))}")
    return "\n".join(lines)


def _table(title: str, heads: Sequence[str], lines: Iterable[tuple[str, Sequence[float]]]) -> str:
    body = [f"{name:<32}" + "".join(f"{_figure(value):>11}" for value in values) for name, values in lines]
    return "\n".join([f"{title:<32}" + "".join(f"{head:>11}" for head in heads), *body]) if body else ""


def _figure(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def _by_family(rows: Sequence[Measured]) -> str:
    """F1 by noise level, then the means over the levels."""
    lines: list[tuple[str, Sequence[float]]] = []
    for family in dict.fromkeys(row.family for row in rows):
        of = [row for row in rows if row.family == family]
        by_noise = [_mean(row.f1 for row in of if row.noise == noise) for noise in _NOISES]
        means = [_mean(getattr(row, name) for row in of) for name in ("precision", "recall", "best", "seen")]
        lines.append((family, [*by_noise, min(row.f1 for row in of), *means]))
    heads = (*_NOISES, "worst", "precision", "recall", "best", "seen")
    return _table("F1 by family, 12 Å", heads, lines)


def _by(title: str, rows: Sequence[Measured], key: Callable[[Measured], str]) -> str:
    lines: list[tuple[str, Sequence[float]]] = []
    for name in dict.fromkeys(key(row) for row in sorted(rows, key=lambda row: row.voxel_A)):
        of = [row for row in rows if key(row) == name]
        figures = [_mean(getattr(row, each) for row in of) for each in ("f1", "precision", "recall", "best", "seen")]
        lines.append((name, [figures[0], min(row.f1 for row in of), *figures[1:]]))
    return _table(f"F1 by {title}" if lines else "", ("mean", "worst", "precision", "recall", "best", "seen"), lines)


def _peers(rows: Sequence[Measured]) -> str:
    rows = [row for row in rows if row.peers]
    names = list(dict.fromkeys(name for row in rows for name in row.peers))
    lines: list[tuple[str, Sequence[float]]] = []
    for noise in _NOISES:
        of = [row for row in rows if row.noise == noise]
        if of:
            ours = (_mean(row.f1 for row in of), _mean(row.best for row in of))
            lines.append((f"{noise} noise", [*ours, *(_mean(row.peers[name] for row in of) for name in names)]))
    heads = ("membrane", "its best", *(name.replace("script, best", "its best") for name in names))
    return _table("mean F1, 12 Å", heads, lines)


def _without_membranes(rows: Sequence[Measured]) -> str:
    lines = [f"voxels taken where there are no membranes (target at most {_TAKEN_TARGET:.1%})"] if rows else []
    for kind in dict.fromkeys(row.kind for row in rows):
        of = [row for row in rows if row.kind == kind]
        cells = "".join(
            f"{noise:>9} {max(taken):7.2%}"
            for noise in _NOISES
            if (taken := [row.taken for row in of if row.noise == noise])
        )
        lines.append(f"{kind:<32}{cells}")
    return "\n".join(lines)


def _worst(rows: Sequence[Measured]) -> str:
    worst = sorted((row for row in rows if _TARGETS[row.noise]), key=lambda row: row.f1)[:10]
    lines = [f"{row.f1:.3f}  {row.name}" for row in worst]
    return "\n".join(["the ten worst volumes with a target", *lines]) if lines else ""


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return float(np.mean(values)) if values else float("nan")
