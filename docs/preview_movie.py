"""Make the moving picture of the README: the mask of a synthetic tomogram as a running job shows it.

``python docs/preview_movie.py`` starts the services, submits a job over HTTP, and draws every preview that it receives.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import cryomamba
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.testing import Stack
from cryomamba.volumes import open_volume, write_volume

MOVIE = Path(__file__).parent / "images" / "preview.png"
SHAPE = (160, 480, 480)
VOXEL_A = 10.0
PLANE = SHAPE[0] // 2
SIDE = 400  # pixels
BAR = 6  # pixels: the height of the progress bar
MASK = np.array((255, 130, 0))
OPACITY = 0.6
LEVELS = 20  # grey levels; few colours keep the file small
FRAME_MS, FIRST_MS, LAST_MS = 260, 900, 2600


def grey(density: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the mean of nine planes as RGB."""
    plane = density[PLANE - 4 : PLANE + 5].mean(axis=0)
    low, high = np.percentile(plane, (0.5, 99.5))
    levels = np.clip((plane - low) / (high - low), 0, 1)
    return np.repeat((np.round(levels * (LEVELS - 1)) / (LEVELS - 1) * 220).astype(np.uint8)[..., None], 3, axis=2)


def plane_of(frame: cryomamba.PreviewFrame) -> NDArray[np.bool_]:
    """Return the plane of a preview at the resolution of the tomogram."""
    _, fy, fx = (int(factor) for factor in frame.scale)
    coarse = frame.mask[min(PLANE // int(frame.scale[0]), frame.mask.shape[0] - 1)] > 0
    return np.repeat(np.repeat(coarse, fy, axis=0), fx, axis=1)[: SHAPE[1], : SHAPE[2]]


def drawn(background: NDArray[np.uint8], mask: NDArray[np.bool_] | None, fraction: float, text: str) -> Image.Image:
    """Return one picture: section, mask, progress."""
    picture = background.astype(np.float32)
    if mask is not None:
        picture[mask] = OPACITY * MASK + (1 - OPACITY) * picture[mask]
    image = Image.fromarray(picture.astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    whole = Image.new("RGB", (SIDE, SIDE + BAR), (60, 60, 60))
    whole.paste(image)
    pen = ImageDraw.Draw(whole)
    pen.rectangle((0, SIDE, round(SIDE * fraction), SIDE + BAR), fill=tuple(int(part) for part in MASK))
    pen.rectangle((0, SIDE - 26, SIDE, SIDE - 1), fill=(20, 20, 20))
    pen.text((8, SIDE - 22), text, fill=(235, 235, 235), font=ImageFont.load_default(15))
    return whole


def pictures(folder: Path) -> list[Image.Image]:
    """Segment a synthetic tomogram on services of its own, and return what a watcher sees."""
    phantom = synthesize(PhantomSpec(shape=SHAPE, voxel_size_A=VOXEL_A, seed=4, noise=1.2, family="organelles"))
    tomogram, mask = folder / "tomogram.mrc", folder / "mask.mrc"
    write_volume(tomogram, phantom.density, (VOXEL_A,) * 3)
    background = grey(phantom.density)
    found = [drawn(background, None, 0, "membrane: job submitted")]
    with (
        Stack(folder / "home", roots=[folder]).start().wait_ready() as stack,
        cryomamba.connect(stack.http_url) as client,
    ):
        job = client.submit(str(tomogram), engine="membrane")
        for event in job.watch():
            if isinstance(event, cryomamba.PreviewEvent):
                frame = event.frame
                text = f"{'coarse preview' if frame.coarse else 'preview'}, {frame.progress:.0%}"
                found.append(drawn(background, plane_of(frame), frame.progress, text))
        job.download(str(mask))
    with open_volume(mask) as volume:
        labels = volume.read(slice(PLANE, PLANE + 1), slice(None), slice(None))[0] > 0
    return [*found, drawn(background, labels, 1, "mask at full resolution")]


def main() -> None:
    """Write the moving picture."""
    with tempfile.TemporaryDirectory() as folder:
        frames = pictures(Path(folder))
    # One palette for all, so that what stays the same between two pictures is stored once.
    palette = frames[-1].quantize(64)
    first, *others = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    times = [FIRST_MS, *[FRAME_MS] * (len(others) - 1), LAST_MS]
    first.save(MOVIE, format="PNG", save_all=True, append_images=others, duration=times, loop=0, optimize=True)
    print(f"{MOVIE.name}: {len(frames)} pictures, {MOVIE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
