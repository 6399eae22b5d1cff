"""Options of ``slurm submit`` for the cluster, named as SLURM names them."""

from __future__ import annotations

from typing import Annotated, Final

import typer

_PANEL: Final = "Cluster"

Partition = Annotated[
    str | None,
    typer.Option("--partition", metavar="NAME", rich_help_panel=_PANEL, help="SLURM partition; 'sinfo' lists them."),
]
Account = Annotated[
    str | None, typer.Option("--account", metavar="NAME", rich_help_panel=_PANEL, help="SLURM account to charge.")
]
Qos = Annotated[
    str | None, typer.Option("--qos", metavar="NAME", rich_help_panel=_PANEL, help="SLURM quality of service.")
]
Time = Annotated[
    str | None,
    typer.Option(
        "--time",
        metavar="LIMIT",
        rich_help_panel=_PANEL,
        help="Time limit per task in SLURM's notation: minutes, or 2:00:00, or 1-0. The partition's if not given.",
    ),
]
Cpus = Annotated[
    int,
    typer.Option(
        "--cpus-per-task", min=1, metavar="N", rich_help_panel=_PANEL, help="Processors per task; all are used."
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--mem",
        metavar="SIZE",
        rich_help_panel=_PANEL,
        help="Memory per task, such as 16G. If not given: 1 GB for each processor and 1 GB more. Trained models "
        "may need more.",
    ),
]
AtOnce = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        metavar="N",
        rich_help_panel=_PANEL,
        help="Maximum number of tasks that run at once. If not given, as many as the cluster starts.",
    ),
]
PerTask = Annotated[
    int | None,
    typer.Option(
        "--per-task",
        min=1,
        metavar="N",
        rich_help_panel=_PANEL,
        help="Tomograms that a task segments one after the other. If not given: 1, or more where an array would have "
        "too many tasks for the cluster.",
    ),
]
SbatchLines = Annotated[
    list[str] | None,
    typer.Option(
        "--sbatch",
        metavar="OPTION",
        rich_help_panel=_PANEL,
        help="Additional sbatch option for the tasks, such as '--gpus=1'. May be repeated.",
    ),
]
SummaryLines = Annotated[
    list[str] | None,
    typer.Option(
        "--sbatch-summary",
        metavar="OPTION",
        rich_help_panel=_PANEL,
        help="Additional sbatch option for the job that writes the report, such as '--mail-type=END'. May be repeated.",
    ),
]
Setup = Annotated[
    list[str] | None,
    typer.Option(
        "--setup",
        metavar="COMMAND",
        rich_help_panel=_PANEL,
        help="Shell command to run before each job, such as 'module load cuda'. May be repeated.",
    ),
]
Program = Annotated[
    str | None,
    typer.Option(
        "--program",
        metavar="COMMAND",
        rich_help_panel=_PANEL,
        help="Command that starts cryomamba on a compute node, such as 'apptainer run cryomamba.sif'. If not given: "
        "the Python that runs this command, by its path.",
    ),
]
