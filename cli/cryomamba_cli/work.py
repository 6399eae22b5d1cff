"""Segmenting as a task: in this process or on a server, with Ctrl-C that cancels."""

from __future__ import annotations

import json as json_text
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryomamba.errors import ConflictError, CryoMambaError
from cryomamba_cli.jobs import follow
from cryomamba_cli.reporter import Reporter
from cryomamba_cli.signals import Interrupted, Interrupts

if TYPE_CHECKING:
    from cryomamba.client import Client
    from cryomamba.engines.artifacts import ExportFormat
    from cryomamba.geometry import Spacing
    from cryomamba_inference.local import LocalResult


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be segmented, how, and where the mask goes."""

    tomogram: Path
    target: Path
    engine: str
    params: Mapping[str, Any]
    voxel_size_A: Spacing | None
    name: str
    exports: Mapping[ExportFormat, Path]
    converted: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All that is written, the mask first."""
        return (self.target, *self.exports.values(), *self.converted)


def conversions(mask: Path, formats: Sequence[str]) -> tuple[Path, ...]:
    """Return where a finished mask goes in formats named by their endings, such as ``stl``: next to it.

    Raises
    ------
    InvalidRequestError
        An ending is unknown.
    """
    from cryomamba.engines.artifacts import formats_of
    from cryomamba.masks.export import extension_of

    base = mask.name.removesuffix(".mrc")
    paths = tuple(
        mask.with_name(f"{base}.{form.lstrip('.')}")
        for form in dict.fromkeys(formats)
        if form.lstrip(".") not in formats_of("picks")
    )
    for path in paths:
        extension_of(path)
    return paths


def convert(work: Work) -> None:
    """Write a finished mask in the further formats that this process makes."""
    from cryomamba.masks.export import export
    from cryomamba.volumes import open_volume

    if work.converted:
        with open_volume(work.target) as mask:
            for path in work.converted:
                export(mask, path)


def exports(
    mask: Path,
    *,
    nifti: bool,
    nrrd: bool,
    scores: bool,
    picks: bool = False,
    made: Sequence[ExportFormat] = (),
    formats: Sequence[str] = (),
) -> dict[ExportFormat, Path]:
    """Return the further files that are wanted, and where they go: next to the mask.

    With `picks`, the table of places comes along, and in other formats if `formats` names them; so does what the
    engine's parameters have `made`.
    """
    from cryomamba.engines.artifacts import EXPORTS, formats_of

    asked = {form.lstrip(".") for form in formats}
    wanted: dict[ExportFormat, bool] = {"nifti": nifti, "nrrd": nrrd, "scores": scores, "candidates": scores and picks}
    wanted |= dict.fromkeys(made, True)
    wanted |= {form: form in asked or form in made or (picks and form == "csv") for form in formats_of("picks")}
    base = mask.name.removesuffix(".mrc")
    return {form: mask.with_name(base + EXPORTS[form].ending) for form, asked in wanted.items() if asked}


def run_here(work: Work, display: Reporter, interrupts: Interrupts) -> dict[str, Any]:
    """Segment in this process and return the statistics; a signal stops the work at its next tile and goes on.

    Raises
    ------
    CryoMambaError
        The volume or a parameter does not fit, or the engine failed.
    Interrupted
        A signal came; nothing has been written, unless the mask was complete by then.
    """
    from cryomamba.optional_imports import requires_extra

    with requires_extra("inference"):
        from cryomamba_inference.local import LocalRunner
    from cryomamba.models.jobs import SubmitRequest, VolumeSource

    request = SubmitRequest(
        volume=VolumeSource(path=str(work.tomogram), voxel_size_A=work.voxel_size_A),
        engine=work.engine,
        params=dict(work.params),
        name=work.name,
    )
    result: LocalResult | None = None
    try:
        with interrupts.held():
            result = LocalRunner().run(
                work.tomogram,
                request,
                output=work.target,
                on_event=display.event,
                cancelled=interrupts.asked,
                formats=tuple(work.exports),
            )
    except Interrupted:
        told = "The job is cancelled; nothing was written." if result is None else f"{work.target} was complete."
        display.note(f"Interrupted. {told}")
        raise
    return result.statistics


