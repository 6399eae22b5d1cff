"""Make the pictures of the pages on particles, filaments and the threshold: synthetic tomograms and what is found.

``python docs/engine_pictures.py``
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cryomamba.models.jobs import SubmitRequest, VolumeSource
from cryomamba.synth import Phantom, PhantomSpec, synthesize
from cryomamba.volumes import write_volume
from cryomamba_inference.local import LocalRunner

IMAGES = Path(__file__).parent / "images"
SHAPE = (96, 256, 256)
SIZE_A = 10.0
PLANE = 48
NEAR = 5
FOUND, MISSED = (255, 130, 0), (0, 150, 255)
GAP = 6

Picture = NDArray[np.uint8]
Places = NDArray[np.float64]


def tomogram(**recipe: float) -> Phantom:
    """Return a phantom with few membranes and what the recipe adds."""
    plain = {"shape": SHAPE, "voxel_size_A": SIZE_A, "sheets": 0, "crowding": 0.04}
    return synthesize(PhantomSpec.model_validate({**plain, **recipe}))


def found(density: NDArray[np.float32], engine: str, **params: object) -> tuple[NDArray[np.int8], Places]:
    """Run an engine as the command line does; return the mask, and the picks as rows of z, y, x and label."""
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        path, out = Path(folder) / "t.mrc", Path(folder) / "mask.mrc"
        write_volume(path, density, SIZE_A)
        request = SubmitRequest(volume=VolumeSource(path=str(path)), engine=engine, params=params)
        formats = ("csv",) if engine != "threshold" else ()
        LocalRunner().run(path, request, output=out, on_event=lambda _: None, cancelled=lambda: False, formats=formats)
        mask = mrcfile.read(out)
        rows: list[list[float]] = []
        for table in Path(folder).glob("*.csv"):
            with table.open(newline="", encoding="utf-8") as file:
                rows = [[float(row[name]) for name in ("z", "y", "x", "label")] for row in csv.DictReader(file)]
    return mask, np.array(rows).reshape(-1, 4)


def grey(density: NDArray[np.float32]) -> Picture:
    """Return the mean of five planes as RGB between its extremes."""
    plane = density[PLANE - 2 : PLANE + 3].mean(axis=0)
    low, high = np.percentile(plane, (0.5, 99.5))
    return np.repeat((np.clip((plane - low) / (high - low), 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)


def over(picture: Picture, mask: NDArray[Any]) -> Picture:
    """Return a picture with the mask's plane laid over it."""
    shown = picture.copy()
    inside = mask[PLANE] > 0
    shown[inside] = (0.45 * shown[inside] + 0.55 * np.array(FOUND)).astype(np.uint8)
    return shown


def save(name: str, *parts: Picture) -> None:
    """Write pictures side by side, at twice their size."""
    gap = np.full((SHAPE[1], GAP, 3), 255, np.uint8)
    row = np.concatenate([piece for part in parts for piece in (part, gap)][:-1], axis=1)
    Image.fromarray(row).save(IMAGES / name, optimize=True)


def particles() -> None:
    """Particles among vesicles: the mask, and a ring for each pick near the plane; missed ones in blue."""
    phantom = tomogram(seed=4, noise=2.0, vesicles=3, fiducials=2, particles=110, particle_diameter_A=200.0)
    mask, picks = found(phantom.density, "particles", diameter_A=200, contrast="dark")
    density = grey(phantom.density)
    rings = Image.fromarray(density)
    pen = ImageDraw.Draw(rings)
    true = phantom.particles_A / SIZE_A
    missed = [at for at in true if not (np.linalg.norm(picks[:, :3] - at, axis=1) < 5).any()]
    for places, colour in ((picks[:, :3], FOUND), (missed, MISSED)):
        for z, y, x in places:
            if abs(z - PLANE) <= NEAR:
                pen.ellipse((x - 11, y - 11, x + 11, y + 11), outline=colour, width=2)
    print(f"particles: {len(picks)} picks, {len(true)} there, {len(missed)} of them missed")
    save("particles.png", density, over(density, mask), np.asarray(rings))


def filaments() -> None:
    """Microtubules among vesicles: the mask's tubes, and from above all centre lines, found over true."""
    phantom = tomogram(seed=8, noise=2.0, vesicles=3, fiducials=2, filaments=7)
    mask, picks = found(phantom.density, "filaments", diameter_A=250, contrast="dark")
    density = grey(phantom.density)
    lines = Image.fromarray((density * 0.6).astype(np.uint8))
    pen = ImageDraw.Draw(lines)
    true = [line / SIZE_A for line in phantom.filaments_A]
    traced = [picks[picks[:, 3] == number, :3] for number in np.unique(picks[:, 3])]
    for tracks, colour, width in ((true, MISSED, 7), (traced, FOUND, 3)):
        for track in tracks:
            pen.line([(x, y) for _, y, x in track.tolist()], fill=colour, width=width)
    print(f"filaments: {np.unique(picks[:, 3]).size} found, {len(phantom.filaments_A)} there")
    save("filaments.png", density, over(density, mask), np.asarray(lines))


def threshold() -> None:
    """Gold by its density; and what Otsu makes of a tomogram where nothing stands out, smoothed little and much."""
    bold, plain = (tomogram(seed=6, noise=1.0, vesicles=5, fiducials=gold).density for gold in (12, 0))
    gold, _ = found(bold, "threshold", contrast="dark")
    little, _ = found(plain, "threshold", contrast="dark")
    much, _ = found(plain, "threshold", contrast="dark", sigma_A=40)
    save("threshold.png", over(grey(bold), gold), over(grey(plain), little), over(grey(plain), much))


if __name__ == "__main__":
    particles()
    filaments()
    threshold()
