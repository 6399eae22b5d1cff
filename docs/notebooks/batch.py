# %% [markdown]
# # Statistics and plots of a batch
#
# A session of microscopy gives many tomograms. One command segments them all and writes `summary.csv`; pandas and matplotlib do the
# rest. The four tomograms here show the same scene at an amplitude SNR (in a voxel of 10 Å) of 2, 1, 0.67 and 0.5, so that all
# differences come from the noise.
#
# It needs `pip install 'cryomamba[inference]' matplotlib pandas`.

# %%
import subprocess
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.volumes import write_volume

Path("tomograms").mkdir(exist_ok=True)
for number, noise in enumerate((0.5, 1.0, 1.5, 2.0), 1):
    spec = PhantomSpec(shape=(48, 128, 128), voxel_size_A=(12.0, 12.0, 12.0), seed=4, noise=noise)
    write_volume(f"tomograms/TS_{number:02}.mrc", synthesize(spec).density, voxel_size_A=12.0)

# %% [markdown]
# ## Segment all
#
# Tomograms that were segmented before are skipped, so the cell can be run again when more have arrived.

# %%
command = ["cryomamba", "segment", "tomograms/*.mrc", "--out-dir", "masks", "--no-pictures", "--quiet"]
subprocess.run(command, check=True)

# %% [markdown]
# ## The table

# %%
table = pd.read_csv("masks/summary.csv")
table["tomogram"] = table["tomogram"].map(lambda name: Path(name).stem)
table[["tomogram", "engine", "seconds", "membrane_voxels", "membrane_components"]]

# %% [markdown]
# ## Volumes, and the sizes of components
#
# `cryomamba measure` writes a table with a row for each connected component. A total that differs much from that of similar tomograms
# is a reason to look at the mask.

# %%
parts = []
for mask in sorted(Path("masks").glob("*__membrane.mrc")):
    subprocess.run(
        ["cryomamba", "measure", mask, "--csv", mask.with_suffix(".csv"), "--force", "--quiet"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    parts.append(pd.read_csv(mask.with_suffix(".csv")).assign(tomogram=mask.name.split("__")[0]))
components = pd.concat(parts)
components = components[components["kind"] == "instance"] if "kind" in components else components

fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), dpi=80)
totals = components.groupby("tomogram")["volume_nm3"].sum()
left.bar(totals.index, totals / 1e6, color="tab:cyan")
left.set(ylabel="membrane (10⁶ nm³)", title="Total volume")
for name, group in components.groupby("tomogram"):
    right.plot([name] * len(group), group["volume_nm3"] / 1e3, "o", color="tab:orange", alpha=0.7)
right.set(ylabel="volume (10³ nm³)", ylim=(0, None), title="Volume of each component")
fig.tight_layout()
