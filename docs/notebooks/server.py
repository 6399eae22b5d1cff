# %% [markdown]
# # A server from a notebook
#
# The services normally run elsewhere, and `connect` takes their address. Here they are started from the notebook, on free ports and with
# a data directory of their own, to show how a job is followed while it runs.
#
# It needs `pip install 'cryomamba[server]' matplotlib`.

# %%
from pathlib import Path

import matplotlib.pyplot as plt

import cryomamba
from cryomamba.stack import Stack
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.volumes import write_volume

phantom = synthesize(PhantomSpec(shape=(96, 192, 192), voxel_size_A=(12.0, 12.0, 12.0), seed=5, noise=1.0))
write_volume("t2.mrc", phantom.density, voxel_size_A=12.0)

stack = Stack(Path("server").absolute(), roots=[Path.cwd()]).start().wait_ready()
client = cryomamba.connect(stack.http_url)
print(client.info().version, [engine.name for engine in client.engines() if engine.available][:4])

# %% [markdown]
# ## Submit, and watch
#
# `watch` yields states, progress and previews until the job has ended. A preview is a binned mask of the whole volume with its place.

# %%
job = client.submit("t2.mrc", engine="membrane", name="from a notebook")
previews = []
for event in job.watch():
    match event:
        case cryomamba.StateEvent():
            print(event.record.state)
        case cryomamba.PreviewEvent():
            previews.append(event.frame)

# %%
chosen = [previews[0], previews[-1]]
fig, axes = plt.subplots(1, 2, figsize=(6, 3.2), dpi=80)
for ax, frame, name in zip(axes, chosen, ("first preview", "last preview"), strict=True):
    ax.imshow(frame.mask[frame.mask.shape[0] // 2], origin="lower", interpolation="nearest")
    ax.set(title=name, xticks=[], yticks=[])
fig.tight_layout()

# %% [markdown]
# ## Fetch the files
#
# `download` checks the SHA-256 of a file. `job.artifacts` lists what there is.

# %%
job.refresh()
path = job.download("t2__membrane.mrc")
print(path, [artifact.name for artifact in job.artifacts])
job

# %% [markdown]
# ## Stop
#
# A server that others use keeps running, of course; here the services end with the notebook.

# %%
client.close()
stack.close()
