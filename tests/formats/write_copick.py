"""Make a project with copick itself; run by the Python of the environment that has copick."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import copick
import numpy as np

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    config = {
        "config_type": "filesystem",
        "name": "lab",
        "user_id": "ann",
        "pickable_objects": [
            {"name": "ribosome", "is_particle": True, "label": 3, "radius": 120},
            {"name": "membrane", "is_particle": False, "label": 1},
            {"name": "actin", "is_particle": True, "label": 2, "metadata": {"copick": {"filament": {"polar": True}}}},
        ],
        "overlay_root": f"local://{folder.as_posix()}",
        "overlay_fs_args": {"auto_mkdir": True},
    }
    (folder / "config.json").write_text(json.dumps(config))
    root = copick.from_file(str(folder / "config.json"))
    run = root.new_run("TS_1")
    values = np.arange(6 * 70 * 72, dtype=np.float32).reshape(6, 70, 72)
    run.new_voxel_spacing(10.0).new_tomogram("wbp").from_numpy(values)
    mask = (values % 7 == 0).astype(np.uint8)
    run.new_segmentation(10.0, "membrane", "1", False, user_id="ann").from_numpy(mask)
    picks = run.new_picks("ribosome", "1", "ann")
    shift = np.tile(np.eye(4), (2, 1, 1))
    shift[1, :3, 3] = 10, 20, 30
    picks.from_numpy(np.array([[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]]), shift, scores=np.array([0.5, 2.0]))
    lines = run.new_picks("actin", "1", "ann")
    lines.from_numpy(np.array([[0.0, 0, 0], [50, 0, 0], [0, 50, 0], [0, 90, 0]]), instance_ids=np.array([1, 1, 2, 2]))
