"""`watch-folder` killed ten times while 200 tomograms arrive: what is processed once, and what is left behind.

Small tomograms arrive in random order, in pieces of random size with random pauses, as a copy over a network does. Ten
are broken in different ways, and five are renamed into place. The program is killed (SIGKILL) whenever a random number
of results has appeared, and started again. ``TOMOGRAMS``, ``KILLS``, ``SEED`` and ``PICTURES`` are set in the
environment.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import mrcfile
import numpy as np

from cryomamba.testing import wait_until
from cryomamba.volumes import write_volume

BROKEN = ("truncated", "noise", "empty", "complex", "not_finite")
RENAMED = 5
CHUNK_NBYTES = (1_000, 60_000)
PAUSE_S = 0.02
STABLE_S = 0.5
STALLED_S = 4.0
LONGEST_S = 600.0
"""After this the wait for a number of results is given up: the machine may have other work."""


@dataclass
class Outcome:
    """What was found at the end.

    Attributes
    ----------
    kills : int
    states : dict of str to str
        State of each tomogram in the table.
    starts, ends : Counter of str
        How often each was started, and reported as done or failed, in all runs.
    problems : list of str
        What should not be.
    seconds : float
    """

    kills: int = 0
    states: dict[str, str] = field(default_factory=dict)
    starts: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


def tomogram(path: Path, rng: np.random.Generator, kind: str = "") -> bytes:
    """Return the bytes of a small tomogram with some bright voxels, or of a broken one."""
    shape = tuple(int(side) for side in rng.integers(10, 40, 3))
    voxels = rng.normal(size=shape).astype(np.float32)
    voxels[: shape[0] // 2, 2:6, 3:7] += 8
    if kind == "not_finite":
        voxels[0, 0, 0] = np.nan
    write_volume(path, voxels, 10.0)
    raw = bytearray(path.read_bytes())
    path.unlink()
    match kind:
        case "truncated":
            return bytes(raw[: len(raw) * 2 // 3])
        case "noise":
            return rng.bytes(5000)
        case "empty":
            return b""
        case "complex":
            raw[12:16] = (4).to_bytes(4, "little")
    return bytes(raw)


def arrive(folder: Path, contents: dict[str, bytes], renamed: set[str], seed: int) -> None:
    """Write the files in random order, several at a time, in pieces; those in `renamed` get their names at the end."""
    order = sorted(contents)
    random.Random(seed).shuffle(order)

    def write(names: list[str], choice: random.Random) -> None:
        for name in names:
            final = folder / name
            final.parent.mkdir(exist_ok=True)
            path = final.with_name(f"{final.name}.tmp") if name in renamed else final
            with path.open("wb") as file:
                content = contents[name]
                while content:
                    size = choice.randint(*CHUNK_NBYTES)
                    file.write(content[:size])
                    file.flush()
                    content = content[size:]
                    # A pause of the sender, not a wait for anything.
                    time.sleep(choice.random() * PAUSE_S)
            if name in renamed:
                path.rename(final)

    threads = [
        threading.Thread(target=write, args=(order[number::3], random.Random(seed + number))) for number in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def watcher(source: Path, results: Path, log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the program; what it prints is appended to `log`."""
    command = [sys.executable, "-m", "cryomamba_cli", "watch-folder", str(source), "--out-dir", str(results)]
    command += ["-e", "threshold", "--json", "--jobs", "2", "--poll", "0.1", "--stable", str(STABLE_S)]
    command += ["--stalled", str(STALLED_S), *options]
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def records(results: Path) -> int:
    # Not with rglob: folders of the work in progress vanish while they are listed.
    return sum(name.endswith(".mrc.json") for _, _, names in os.walk(results) for name in names)


def has_results(results: Path, process: subprocess.Popen[bytes], count: int) -> bool:
    return records(results) >= count or process.poll() is not None