def run_there(work: Work, server: str, display: Reporter, interrupts: Interrupts) -> dict[str, Any]:
    """Submit, follow and download, and return the statistics; a signal cancels the job and goes on.

    Raises
    ------
    CryoMambaError
        The job was refused, failed or was cancelled, or the server is away.
    Interrupted
        A signal came; the job has been cancelled.
    """
    import cryomamba

    name = work.tomogram.name
    with cryomamba.connect(server) as client:
        job = client.submit(
            work.tomogram,
            engine=work.engine,
            params=work.params,
            voxel_size_A=work.voxel_size_A,
            name=work.name,
            progress=partial(display.transfer, name),
            reading=_announce_upload(name, display),
        )
        return follow_and_fetch(client, job.job_id, work, display, interrupts)


def _announce_upload(name: str, display: Reporter) -> Callable[[int, int], None]:
    """Return what shows how far the checksum of a file is, after a note that the file is uploaded."""
    announced = False

    def reading(done: int, total: int) -> None:
        nonlocal announced
        if not announced:
            announced = True
            display.note(f"The server cannot see {name}; uploading it.")
        display.transfer(f"reading {name}", done, total)

    return reading


def follow_and_fetch(
    client: Client, job_id: str, work: Work, display: Reporter, interrupts: Interrupts
) -> dict[str, Any]:
    """Follow a job to its end, download its files, and return the statistics; a signal cancels it and goes on."""
    try:
        follow(client, job_id, display).raise_for_state()
        return fetch(client, job_id, work, display)
    except Interrupted:
        with interrupts.held():
            display.note(cancel_and_say(client, job_id))
        raise


def fetch(client: Client, job_id: str, work: Work, display: Reporter) -> dict[str, Any]:
    """Download a finished job's mask and the exports that were asked for, and return its statistics."""
    from cryomamba.engines.artifacts import EXPORTS, STATISTICS

    for form, path in work.exports.items():
        client.download(job_id, EXPORTS[form].name, path, progress=partial(display.transfer, path.name))
    client.download(job_id, to=work.target, progress=partial(display.transfer, work.target.name))
    with tempfile.TemporaryDirectory(prefix="cryomamba-") as folder:
        path = client.download(job_id, STATISTICS.name, folder)
        statistics: dict[str, Any] = json_text.loads(path.read_text(encoding="utf-8"))
    return statistics


def label_lines(statistics: Mapping[str, Any]) -> list[str]:
    """Say of each label how much of the tomogram it is."""
    picks = statistics.get("picks")
    found = [] if picks is None else [f"found: {picks['objects']} {picks['kind']}" + _points(picks)]
    return found + [
        f"{label['name']}: {label['voxels']} voxels, {label['fraction']:.2%} of the tomogram, "
        f"{label['volume_nm3']:.6g} nm³{_area(label)}"
        for label in statistics["labels"]
    ]


def _points(picks: Mapping[str, Any]) -> str:
    where = {"particles": "", "filaments": f", {picks['points']} points along them"}
    return where.get(picks["kind"], f", {picks['points']} points on them")


def _area(label: Mapping[str, Any]) -> str:
    area = label.get("medial_surface_nm2")
    return "" if area is None else f", medial surface {area:.6g} nm²"


def cancel_and_say(client: Client, job_id: str) -> str:
    """Cancel a job at a person's wish and return the sentence that tells how it went."""
    try:
        client.cancel(job_id)
    except ConflictError:
        return f"Interrupted. Job {job_id} had ended already; nothing was written here."
    except CryoMambaError as error:
        return f"Interrupted, but job {job_id} could not be cancelled: {error.message} Try 'cryomamba cancel {job_id}'."
    return f"Interrupted. Job {job_id} is cancelled; it stops at its next tile, and nothing was written here."
