"""Memory is a promise of this package, so it is held by a test; speed is measured under benchmarks/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cryomamba.testing import DEADLINE_S
from cryomamba.volumes import blank_header
from cryomamba.volumes.header_encoder import encode_header

# What a job does to a volume, in a process of its own; prints its peak of resident memory in kB.
JOB = """
import itertools, sys
from pathlib import Path
from cryomamba.volumes import MaskWriter, check_finite_sample, open_volume, stream_statistics
from cryomamba.volumes.exports import write_nifti, write_nrrd

folder = Path(sys.argv[1])
with open_volume(folder / "v.mrc") as volume:
    check_finite_sample(volume)
    stream_statistics(volume)
    with MaskWriter(folder / "m.mrc", volume, labels=1, engine="x") as mask:
        for z, y, x in itertools.product(*(range(0, side, 128) for side in volume.shape)):
            tile = volume.read(slice(z, z + 128), slice(y, y + 128), slice(x, x + 128))
            mask.write(z, y, x, (tile > 0).astype("u1"))
with open_volume(folder / "m.mrc") as mask:
    write_nifti(mask, folder / "m.nii.gz", labels=True)
    write_nrrd(mask, folder / "m.nrrd", labels=True)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak_kB(folder: Path, depth: int) -> int:
    header = blank_header((depth, 256, 256), 10.0)
    with (folder / "v.mrc").open("wb") as file:
        file.write(encode_header(header, ()))
        file.write(np.full(1 << 16, 1, np.float32).tobytes())
        file.truncate(1024 + header.data_nbytes)
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(folder)], capture_output=True, text=True, check=True, timeout=DEADLINE_S
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_resident_memory_does_not_grow_with_depth(tmp_path: Path) -> None:
    """Statistics, tiles, mask and exports of a volume eight times as deep take no more memory.

    The deeper file has 256 MB of voxels: kept whole, or mapped and touched, they would show at once.
    """
    shallow, deep = peak_kB(tmp_path, 128), peak_kB(tmp_path, 1024)
    assert deep < shallow + 24_000
