"""Hosts as network namespaces of this machine, joined by a bridge, and programs that run on them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import psutil
import pytest

_STOP_S = 30.0
_NAME = re.compile(r"cm(\d+)-\w+")


class NetworkHosts:
    """Hosts with one link each to a switch; a context manager. Nothing is made outside of their namespaces.

    The switch is a bridge in a namespace of its own, so that all links go with the namespaces. Those that a killed run
    has left are removed first.

    Parameters
    ----------
    names : sequence of str
        Of the hosts, whose addresses are 10.77.0.1 and on.
    logs : Path
        Folder for what the programs print.
    """

    def __init__(self, names: Sequence[str], logs: Path) -> None:
        self._logs = logs
        self._numbers = {name: number for number, name in enumerate(names, 1)}
        self._switch = f"cm{os.getpid()}-switch"
        self._stack = ExitStack()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        require_namespaces()
        _remove_abandoned()
        with self._stack:
            self._add(self._switch)
            _ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
            _ip("-n", self._switch, "link", "set", "switch", "up")
            for name, number in self._numbers.items():
                host, port = self.namespace(name), f"port{number}"
                self._add(host)
                _ip("link", "add", port, "netns", self._switch, "type", "veth", "peer", "name", "eth0", "netns", host)
                _ip("-n", self._switch, "link", "set", port, "master", "switch", "up")
                _ip("-n", host, "link", "set", "lo", "up")
                _ip("-n", host, "address", "add", f"{self.address(name)}/24", "dev", "eth0")
                _ip("-n", host, "link", "set", "eth0", "up")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._end_programs()
        finally:
            self._stack.close()

    def _add(self, namespace: str) -> None:
        _ip("netns", "add", namespace)
        self._stack.callback(_ip, "netns", "delete", namespace)

    def namespace(self, name: str) -> str:
        """Return the name of a host's namespace."""
        return f"cm{os.getpid()}-{name}"

    def address(self, name: str) -> str:
        """Return the address of a host."""
        return f"10.77.0.{self._numbers[name]}"

    def cut(self, name: str) -> None:
        """Cut the link of a host."""
        _ip("-n", self._switch, "link", "set", f"port{self._numbers[name]}", "down")

    def heal(self, name: str) -> None:
        """Restore the link of a host."""
        _ip("-n", self._switch, "link", "set", f"port{self._numbers[name]}", "up")

    def command(self, host: str, *arguments: str) -> list[str]:
        """Return a command as it is run on a host."""
        return ["ip", "netns", "exec", self.namespace(host), *arguments]

    def start(self, host: str, *arguments: str, env: Mapping[str, str]) -> None:
        """Start a program on a host, one on each, with a log."""
        with (self._logs / f"{host}.log").open("wb") as log:
            self.processes[host] = subprocess.Popen(
                self.command(host, *arguments), env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def log(self, host: str) -> str:
        """Return what the program of a host has printed."""
        return (self._logs / f"{host}.log").read_text(encoding="utf-8", errors="replace")

    def run(self, host: str, *arguments: str) -> bytes:
        """Run a program on a host and return what it prints."""
        return subprocess.run(self.command(host, *arguments), check=True, capture_output=True, timeout=_STOP_S).stdout

    def sent_bytes(self, host: str) -> int:
        """Return how many bytes a host has sent over its link."""
        shown = json.loads(
            subprocess.run(
                ["ip", "-n", self.namespace(host), "-s", "-j", "link", "show", "eth0"], check=True, capture_output=True
            ).stdout
        )
        return int(shown[0]["stats64"]["tx"]["bytes"])

    def _end_programs(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def require_namespaces() -> None:
    """Skip the test where no network namespaces can be made."""
    if shutil.which("ip") is None:
        pytest.skip("the program 'ip' (iproute2) is missing")
    made = f"cm{os.getpid()}-probe"
    probe = subprocess.run(["ip", "netns", "add", made], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"no network namespaces can be made here: {probe.stderr.strip()}")
    _ip("netns", "delete", made)


def _remove_abandoned() -> None:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        found = _NAME.match(line)
        if found and not psutil.pid_exists(int(found[1])):
            _ip("netns", "delete", found[0])


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
