"""``demo``: a synthetic tomogram through all services, with mask, score and picture."""

from __future__ import annotations

import json as json_text
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cryomamba.errors import CryoMambaError
from cryomamba_cli import output
from cryomamba_cli.naming import beside
from cryomamba_cli.options import Json
from cryomamba_cli.reporter import Reporter, reporter
from cryomamba_cli.services import Stack
from cryomamba_cli.signals import Interrupted, Interrupts, interruptible
from cryomamba_cli.synth import recipe, write_phantom
from cryomamba_cli.work import cancel_and_say, label_lines

if TYPE_CHECKING:
    from cryomamba.models.jobs import JobRecord
    from cryomamba.synth import Phantom, PhantomSpec

PREVIEW_INTERVAL_S: Final = 0.1
# A phantom's density scale is known, so a value fits every one of them; Otsu's threshold collapses at this noise.
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
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; made if it is not there.")] = Path(
        "demo"
    ),
    size: Annotated[str, typer.Option("--shape", metavar="Z,Y,X", help="Voxels of the tomogram.")] = "160,320,320",
    engine: Annotated[
        str | None, typer.Option("--engine", "-e", help="The method; the default one if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes another tomogram.")] = 1,
    noise: Annotated[float, typer.Option(min=0, help="Noise: 1 is a very clean tomogram, 4 a poor one.")] = 1.0,
    json: Json = False,
) -> None:
    """Show that everything works: send a synthetic tomogram through all services and score the mask.

    The services get free ports and a temporary folder of their own, so a running stack is not touched, and end with
    the demo. Files in the folder that have the demo's names are overwritten.
    """
    spec = recipe(size, "10", seed, [f"noise={noise}"])
    out.mkdir(parents=True, exist_ok=True)
    files = Files(out.resolve())
    display = reporter(json=json, stream=sys.stderr)
    try:
        with interruptible() as interrupts:
            result = play(files, spec, engine, display, interrupts)
    except (CryoMambaError, Interrupted):
        if files.log.exists():
            display.note(f"What the services said is in {files.log}.")
        raise
    finally:
        display.close()
    if json:
        output.line({"type": "result", "data": result})
    else:
        _tell(result)


@dataclass(frozen=True, slots=True)
class Files:
    """What a demo leaves in its folder."""

    folder: Path

    @property
    def tomogram(self) -> Path:
        """The synthetic tomogram."""
        return self.folder / "phantom.mrc"

    @property
    def truth(self) -> Path:
        """The labels that it was made from."""
        return beside(self.tomogram, "truth")

    @property
    def mask(self) -> Path:
        """What the engine found."""
        return beside(self.tomogram, "mask")

    @property
    def statistics(self) -> Path:
        """Numbers about the mask."""
        return self.folder / "stats.json"

    @property
    def picture(self) -> Path:
        """Slices with mask and truth over them."""
        return self.folder / "demo.png"

    @property
    def log(self) -> Path:
        """What the services have printed."""
        return self.folder / "services.log"


def play(
    files: Files, spec: PhantomSpec, engine: str | None, display: Reporter, interrupts: Interrupts
) -> dict[str, Any]:
    """Go through the whole demo and return what came out; the services have ended by then, however it ends."""
    display.note(f"Making a tomogram of {output.triple(spec.shape)} voxels …")
    phantom = write_phantom(spec, files.tomogram, files.truth)
    with tempfile.TemporaryDirectory(prefix="cryomamba-demo-") as home:
        display.note("Starting broker, inference and gateway …")
        with Stack(Path(home), root=files.folder, log=files.log) as stack:
            stack.start()
            stack.wait_ready()
            display.note(f"They are ready; the gateway is at {stack.url}.")
            record, previews = through_gateway(stack.url, files, engine, display, interrupts)
        display.note("The services have ended.")
    return evaluate(files, phantom, record, previews)


def through_gateway(
    url: str, files: Files, engine: str | None, display: Reporter, interrupts: Interrupts
) -> tuple[JobRecord, int]:
    """Submit, watch and download; return the finished job and how many previews arrived."""
    import cryomamba

    previews = 0
    options = cryomamba.PreviewOptions(interval_s=PREVIEW_INTERVAL_S)
    with cryomamba.connect(url) as client:
        chosen = engine or client.info().default_engine or ""
        with interrupts.held():
            job = client.submit(files.tomogram, engine=chosen, params=TUNED.get(chosen), preview=options, name="demo")
        try:
            record = job
            for event in client.watch(job.job_id):
                display.event(event)
                previews += isinstance(event, cryomamba.PreviewEvent)
                record = event.record if isinstance(event, cryomamba.StateEvent) else record
            record.raise_for_state()
            client.download(job.job_id, to=files.mask, progress=partial(display.transfer, files.mask.name))
            client.download(job.job_id, "stats.json", files.statistics)
        except Interrupted:
            with interrupts.held():
                display.note(cancel_and_say(client, job.job_id))
            raise
    return record, previews


def evaluate(files: Files, phantom: Phantom, record: JobRecord, previews: int) -> dict[str, Any]:
    """Score the mask against the truth, draw the picture, and gather the numbers."""
    from cryomamba.synth import score_mask
    from cryomamba.synth.spec import MEMBRANE, MEMBRANE_UNSEEN
    from cryomamba.volumes import open_volume
    from cryomamba_cli.picture import draw, views

    with open_volume(files.mask) as mask:
        found = mask.read_native(slice(None), slice(None), slice(None)) != 0
    score = score_mask(found, phantom.truth)
    truth = (phantom.truth == MEMBRANE) | (phantom.truth == MEMBRANE_UNSEEN)
    shown = views(phantom.density, found, truth, phantom.voxel_size_A)
    draw(shown, mask_name=f"mask of '{record.engine}'").save(files.picture)
    return {
        "engine": record.engine,
        "job_id": record.job_id,
        "previews": previews,
        "score": asdict(score),
        "statistics": json_text.loads(files.statistics.read_text(encoding="utf-8")),
        "tomogram": str(files.tomogram),
        "truth": str(files.truth),
        "mask": str(files.mask),
        "picture": str(files.picture),
    }


def _tell(result: dict[str, Any]) -> None:
    score = result["score"]
    output.say(f"{result['previews']} previews arrived while the engine '{result['engine']}' worked.")
    for line in label_lines(result["statistics"]):
        output.say(line)
    output.say(
        f"Score against the truth, borders off by one voxel allowed: F1 {score['f1']:.3f} "
        f"(precision {score['precision']:.3f}, recall {score['recall']:.3f})"
    )
    output.facts([(name, result[name]) for name in ("tomogram", "truth", "mask", "picture")])
