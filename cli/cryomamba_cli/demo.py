"""``demo``: segment a synthetic tomogram with all services, score the mask, and draw a picture."""

from __future__ import annotations

import json as json_text
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cryomamba.errors import ConflictError, CryoMambaError
from cryomamba.output_paths import require_outputs
from cryomamba_cli import output
from cryomamba_cli.options import Json
from cryomamba_cli.remote_run import cancel_interrupted
from cryomamba_cli.reporter import Reporter, finding_lines, label_lines, stderr_reporter
from cryomamba_cli.result_paths import result_path
from cryomamba_cli.run import require_server
from cryomamba_cli.signals import Interrupted, Interrupts, interruptible
from cryomamba_cli.synth import phantom_spec, write_phantom

if TYPE_CHECKING:
    from cryomamba.models.jobs import JobRecord
    from cryomamba.synth import Phantom, PhantomSpec

PREVIEW_INTERVAL_S: Final = 0.1
# The density scale of a phantom is known, so one value fits all; Otsu's threshold collapses at this noise.
TUNED: Final[Mapping[str, Mapping[str, Any]]] = {
    "threshold": {
        "sigma_A": 20.0,
        "method": "value",
        "value": -0.4,
        "contrast": "dark",
        "hysteresis": 0.4,
        "min_volume_nm3": 3000.0,
    }
}


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; created if missing.")] = Path(
        "demo"
    ),
    size: Annotated[
        str, typer.Option("--shape", metavar="Z,Y,X", help="Size of the tomogram in voxels.")
    ] = "160,320,320",
    engine: Annotated[
        str | None, typer.Option("--engine", "-e", help="Segmentation engine; the default engine if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random tomogram.")] = 1,
    noise: Annotated[
        float,
        typer.Option(
            min=0,
            help="Standard deviation of the noise in a 10 Å voxel, relative to the density of a membrane leaflet: "
            "the SNR (of amplitudes) is 1/NOISE.",
        ),
    ] = 1.0,
    json: Json = False,
) -> None:
    """Check the installation: segment a synthetic tomogram with all services and score the mask.

    The services run on free ports with a temporary data directory, so services that are already running are not
    affected, and stop at the end. Files of an earlier demo in the same folder are overwritten.
    """
    require_server()
    spec = phantom_spec(size, "10", seed, [f"noise={noise}"])
    files = Files(Path(os.path.realpath(out)))
    files.require_replaceable()
    with stderr_reporter(json=json) as display:
        try:
            with interruptible() as interrupts:
                result = play(files, spec, engine, display, interrupts)
        except (CryoMambaError, Interrupted):
            if files.logs.exists():
                display.note(f"The logs of the services are in {files.logs}.")
            raise
    if json:
        output.line({"type": "result", "data": result})
    else:
        _print_result(result)


class Files:
    """The files that a demo writes into its folder; `truth` holds the labels that the tomogram was made from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tomogram = folder / "phantom.mrc"
        self.truth = result_path(self.tomogram, "truth")
        self.mask = result_path(self.tomogram, "mask")
        self.statistics = folder / "stats.json"
        self.picture = folder / "demo.png"
        self.logs = folder / "logs"

    @property
    def _written(self) -> tuple[Path, ...]:
        return self.tomogram, self.truth, self.mask, self.statistics, self.picture

    def require_replaceable(self) -> None:
        """Make the folder, and refuse to overwrite files in it that are not those of an earlier demo.

        Raises
        ------
        ConflictError
            There are such files.
        InvalidRequestError
            The folder cannot be written.
        """
        taken = [path for path in self._written if os.path.lexists(path)]
        if taken and not _is_own_volume(self.tomogram):
            raise ConflictError(
                f"'{taken[0]}' exists and is not the result of a demo.", hint="Choose another folder with --out."
            )
        require_outputs(self._written, replace=True, folder=self.folder)

    def remove_logs(self) -> None:
        """Delete the logs of an earlier demo."""
        from cryomamba.stack import SERVICES

        for service in SERVICES:
            (self.logs / f"{service}.log").unlink(missing_ok=True)


def _is_own_volume(path: Path) -> bool:
    from cryomamba.volumes import inspect, is_own_volume

    try:
        return is_own_volume(inspect(path).labels)
    except CryoMambaError:
        return False


def play(
    files: Files, spec: PhantomSpec, engine: str | None, display: Reporter, interrupts: Interrupts
) -> dict[str, Any]:
    """Run the demo and return its results; the services are stopped in any case."""
    from cryomamba.stack import Stack

    display.note(f"Generating a tomogram of {output.triple(spec.shape)} voxels …")
    phantom = write_phantom(spec, files.tomogram, files.truth)
    files.remove_logs()
    with tempfile.TemporaryDirectory(prefix="cryomamba-demo-") as home:
        display.note("Starting broker, inference and gateway …")
        # Ctrl-C must reach this process alone: the job is cancelled before the services stop.
        with Stack(Path(home), roots=[files.folder], env=_env(), logs=files.logs, new_session=True) as stack:
            stack.start().wait_ready()
            display.note(f"The services are ready; the gateway is at {stack.http_url}.")
            record, previews = through_gateway(stack.http_url, files, engine, display, interrupts)
        display.note("The services have stopped.")
    return evaluate(files, phantom, record, previews)


def _env() -> dict[str, str]:
    """Return the settings of the services; the caller's environment may set logging and the number of processes."""
    names = ("CRYOMAMBA_LOG", "CRYOMAMBA_PROCESSES")
    return {"CRYOMAMBA_PROCESSES": "0"} | {name: os.environ[name] for name in names if name in os.environ}


