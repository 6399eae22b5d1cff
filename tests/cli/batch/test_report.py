"""The page of a session."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.chromium import tab

from cryomamba_cli.batch.record import TomogramRecord
from cryomamba_cli.batch.report_page import report_html
from cryomamba_cli.batch.rows import Row, summary_csv
from cryomamba_cli.batch.session import State

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
HOSTILE = "<script>document.title='broken'</script>\u202e\".mrc"


def row(number: int, state: State, volume: float = 0.0, **fields: Any) -> Row:
    label = {"name": "membrane", "voxels": int(volume), "volume_nm3": volume, "fraction": 0.1, "instances": number}
    record = TomogramRecord(
        tomogram="",
        state="failed" if state is State.FAILED else "done",
        recipe={},
        input=(),
        ended_at=NOW,
        seconds=number,
        shape=(10, 20, 30),
        voxel_size_A=(10.0, 10.0, 10.0),
        labels=(label,) if state is State.DONE else (),
        warnings=({"code": "mask_empty", "message": "The mask is empty.", "hint": "Look."},) if volume == 7 else (),
        error={"message": "It is truncated.", "hint": "Copy it."} if state is State.FAILED else None,
    )
    name = fields.pop("tomogram", f"t{number}.mrc")
    kept = record if state.final else None
    return Row(number, name, state, "membrane", Path("m.mrc"), kept, **fields)


ROWS = [
    row(1, State.DONE, 50.0),
    row(2, State.FAILED, tomogram=HOSTILE),
    row(3, State.DONE, 7.0),
    row(4, State.RUNNING, fraction=0.5, stage="tiles"),
    row(10, State.ARRIVING, problem="The file is truncated."),
]


def page(**options: Any) -> str:
    return report_html(
        ROWS, title="Session", now=NOW, pictures={1: PIXEL}, movies={1: "sub/t1.apng"}, **{"refresh_s": None, **options}
    )


def test_the_page_loads_nothing() -> None:
    """It has no address of anything, and its policy allows none; names cannot become markup."""
    text = page()
    assert "default-src 'none'" in text
    assert re.findall(r'(?:src|href)="(?!data:|sub/t1\.apng")', text) == []
    assert "http" not in text.replace("http-equiv", "")
    assert "<script>document" not in text
    assert "&lt;script&gt;" in text
    assert "\u202e" not in text


def test_it_refreshes_itself_until_the_session_has_ended() -> None:
    """So it does without JavaScript."""
    assert 'http-equiv="refresh"' not in page()
    assert 'http-equiv="refresh" content="5"' in page(refresh_s=5.0)
    assert "the session has ended" in page()


def test_without_tomograms_there_is_nothing_to_sort() -> None:
    """Page and table are complete without any."""
    text = report_html([], title="Session", now=NOW, pictures={}, movies={}, refresh_s=None)
    assert "no tomograms ·" in text
    assert "<form" not in text
    assert len(summary_csv([]).splitlines()) == 1


def test_the_table_has_the_same() -> None:
    """One row for each tomogram, with the numbers of its labels, its warnings and its error."""
    rows = list(csv.DictReader(io.StringIO(summary_csv(ROWS))))
    assert [one["state"] for one in rows] == ["done", "failed", "done", "running", "arriving"]
    assert (rows[0]["membrane_volume_nm3"], rows[0]["membrane_components"]) == ("50", "1")
    assert rows[1]["error"] == "It is truncated. Copy it."
    assert rows[2]["warnings"] == "mask_empty"
    assert rows[4]["error"] == "The file is truncated."
    assert rows[0]["mask"] == "m.mrc"
    assert rows[1]["mask"] == ""


def test_names_are_no_formulas() -> None:
    """A spreadsheet that opens the table computes neither the name of a tomogram, nor that of a label, nor an error."""
    name, problem = "=cmd|' /C calc'!A0.mrc", "@SUM(1) is truncated."
    table = summary_csv([row(1, State.DONE, 50.0, tomogram=name), row(2, State.ARRIVING, problem=problem)])
    rows = list(csv.DictReader(io.StringIO(table)))
    assert rows[0]["tomogram"] == f"'{name}"
    assert rows[1]["error"] == f"'{problem}"
    assert rows[0]["membrane_volume_nm3"] == "50"


@pytest.mark.browser
async def test_a_browser_sorts_and_filters(tmp_path: Path) -> None:
    """The policy lets its own script and pictures through; the choice is in the address, so it survives a refresh."""
    (tmp_path / "report.html").write_text(page(), encoding="utf-8")
    url = (tmp_path / "report.html").as_uri()
    numbers = "[...document.querySelectorAll('article')].filter(one => !one.hidden).map(one => +one.dataset.number)"
    async with tab(url, tmp_path / "profile") as shown:
        await shown.until("document.querySelectorAll('article').length === 5")
        assert await shown.value("document.title") == "Session"
        assert await shown.value(numbers) == [4, 1, 2, 3, 10]
        assert await shown.value("document.querySelector('img').naturalWidth") == 1
        assert await shown.value("getComputedStyle(document.querySelector('main')).display") == "grid"
        choose = "(name, value) => { const one = document.forms[0].elements[name]; one.value = value;"
        choose += " one.dispatchEvent(new Event('input', {bubbles: true})); }"
        await shown.value(f"({choose})('sort', 'volume')")
        assert (await shown.value(numbers))[:2] == [1, 3]
        await shown.value(f"({choose})('state', 'done')")
        assert await shown.value(numbers) == [1, 3]
        await shown.value("window.before = true")
        await shown.value("location.reload()")
        await shown.until(f"!window.before && document.readyState === 'complete' && ({numbers}).length === 2")
        assert await shown.value(numbers) == [1, 3]
        assert (
            await shown.value(
                "performance.getEntriesByType('resource').filter(one => !one.name.startsWith('data:')).length"
            )
            == 0
        )
