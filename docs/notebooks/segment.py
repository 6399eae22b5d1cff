# %% [markdown]
# # Segment a tomogram and look at the mask
#
# This notebook makes a synthetic tomogram, segments its membranes on this computer, and shows mask, score and measurements. Replace
# the first cell by the path of your own tomogram; without a ground truth, leave out the score.
#
# It needs `pip install 'cryomamba[inference]' matplotlib pandas`.

# %%
import matplotlib.pyplot as plt
import pandas as pd

import cryomamba
from cryomamba.synth import PhantomSpec, score_mask, synthesize
from cryomamba.volumes import open_volume, write_volume

phantom = synthesize(PhantomSpec(shape=(64, 160, 160), voxel_size_A=(12.0, 12.0, 12.0), seed=3, noise=1.0))
write_volume("t1.mrc", phantom.density, voxel_size_A=12.0)

# %% [markdown]
# `noise=1.0` is an amplitude SNR of 1 in a voxel of 10 Å: membranes are seen in a single section, but are ragged.
#
# ## Segment
#
# The last line of a cell shows the result: the middle section of the mask, and its volume.

# %%
result = cryomamba.segment("t1.mrc", engine="membrane")
result

# %% [markdown]
# ## Look
#
# The mask has the grid of the tomogram, so that the same indices are the same place.

# %%
whole = (slice(None),) * 3
with open_volume("t1.mrc") as tomogram, open_volume(result.mask) as file:
    density, mask = tomogram.read_native(*whole), file.read_native(*whole)

fig, axes = plt.subplots(1, 3, figsize=(9, 3.2), dpi=80)
for ax, z in zip(axes, (20, 32, 44), strict=True):
    ax.imshow(density[z], cmap="gray", origin="lower")
    ax.contour(mask[z] != 0, levels=[0.5], colors="tab:cyan", linewidths=0.8)
    ax.set(title=f"section {z}", xticks=[], yticks=[])
fig.tight_layout()

# %% [markdown]
# ## Trust
#
# The score compares with all membranes of the ground truth, also those that the missing wedge hides, with a tolerance of one voxel.
# That is the measure of the page on accuracy.

# %%
score = score_mask(mask, phantom.ground_truth)
print(f"F1 {score.f1:.2f}, precision {score.precision:.2f}, recall {score.recall:.2f}")

# %% [markdown]
# ## Measure
#
# `statistics` has a row for each label, `instances` one for each connected component.

# %%
components = pd.DataFrame(result.instances)
components[["voxels", "volume_nm3", "surface_nm2", "thickness_A"]].head().round(1)