def through_gateway(
    url: str, files: Files, engine: str | None, display: Reporter, interrupts: Interrupts
) -> tuple[JobRecord, int]:
    """Submit the tomogram, follow the job and download its files; return the job and the number of previews."""
    import cryomamba

    previews = 0
    options = cryomamba.PreviewOptions(interval_s=PREVIEW_INTERVAL_S)
    with cryomamba.connect(url) as client:
        chosen = engine or client.info().default_engine or ""
        job = client.submit(files.tomogram, engine=chosen, params=TUNED.get(chosen), preview=options, name="demo")
        try:
            record = job.record
            for event in client.watch(job.job_id):
                display.event(event)
                previews += isinstance(event, cryomamba.PreviewEvent)
                record = event.record if isinstance(event, cryomamba.StateEvent) else record
            record.raise_for_state()
            client.download(job.job_id, to=files.mask, progress=partial(display.transfer, files.mask.name))
            client.download(job.job_id, "stats.json", files.statistics)
        except Interrupted:
            with interrupts.deferred():
                display.note(cancel_interrupted(client, job.job_id))
            raise
    return record, previews


def evaluate(files: Files, phantom: Phantom, record: JobRecord, previews: int) -> dict[str, Any]:
    """Score the mask against the ground truth, draw the picture, and collect the results."""
    from cryomamba.synth import score_mask
    from cryomamba.synth.spec import MEMBRANE
    from cryomamba.volumes import open_volume
    from cryomamba_cli.picture import draw, views

    with open_volume(files.mask) as mask:
        found = mask.read_native(slice(None), slice(None), slice(None)) != 0
    truth = phantom.ground_truth == MEMBRANE
    score = score_mask(found, phantom.ground_truth)
    visible = score_mask(found, phantom.ground_truth, ignore=phantom.membrane_in_wedge)
    shown = views(phantom.density, found, truth, phantom.voxel_size_A)
    draw(shown, mask_name=f"mask of '{record.engine}', F1 {score.f1:.3f}").save(files.picture)
    return {
        "engine": record.engine,
        "job_id": record.job_id,
        "previews": previews,
        "score": asdict(score),
        "score_outside_wedge": asdict(visible),
        "statistics": json_text.loads(files.statistics.read_text(encoding="utf-8")),
        "tomogram": str(files.tomogram),
        "truth": str(files.truth),
        "mask": str(files.mask),
        "picture": str(files.picture),
    }


def _print_result(result: dict[str, Any]) -> None:
    output.say(f"{result['previews']} previews arrived while the engine '{result['engine']}' was running.")
    for line in (*label_lines(result["statistics"]), *finding_lines(result["statistics"])):
        output.say(line)
    output.say(
        f"Score against the whole ground truth: {_score_text(result['score'])}, with a 1-voxel boundary tolerance."
    )
    output.say(f"Without the membranes that the missing wedge hides: {_score_text(result['score_outside_wedge'])}.")
    names = {"tomogram": "tomogram", "truth": "ground truth", "mask": "mask", "picture": "picture"}
    output.facts([(text, result[name]) for name, text in names.items()])


def _score_text(score: Mapping[str, float]) -> str:
    return f"F1 {score['f1']:.3f} (precision {score['precision']:.3f}, recall {score['recall']:.3f})"
