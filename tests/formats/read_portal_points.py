"""Print the points of an NDJSON file of the CryoET Data Portal as copick reads them: positions in Å and z axes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from copick.impl.mlcroissant import _parse_ndjson_picks

if __name__ == "__main__":
    names = {"pickable_object_name": "x", "user_id": "u", "session_id": "0", "run_name": "r"}
    picks = _parse_ndjson_picks(Path(sys.argv[1]).read_text("utf-8"), float(sys.argv[2]), **names)
    found = {
        "positions": [[one.location.x, one.location.y, one.location.z] for one in picks.points],
        "z_axes": [one.transformation[:3, 2].tolist() for one in picks.points],
        "oriented": picks.trust_orientation,
    }
    json.dump(found, sys.stdout)
