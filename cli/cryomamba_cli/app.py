"""The ``cryomamba`` program with all its commands. Nothing heavy is imported before a command runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import typer

from cryomamba._version import __version__
from cryomamba_cli.backup import backup, restore
from cryomamba_cli.convert import convert
from cryomamba_cli.demo import demo
from cryomamba_cli.deposit import deposit
from cryomamba_cli.desktop import desktop
from cryomamba_cli.doctor import doctor
from cryomamba_cli.engines import engines
from cryomamba_cli.error_boundary import Commands
from cryomamba_cli.export import export
from cryomamba_cli.gc import gc
from cryomamba_cli.info import info
from cryomamba_cli.jobs import cancel, jobs, retry, show, watch
from cryomamba_cli.keys import app as keys
from cryomamba_cli.masks import clean, measure
from cryomamba_cli.models import app as models
from cryomamba_cli.revise import revise
from cryomamba_cli.run import run
from cryomamba_cli.segment import segment
from cryomamba_cli.slurm.commands import app as slurm
from cryomamba_cli.surface import surface
from cryomamba_cli.synth import synth
from cryomamba_cli.threshold import threshold
from cryomamba_cli.tokens import app as tokens
from cryomamba_cli.upload import upload
from cryomamba_cli.watch_folder import watch_folder
from cryomamba_cli.webhooks import app as webhooks
from cryomamba_cli.workers import app as workers

SEGMENTATION: Final = "Segmentation"
MASKS: Final = "Masks"
JOBS: Final = "Jobs on a server"
PROGRAMS: Final = "Programs and services"
ADMINISTRATION: Final = "Server administration"

app = typer.Typer(
    name="cryomamba",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="First steps: cryomamba demo --out demo\n\nIf something does not work: cryomamba doctor\n\n"
    "Defaults: an option has precedence over an environment variable (CRYOMAMBA_SERVER, CRYOMAMBA_PROCESSES, …), and "
    "that over cryomamba.toml in this folder or in the user's configuration folder; 'cryomamba doctor' shows both.",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"cryomamba {__version__}")
        raise typer.Exit


@app.callback()
def cryomamba(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 (its callback prints it)
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Segment cryo-electron tomograms, on this machine or on a server, with live preview."""
    # The check reports wrong settings among its results; every other command is refused at once.
    if context.invoked_subcommand != "doctor":
        from cryomamba.settings import load_settings

        load_settings()


def _add(panel: str, command: Callable[..., Any], *examples: str, context: dict[str, Any] | None = None) -> None:
    lines: Sequence[str] = ["Examples:", *(f"  {example}" for example in examples)]
    # Brackets would be read as markup; an empty line keeps each example on its own line.
    epilog = "\n\n".join(lines).replace("[", r"\[") if examples else None
    app.command(rich_help_panel=panel, epilog=epilog, context_settings=context)(command)