def run(folder: Path, *, tomograms: int, broken: int, kills: int, seed: int, pictures: bool = True) -> Outcome:
    """Run the scenario in an empty folder."""
    source, results, log = folder / "in", folder / "out", folder / "log"
    source.mkdir()
    rng, choice = np.random.default_rng(seed), random.Random(seed)
    names = [f"{'sub/' if number % 4 == 0 else ''}t{number:03d}.mrc" for number in range(tomograms)]
    bad = {names[number * tomograms // broken + 1]: BROKEN[number % len(BROKEN)] for number in range(broken)}
    contents = {name: tomogram(folder / "scratch.mrc", rng, bad.get(name, "")) for name in names}
    renamed = set(choice.sample([name for name in names if name not in bad], min(RENAMED, tomograms)))
    drawn = "--pictures" if pictures else "--no-pictures"
    arrival = threading.Thread(target=arrive, args=(source, contents, renamed, seed))
    outcome, began = Outcome(), time.monotonic()
    arrival.start()
    for at in sorted(choice.sample(range(tomograms - broken), kills)):
        with watcher(source, results, log, drawn) as process:
            wait_until(partial(has_results, results, process, at), timeout=LONGEST_S, what=f"{at} results")
            # Another instant of its work each time.
            time.sleep(choice.random() * PAUSE_S * 5)
            process.send_signal(signal.SIGKILL)
            outcome.kills += process.wait() == -signal.SIGKILL
    arrival.join()
    with watcher(source, results, log, drawn, "--once") as process:
        wait_until(lambda: process.poll() is not None, what="the end", timeout=LONGEST_S)
    outcome.seconds = time.monotonic() - began
    check(outcome, source, results, log, bad, pictures=pictures)
    return outcome


def check(outcome: Outcome, source: Path, results: Path, log: Path, bad: dict[str, str], *, pictures: bool) -> None:
    """Compare what is there with what should be; masks are read by mrcfile."""
    for line in log.read_bytes().splitlines():
        # A line may be cut where the program was killed.
        with contextlib.suppress(ValueError):
            message = json.loads(line)
            if message["type"] == "tomogram":
                name, state = message["data"]["tomogram"], message["data"]["state"]
                outcome.starts[name] += state == "running"
                outcome.ends[name] += state in {"done", "failed"}
    with (results / "summary.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["tomogram"]: row for row in csv.DictReader(file)}
    outcome.states = {name: row["state"] for name, row in rows.items()}
    expected = {str(path.relative_to(source)) for path in source.rglob("*.mrc")}
    problems = [f"not in the table: {name}" for name in expected - set(rows)]
    for name, row in rows.items():
        want = "failed" if name in bad else "done"
        if row["state"] != want or (want == "failed") != bool(row["error"]):
            problems.append(f"{name} ({bad.get(name, 'good')}) is {row['state']}: {row['error']}")
        if outcome.ends[name] > 1:
            problems.append(f"{name} ended {outcome.ends[name]} times")
    endings = (".mrc", ".mrc.json", *((".png", ".apng") if pictures else ()))
    allowed = {Path("summary.csv"), Path("report.html"), Path(".cryomamba/lock")}
    for name in expected - set(bad):
        base = Path(name).with_suffix("").as_posix() + "__threshold"
        allowed |= {Path(base + ending) for ending in endings}
        if not (results / f"{base}.mrc").exists():
            continue
        with mrcfile.open(results / f"{base}.mrc") as mask, mrcfile.open(source / name) as volume:
            record = json.loads((results / f"{base}.mrc.json").read_bytes())
            voxels = sum(label["voxels"] for label in record["labels"])
            if mask.data.shape != volume.data.shape or int((mask.data != 0).sum()) != voxels or not voxels:
                problems.append(f"{base}.mrc is not what its record says")
    allowed |= {Path(Path(name).with_suffix("").as_posix() + "__threshold.mrc.json") for name in bad}
    found = {path.relative_to(results) for path in results.rglob("*") if path.is_file()}
    problems += [f"left behind: {path}" for path in found - allowed] + [f"missing: {path}" for path in allowed - found]
    outcome.problems = problems


def main() -> None:
    count, kills = int(os.environ.get("TOMOGRAMS", "200")), int(os.environ.get("KILLS", "10"))
    with tempfile.TemporaryDirectory() as name:
        outcome = run(
            Path(name),
            tomograms=count,
            broken=10,
            kills=kills,
            seed=int(os.environ.get("SEED", "1")),
            pictures=os.environ.get("PICTURES", "1") != "0",
        )
    repeated = sum(max(count - 1, 0) for count in outcome.starts.values())
    print(f"tomograms                          {count}, of them 10 broken and {RENAMED} renamed into place")
    print(f"killed with SIGKILL                {outcome.kills} times")
    print(f"states at the end                  {dict(Counter(outcome.states.values()))}")
    print(f"ended more than once               {sum(count > 1 for count in outcome.ends.values())}")
    print(f"started again after a kill         {repeated}, at most {2 * outcome.kills} can be")
    print(f"half-written, missing, left behind {len(outcome.problems)}")
    print(f"time                               {outcome.seconds:.0f} s")
    for problem in outcome.problems:
        print(f"  {problem}")
    sys.exit(bool(outcome.problems))


if __name__ == "__main__":
    main()
