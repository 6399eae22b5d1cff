"""A SLURM cluster of one node in a folder: munged, slurmctld and slurmd, on free ports of the loopback interface."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from cryomamba.testing import free_ports, wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
MOST_TASKS = 4
"""Of an array: small, so that a test can have more tomograms."""
LONG_S = 60.0

CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmdParameters=config_overrides
MpiDefault=none
MaxArraySize={array}
KillWait=10
ReturnToService=2
NodeName=localhost NodeAddr=127.0.0.1 NodeHostname={host} Port={node} CPUs=4 RealMemory=32000 State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""


def missing_program() -> str | None:
    """Return the name of a program that is not installed."""
    return next((name for name in PROGRAMS if shutil.which(name, path=PATH) is None), None)


class Cluster:
    """The cluster; a context manager.

    Parameters
    ----------
    folder : Path
        Existing empty folder.

    Attributes
    ----------
    configuration : Path
        For the environment variable SLURM_CONF.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.configuration = folder / "slurm.conf"
        self._processes = ExitStack()

    def __enter__(self) -> Self:
        for name in ("munge", "state", "spool"):
            (self._folder / name).mkdir()
        self._configure()
        with ExitStack() as processes:
            self._processes = processes
            self._start_munge()
            self._start("slurmctld", "-D", "-c", "-f", str(self.configuration))
            self._start("slurmd", "-D", "-f", str(self.configuration))
            wait_until(self._is_idle, timeout=LONG_S, what=f"an idle node; see {self._folder}/*.log")
            self._processes = processes.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.close()

    def _configure(self) -> None:
        controller, node = free_ports(2)
        text = CONFIGURATION.format(
            folder=self._folder,
            controller=controller,
            node=node,
            user=pwd.getpwuid(os.geteuid()).pw_name,
            host=socket.gethostname().partition(".")[0],
            array=MOST_TASKS + 1,
        )
        self.configuration.write_text(text)
        # The node's own version of cgroups does not matter: none are used.
        (self._folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")

    def _start_munge(self) -> None:
        munge = self._folder / "munge"
        (munge / "key").write_bytes(secrets.token_bytes(128))
        (munge / "key").chmod(0o400)
        files = [f"--{name}-file={munge / name}" for name in ("key", "pid", "log", "seed")]
        self._start("munged", "--foreground", "--force", f"--socket={munge / 'socket'}", *files)
        wait_until((munge / "socket").exists, what="munge's socket")

    def _start(self, name: str, *arguments: str) -> None:
        program = shutil.which(name, path=PATH)
        assert program is not None
        environment = {**os.environ, "SLURM_CONF": str(self.configuration)}
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen([program, *arguments], stdout=log, stderr=log, env=environment)
        self._processes.callback(process.wait)
        self._processes.callback(process.terminate)

    def run(self, *command: str) -> str:
        """Run one of SLURM's commands, and return what it prints."""
        environment = {**os.environ, "SLURM_CONF": str(self.configuration)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    def _is_idle(self) -> bool:
        try:
            return "idle" in self.run("sinfo", "--noheader", "--format=%T")
        except subprocess.CalledProcessError:
            return False

    def queue(self) -> str:
        """Return the jobs that have not ended."""
        return self.run("squeue", "--noheader", "--array", "--format=%F_%K %T")