_add(
    SEGMENTATION,
    segment,
    "cryomamba segment t1.mrc",
    "cryomamba segment t1.mrc -o masks/ -e threshold -p contrast=dark",
    "cryomamba segment t1.mrc -o mask.mrc --server http://127.0.0.1:8000",
    "cryomamba segment 'tomograms/*.mrc' --out-dir masks/ -e threshold",
    "cryomamba segment t1.mrc -p instances=true -p medial_surface=true -p point_spacing_A=100 --format star",
)
_add(
    SEGMENTATION,
    watch_folder,
    "cryomamba watch-folder reconstructions/ -o masks/",
    "cryomamba watch-folder reconstructions/ -o masks/ -e threshold -p contrast=dark --once",
    "cryomamba watch-folder reconstructions/ -o masks/ --server http://127.0.0.1:8000 --jobs 8",
)
_add(SEGMENTATION, info, "cryomamba info t1.mrc", "cryomamba info t1.rec.gz --no-statistics --json")
_add(
    SEGMENTATION,
    convert,
    "cryomamba convert t1.tif -o t1.mrc",
    "cryomamba convert t1.tif -o t1.mrc --voxel-size 13.48",
    "cryomamba convert t1.ome.zarr -o t1.mrc",
    "cryomamba convert 'copick:config.json#TS_01/wbp@10' -o t1.mrc",
)
_add(
    SEGMENTATION,
    synth,
    "cryomamba synth phantom.mrc",
    "cryomamba synth mitochondria.mrc --family cristae --voxel-size 12 -p noise=1",
    "cryomamba synth small.mrc --shape 64 --voxel-size 14 --seed 3 -p noise=4 -p vesicles=2",
)
_add(
    SEGMENTATION,
    engines,
    "cryomamba engines",
    "cryomamba engines threshold",
    "cryomamba engines --server tcp://lab:5560",
)
_add(JOBS, upload, "cryomamba upload t1.mrc --server http://lab:8000")
_add(MASKS, measure, "cryomamba measure mask.mrc", "cryomamba measure mask.mrc --csv mask.csv")
_add(
    MASKS,
    clean,
    "cryomamba clean mask.mrc -o clean.mrc --min-volume 5000 --fill-holes",
    "cryomamba clean mask.mrc -o vesicles.mrc --split",
)
_add(
    MASKS,
    surface,
    "cryomamba surface mask.mrc",
    "cryomamba surface mask.mrc -o points.star --spacing 80 --tomo-name TS_01",
    "cryomamba surface mask.mrc -o medial_surface.mrc -o normals.nrrd",
)
_add(
    MASKS,
    threshold,
    "cryomamba threshold t1__membrane_scores.mrc --high 200 --low 150",
    "cryomamba threshold 3f2a9c1e --high 200 --min-volume 5000 -o stricter.mrc",
)
_add(
    MASKS,
    export,
    "cryomamba export mask.mrc -o mask.nii.gz",
    "cryomamba export mask.mrc -o mask.stl --label 1",
    "cryomamba export mask.mrc --copick project --run TS_01 --object membrane",
)
_add(
    MASKS,
    deposit,
    "cryomamba deposit TS_01__membrane.mrc -o deposition --about about.toml",
    "cryomamba deposit TS_01__particles.csv -o deposition --tomogram TS_01.mrc",
)
_add(JOBS, jobs, "cryomamba jobs --state running", "cryomamba jobs --limit 100 --json")
_add(JOBS, show, "cryomamba show 3f2a9c1e")
_add(JOBS, watch, "cryomamba watch 3f2a9c1e", "cryomamba watch 3f2a9c1e --json")
_add(JOBS, cancel, "cryomamba cancel 3f2a9c1e")
_add(JOBS, retry, "cryomamba retry 3f2a9c1e")
_add(JOBS, revise, "cryomamba revise 3f2a9c1e corrected.mrc --note 'holes filled'")
_add(PROGRAMS, demo, "cryomamba demo --out demo")
_add(
    PROGRAMS,
    desktop,
    "cryomamba desktop t1.mrc",
    context={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
_add(PROGRAMS, run, "cryomamba run", "CRYOMAMBA_HOME=~/second CRYOMAMBA_GATEWAY_PORT=8001 cryomamba run")
_add(ADMINISTRATION, gc, "cryomamba gc", "cryomamba gc --days 90 --yes")
_add(ADMINISTRATION, backup, "cryomamba backup /mnt/backup/cryomamba")
_add(ADMINISTRATION, restore, "CRYOMAMBA_HOME=/data/new cryomamba restore /mnt/backup/cryomamba")
app.add_typer(slurm, rich_help_panel=SEGMENTATION)
app.add_typer(models, rich_help_panel=SEGMENTATION)
app.add_typer(webhooks, rich_help_panel=JOBS)
app.add_typer(workers, rich_help_panel=ADMINISTRATION)
app.add_typer(tokens, rich_help_panel=ADMINISTRATION)
app.add_typer(keys, rich_help_panel=ADMINISTRATION)
_add(PROGRAMS, doctor, "cryomamba doctor", "cryomamba doctor --server http://lab:8000")
