"""Make the picture of a session's report: a watched folder, synthetic tomograms, and a browser.

Run it where Chromium is: ``python docs/report_picture.py``. With a folder as argument, its tomograms are used instead.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cryomamba.testing import wait_until

sys.path.insert(0, str(Path(__file__).parents[1]))
from docs.screenshots import prepare, save_picture
from tests.gateway.chromium import tab

FAMILIES = ("vesicles", "cristae", "stacks", "tubes", "lamella")
SIZE = (1240, 900)
MASKS = 4


def tomograms(folder: Path) -> None:
    """Write a synthetic tomogram of each family."""
    for number, family in enumerate(FAMILIES, 1):
        path = folder / f"TS_{number:03d}.mrc"
        command = [sys.executable, "-m", "cryomamba_cli", "synth", str(path), "--shape", "112", "--voxel-size", "14"]
        options = ["--family", family, "--seed", str(number)]
        subprocess.run([*command, *options], check=True)  # noqa: S603 (our own command)  # nosec B603
        path.with_name(f"{path.stem}__truth.mrc").unlink(missing_ok=True)


def main() -> None:
    """Watch a folder, and take a picture of the report while the last tomogram is segmented."""
    with tempfile.TemporaryDirectory(prefix="pictures-") as name:
        home = Path(name)
        source, results = home / "grid1", home / "masks"
        source.mkdir()
        if len(sys.argv) > 1:
            for path in sorted(Path(sys.argv[1]).glob("*.mrc")):
                shutil.copy(path, source)
        else:
            tomograms(source)
        first = min(source.glob("*.mrc"))
        (source / "TS_006.mrc").write_bytes(first.read_bytes()[: first.stat().st_size // 3])
        command = [sys.executable, "-m", "cryomamba_cli", "watch-folder", str(source), "-o", str(results)]
        options = ["-e", "membrane", "--jobs", "2", "--stable", "0", "--stalled", "0", "--poll", "0.2"]
        watcher = subprocess.Popen([*command, *options])  # noqa: S603 (our own command)  # nosec B603
        try:
            page, shown = results / "report.html", f"{MASKS} done"
            wait_until(lambda: page.exists() and shown in page.read_text("utf-8"), timeout=900, what=shown)
            asyncio.run(take_picture(page, home / "profile"))
        finally:
            watcher.terminate()
            watcher.wait()


async def take_picture(page: Path, profile: Path) -> None:
    """Save what a browser shows of the report."""
    async with tab(f"{page.as_uri()}#sort=ended", profile) as browser:
        await prepare(browser, *SIZE)
        await browser.until("document.querySelectorAll('article').length >= 6")
        await browser.until("[...document.images].every(one => one.complete)")
        await save_picture(browser, "report")


if __name__ == "__main__":
    main()
