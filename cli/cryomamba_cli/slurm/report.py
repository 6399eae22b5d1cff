"""The report of a submission: what tasks that were killed left is put in order, then page and table are written."""

from __future__ import annotations

import uuid
from pathlib import Path

from cryomamba_cli.batch.report import ReportFiles
from cryomamba_cli.batch.rows import Row
from cryomamba_cli.batch.work_folder import WorkFolder
from cryomamba_cli.engines import choose, offered
from cryomamba_cli.slurm.folders import results_of
from cryomamba_cli.slurm.overview import entries, queue_of
from cryomamba_cli.slurm.submission import Submission


def write_report(folder: Path, submission: Submission) -> list[Row]:
    """Write the report of a submission into the folder of its results, and return its rows.

    Raises
    ------
    ConflictError
        A batch or a watched folder works with these results.
    """
    results = results_of(folder)
    with WorkFolder(results, f"report-{uuid.uuid4().hex}") as work:
        work.recover()
        found = entries(folder, submission, choose(offered(None), submission.engine), queue_of(submission))
        rows = [entry.row for entry in found]
        is_final = all(row.state.final for row in rows)
        ReportFiles(results, work.scratch, submission.title).update(lambda: rows, final=is_final)
        work.remove()
    return rows
