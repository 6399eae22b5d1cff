"""The report of a session: a page and a table, written again as it goes."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cryomamba_cli.batch.pictures import picture_paths
from cryomamba_cli.batch.record import place_file
from cryomamba_cli.batch.report_page import report_html
from cryomamba_cli.batch.rows import Row, summary_csv

SUMMARY: Final = "summary.csv"
REPORT: Final = "report.html"
_INTERVAL_S: Final = 2.0
_SHARE: Final = 0.05
"""Of the time, at most, goes into writing the report."""
_REFRESH_S: Final = 5.0
_PICTURES: Final = 500
"""Masks whose pictures are part of the page, the newest: about 10 kB each."""
_SIDE: Final = 300
_QUALITY: Final = 60


class ReportFiles:
    """Writes the report of a session.

    Parameters
    ----------
    folder : Path
        Existing folder of the results.
    scratch : Path
        That of the work folder.
    title : str
        Of the page.
    clock : callable
    """

    def __init__(self, folder: Path, scratch: Path, title: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._scratch = scratch
        self._title = title
        self._clock = clock
        self._is_changed = True
        self._next = 0.0
        self._pictures: dict[tuple[Path, int], str] = {}

    def changed(self) -> None:
        """Note that something has changed."""
        self._is_changed = True

    def update(self, rows: Callable[[], list[Row]], *, final: bool = False) -> None:
        """Write the report if something has changed and it was not written a moment ago; the last time always."""
        began = self._clock()
        if not final and (not self._is_changed or began < self._next):
            return
        self._is_changed = False
        current = rows()
        place_file(self._folder / SUMMARY, summary_csv(current), self._scratch)
        place_file(self._folder / REPORT, self._page(current, final=final), self._scratch)
        took = self._clock() - began
        self._next = began + max(_INTERVAL_S, took / _SHARE)

    def _page(self, rows: Sequence[Row], *, final: bool) -> str:
        pictures, movies = {}, {}
        with_mask = [row for row in rows if row.has_mask]
        newest = sorted(with_mask, key=lambda row: row.record.ended_at.timestamp() if row.record else 0.0)[-_PICTURES:]
        for row in newest:
            with suppress(OSError, ImportError):
                pictures[row.number] = self._picture(picture_paths(row.mask)[0])
        for row in with_mask:
            movie = picture_paths(row.mask)[1]
            if movie.exists():
                movies[row.number] = quote(
                    Path(os.path.relpath(movie, self._folder)).as_posix().encode("utf-8", "surrogateescape")
                )
        return report_html(
            rows,
            title=self._title,
            now=datetime.now(UTC),
            pictures=pictures,
            movies=movies,
            refresh_s=None if final else _REFRESH_S,
        )

    def _picture(self, path: Path) -> str:
        """Return a small copy of a picture as a ``data:`` URL; each is made once."""
        key = (path, path.stat().st_mtime_ns)
        if key not in self._pictures:
            from PIL import Image

            small = BytesIO()
            with Image.open(path) as image:
                copy = image.convert("RGB")
            copy.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
            copy.save(small, "WEBP", quality=_QUALITY)
            self._pictures[key] = f"data:image/webp;base64,{base64.b64encode(small.getvalue()).decode()}"
        return self._pictures[key]
