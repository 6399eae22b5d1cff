"""Makes the network: ``python -m training``; see README.md."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from training.export import write_onnx
from training.fit import Fit, Schedule, run

SHIPPED = Path("services/inference/cryomamba_inference/network/segmentation.onnx")


def main() -> None:
    """Make boxes in a second process and fit to them; then write the network as ONNX."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--out", type=Path, default=SHIPPED, help="the ONNX file (default: %(default)s)")
    parser.add_argument("--checkpoint", type=Path, default=Path("training.pt"), help="continues from it if it is there")
    parser.add_argument("--start", type=Path, help="an ONNX file of an earlier fit, from whose weights this one starts")
    parser.add_argument("--steps", type=int, default=Schedule().steps)
    parser.add_argument(
        "--rate", type=float, default=Schedule().rate, help="highest learning rate (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    fit = Fit(Schedule(steps=arguments.steps, rate=arguments.rate, seed=arguments.seed))
    if arguments.checkpoint.exists():
        fit.load(arguments.checkpoint)
        print(f"continuing from step {fit.step} of {arguments.checkpoint}")
    with tempfile.TemporaryDirectory() as folder:
        first = 10_000_000 * (arguments.seed + 1) + 1000 * fit.step
        command = [sys.executable, "-m", "training.boxes", folder, "--first-seed", str(first)]
        with subprocess.Popen(command) as boxes:
            try:
                run(fit, Path(folder), arguments.checkpoint, arguments.start)
            finally:
                boxes.terminate()
    write_onnx(fit.average, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
