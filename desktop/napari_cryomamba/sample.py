"""Sample data: a synthetic tomogram, written once into the data directory so that a server can read it too."""

from __future__ import annotations

from pathlib import Path

from napari.utils.colormaps import DirectLabelColormap

from cryomamba.settings import load_settings
from cryomamba.synth import LABELS, Phantom, PhantomSpec, synthesize
from cryomamba.volumes import write_volume
from napari_cryomamba.layers.tomogram import open_tomogram
from napari_cryomamba.models.palette import Palette
from napari_cryomamba.models.world_coordinates import Placement
from napari_cryomamba.reader import LayerTuple

SPEC = PhantomSpec(shape=(96, 192, 192), voxel_size_A=(10.0, 10.0, 10.0), seed=7, noise=1.5)


def sample_path() -> Path:
    """Return the sample's file; making it the first time takes a few seconds."""
    path = load_settings().home / "samples" / "synthetic_vesicles.mrc"
    if not path.exists():
        _write(path, synthesize(SPEC))
    return path


def synthetic_tomogram() -> list[LayerTuple]:
    """Return the sample as a layer."""
    return [open_tomogram(sample_path()).layer()]


def synthetic_tomogram_with_ground_truth() -> list[LayerTuple]:
    """Return the sample and its ground truth as labels."""
    phantom = synthesize(SPEC)
    path = load_settings().home / "samples" / "synthetic_vesicles.mrc"
    _write(path, phantom)
    palette = Palette({label: name for label, name in LABELS.items() if label})
    arguments = {
        "name": "ground truth",
        "opacity": 0.5,
        "colormap": DirectLabelColormap(color_dict=palette.color_dict(())),
        **Placement.of_volume(SPEC.voxel_size_A).layer_arguments(),
    }
    return [open_tomogram(path).layer(), (phantom.ground_truth, arguments, "labels")]


def _write(path: Path, phantom: Phantom) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, phantom.density, SPEC.voxel_size_A, label="synthetic tomogram")
