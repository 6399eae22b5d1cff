"""The ``cryomamba`` program with all its commands. A command is imported when it runs or shows its own help."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from cryomamba._version import __version__
from cryomamba_cli.lazy_commands import LazyCommand, Program, shows_help

SEGMENTATION: Final = "Segmentation"
MASKS: Final = "Masks"
JOBS: Final = "Jobs on a server"
PROGRAMS: Final = "Programs and services"
ADMINISTRATION: Final = "Server administration"

COMMANDS: Final = (
    LazyCommand(
        "segment",
        SEGMENTATION,
        "segment:segment",
        "Segment tomograms. Without --server this runs on this machine and needs no services.",
        (
            "cryomamba segment t1.mrc",
            "cryomamba segment t1.mrc -o masks/ -e threshold -p contrast=dark",
            "cryomamba segment t1.mrc -o mask.mrc --server http://127.0.0.1:8000",
            "cryomamba segment 'tomograms/*.mrc' --out-dir masks/ -e threshold",
            "cryomamba segment t1.mrc -p instances=true -p medial_surface=true -p point_spacing_A=100 --format star",
        ),
    ),
    LazyCommand(
        "watch-folder",
        SEGMENTATION,
        "watch_folder:watch_folder",
        "Segment tomograms as they appear in a folder, until Ctrl-C or SIGTERM.",
        (
            "cryomamba watch-folder reconstructions/ -o masks/",
            "cryomamba watch-folder reconstructions/ -o masks/ -e threshold -p contrast=dark --once",
            "cryomamba watch-folder reconstructions/ -o masks/ --server http://127.0.0.1:8000 --jobs 8",
        ),
    ),
    LazyCommand(
        "info",
        SEGMENTATION,
        "info:info",
        "Show the header, voxel size, statistics and warnings of a volume, or what a copick project holds.",
        ("cryomamba info t1.mrc", "cryomamba info t1.rec.gz --no-statistics --json"),
    ),
    LazyCommand(
        "convert",
        SEGMENTATION,
        "convert:convert",
        "Convert a TIFF or OME-Zarr image, or one of a copick project, to MRC. Memory use does not grow with the "
        "image.",
        (
            "cryomamba convert t1.tif -o t1.mrc",
            "cryomamba convert t1.tif -o t1.mrc --voxel-size 13.48",
            "cryomamba convert t1.ome.zarr -o t1.mrc",
            "cryomamba convert 'copick:config.json#TS_01/wbp@10' -o t1.mrc",
        ),
    ),
    LazyCommand(
        "synth",
        SEGMENTATION,
        "synth:synth",
        "Write a synthetic tomogram with its ground truth: a mask, and tables of particle and filament coordinates.",
        (
            "cryomamba synth phantom.mrc",
            "cryomamba synth mitochondria.mrc --family cristae --voxel-size 12 -p noise=1",
            "cryomamba synth small.mrc --shape 64 --voxel-size 14 --seed 3 -p noise=4 -p vesicles=2",
        ),
    ),
    LazyCommand(
        "engines",
        SEGMENTATION,
        "engines:engines",
        "List the segmentation engines, or the parameters of one.",
        ("cryomamba engines", "cryomamba engines threshold", "cryomamba engines --server tcp://lab:5560"),
    ),
    LazyCommand(
        "upload",
        JOBS,
        "upload:upload",
        "Upload a tomogram to a server and print its file id.",
        ("cryomamba upload t1.mrc --server http://lab:8000",),
    ),
    LazyCommand(
        "measure",
        MASKS,
        "masks:measure",
        "Measure labels and connected components: volume, surface area, thickness, centroid, bounding box.",
        ("cryomamba measure mask.mrc", "cryomamba measure mask.mrc --csv mask.csv"),
    ),
    LazyCommand(
        "clean",
        MASKS,
        "masks:clean",
        "Remove small components, fill holes, select or label components, in this order; each step is optional.",
        (
            "cryomamba clean mask.mrc -o clean.mrc --min-volume 5000 --fill-holes",
            "cryomamba clean mask.mrc -o vesicles.mrc --split",
        ),
    ),
    LazyCommand(
        "surface",
        MASKS,
        "surface:surface",
        "Trace the medial surface of membranes: areas, and points with normals for subtomogram averaging.",
        (
            "cryomamba surface mask.mrc",
            "cryomamba surface mask.mrc -o points.star --spacing 80 --tomo-name TS_01",
            "cryomamba surface mask.mrc -o medial_surface.mrc -o normals.nrrd",
        ),
    ),
    LazyCommand(
        "threshold",
        MASKS,
        "threshold:threshold",
        "Re-threshold a score map: a file on this machine, or that of a job on its server.",
        (
            "cryomamba threshold t1__membrane_scores.mrc --high 200 --low 150",
            "cryomamba threshold 3f2a9c1e --high 200 --min-volume 5000 -o stricter.mrc",
        ),
    ),
    LazyCommand(
        "export",
        MASKS,
        "export:export",
        "Convert a mask to another format, a mesh or contours, or picks for RELION, WarpTools, IMOD, Dynamo or copick.",
        (
            "cryomamba export mask.mrc -o mask.nii.gz",
            "cryomamba export mask.mrc -o mask.stl --label 1",
            "cryomamba export mask.mrc --copick project --run TS_01 --object membrane",
        ),
    ),
    LazyCommand(
        "deposit",
        MASKS,
        "deposit:deposit",
        "Write masks and picks, with their metadata, as a folder for a deposition to the CryoET Data Portal.",
        (
            "cryomamba deposit TS_01__membrane.mrc -o deposition --about about.toml",
            "cryomamba deposit TS_01__particles.csv -o deposition --tomogram TS_01.mrc",
        ),
    ),
    LazyCommand(
        "jobs",
        JOBS,
        "jobs:jobs",
        "List the jobs of a server, newest first.",
        ("cryomamba jobs --state running", "cryomamba jobs --limit 100 --json"),
    ),
    LazyCommand(
        "show",
        JOBS,
        "jobs:show",
        "Show all details of a job: parameters, progress, files, errors and history.",
        ("cryomamba show 3f2a9c1e",),
    ),
    LazyCommand(
        "watch",
        JOBS,
        "jobs:watch",
        "Follow a job until it ends. Ctrl-C stops watching; the job continues.",
        ("cryomamba watch 3f2a9c1e", "cryomamba watch 3f2a9c1e --json"),
    ),
    LazyCommand(
        "cancel",
        JOBS,
        "jobs:cancel",
        "Cancel a job: a pending job at once, a running job after the current tile.",
        ("cryomamba cancel 3f2a9c1e",),
    ),
    LazyCommand("retry", JOBS, "jobs:retry", "Requeue a failed or cancelled job.", ("cryomamba retry 3f2a9c1e",)),
    LazyCommand(
        "revise",
        JOBS,
        "revise:revise",
        "Upload a corrected mask as a revision of a job, and print its name on the server.",
        ("cryomamba revise 3f2a9c1e corrected.mrc --note 'holes filled'",),
    ),
    LazyCommand(
        "demo",
        PROGRAMS,
        "demo:demo",
        "Check the installation: segment a synthetic tomogram with all services and score the mask.",
        ("cryomamba demo --out demo",),
    ),
    LazyCommand(
        "desktop",
        PROGRAMS,
        "desktop:desktop",
        "Launch the napari app. Remaining arguments are passed to it: files to open, --server URL.",
        ("cryomamba desktop t1.mrc",),
        context={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    ),
    LazyCommand(
        "run",
        PROGRAMS,
        "run:run",
        "Start broker, inference and gateway in the foreground; Ctrl-C stops them.",
        ("cryomamba run", "CRYOMAMBA_HOME=~/second CRYOMAMBA_GATEWAY_PORT=8001 cryomamba run"),
    ),
    LazyCommand(
        "gc",
        ADMINISTRATION,
        "gc:gc",
        "Delete expired jobs and uploads (dry run unless --yes).",
        ("cryomamba gc", "cryomamba gc --days 90 --yes"),
    ),
    LazyCommand(
        "backup",
        ADMINISTRATION,
        "backup:backup",
        "Back up the data directory: jobs, artifacts, uploads and keys. The services may be running.",
        ("cryomamba backup /mnt/backup/cryomamba",),
    ),
    LazyCommand(
        "restore",
        ADMINISTRATION,
        "backup:restore",
        "Restore a backup into a new data directory, given by CRYOMAMBA_HOME.",
        ("CRYOMAMBA_HOME=/data/new cryomamba restore /mnt/backup/cryomamba",),
    ),
    LazyCommand(
        "doctor",
        PROGRAMS,
        "doctor:doctor",
        "Check extras, disk, memory, display, keys, services, models and GPU; each finding has the command that helps.",
        ("cryomamba doctor", "cryomamba doctor --server http://lab:8000"),
    ),
    LazyCommand(
        "slurm", SEGMENTATION, "slurm.commands:app", "Segment many tomograms on a SLURM cluster, without a server.", ()
    ),
    LazyCommand(
        "models",
        SEGMENTATION,
        "models:app",
        "Manage trained models: list, check, convert, add, remove, accept licences.",
        (),
    ),
    LazyCommand(
        "webhooks", JOBS, "webhooks:app", "Manage webhooks: signed messages to other servers when jobs end.", ()
    ),
    LazyCommand(
        "workers",
        ADMINISTRATION,
        "workers:app",
        "List the workers of a server, and decide which of them take jobs; for administrators.",
        (),
    ),
    LazyCommand("tokens", ADMINISTRATION, "tokens:app", "Manage the access tokens of the gateway.", ()),
    LazyCommand(
        "keys",
        ADMINISTRATION,
        "keys:app",
        "Manage the keys for encrypted, direct connections to the broker (ZeroMQ CURVE).",
        (),
    ),
)


class CryoMamba(Program):
    """The program with the commands of the table above."""

    table = COMMANDS


app = typer.Typer(
    name="cryomamba",
    cls=CryoMamba,
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
    # The check reports wrong settings among its results; every other command is refused at once, but for its help.
    if context.invoked_subcommand != "doctor" and not shows_help(context):
        from cryomamba.settings import load_settings

        load_settings()
