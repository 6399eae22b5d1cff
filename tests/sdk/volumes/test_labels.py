"""Whatever program wrote a mask, everything that reads it finds the same labels, or refuses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mrcfile
import nibabel
import nrrd
import numpy as np
import pytest
import tifffile
import zarr
from tests import mask_flavours

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.masks.export import export
from cryomamba.masks.measure import measure
from cryomamba.masks.slabs import LabelSource, write_labels
from cryomamba.notebook import slice_of_file
from cryomamba.volumes import LabelVolume, MaskWriter, blank_header, open_volume

ALL = (slice(None),) * 3

READERS: dict[str, Any] = {
    "m.mrc": mrcfile.read,
    "m.nii.gz": lambda path: np.asarray(nibabel.Nifti1Image.from_filename(path).dataobj).T,
    "m.nrrd": lambda path: nrrd.read(str(path), index_order="C")[0],
    "m.ome.tif": tifffile.imread,
    "m.ome.zarr": lambda path: np.asarray(zarr.open_array(path / "0", mode="r")),
}


@pytest.fixture(params=list(mask_flavours.GOOD))
def flavour(request: pytest.FixtureRequest) -> str:
    """The name of a flavour that is read."""
    name: str = request.param
    return name


@pytest.fixture
def mask(tmp_path: Path, flavour: str) -> Path:
    """A file of that flavour."""
    return mask_flavours.write(tmp_path / "mask.mrc", flavour)


def test_labels_are_unsigned_and_the_same(mask: Path, flavour: str) -> None:
    """The labels of each flavour come as uint8 or uint16; measurements and pictures have the same ones."""
    expected = mask_flavours.expected(flavour)
    with open_volume(mask) as volume:
        labels = LabelVolume.of(volume)
        assert labels.dtype == (np.uint16 if expected.max() > 255 else np.uint8)
        block = labels.read_native(*ALL)
        assert block.dtype == labels.dtype
        assert np.array_equal(block, expected)
        assert np.array_equal(labels.read_native(slice(1, 2), slice(2, 9), slice(3, 6)), expected[1:2, 2:9, 3:6])
        assert labels.highest == expected.max()
        assert labels.only(int(expected.max())).read_native(*ALL).sum() == (expected == expected.max()).sum()
        measured = measure(LabelSource.of_volume(volume), {}, shape=False)
    found = {one.label: one.voxels for one in measured.labels}
    assert found == {label: int((expected == label).sum()) for label in np.unique(expected)[1:].tolist()}
    assert np.array_equal(slice_of_file(mask), expected[2])


@pytest.mark.parametrize("name", list(READERS))
def test_exports_hold_the_labels(mask: Path, flavour: str, tmp_path: Path, name: str) -> None:
    """Each export has the labels as unsigned integers (MRC: signed bytes up to 127), and one label as 1."""
    expected = mask_flavours.expected(flavour)
    with open_volume(mask) as volume:
        export(volume, tmp_path / f"all_{name}")
        export(volume, tmp_path / f"one_{name}", label=int(expected.max()))
    found = READERS[name](tmp_path / f"all_{name}")
    assert found.dtype.kind == "u" or (found.dtype == np.int8 and expected.max() <= 127)
    assert np.array_equal(found, expected)
    assert np.array_equal(READERS[name](tmp_path / f"one_{name}"), expected == expected.max())


def test_a_mesh_of_each_flavour(mask: Path, tmp_path: Path, flavour: str) -> None:
    """The surface of the highest label can be exported."""
    with open_volume(mask) as volume:
        export(volume, tmp_path / "m.stl", label=int(mask_flavours.expected(flavour).max()))
    assert (tmp_path / "m.stl").stat().st_size > 84


def test_a_cleaned_mask_keeps_its_labels(mask: Path, tmp_path: Path, flavour: str) -> None:
    """What is written again has the labels, in 16 bits above 127, and no trace of IMOD's offset."""
    expected = mask_flavours.expected(flavour)
    with open_volume(mask) as volume:
        labels = LabelVolume.of(volume)
        write_labels(LabelSource.of_volume(labels), tmp_path / "c.mrc", volume, labels=labels.highest, engine="clean")
    with open_volume(tmp_path / "c.mrc") as again:
        assert not again.header.imod_signed
        assert again.meta.mode == (6 if expected.max() > 127 else 0)
        assert np.array_equal(again.read_native(*ALL), expected)


@pytest.mark.parametrize("refused", list(mask_flavours.REFUSED))
def test_others_are_refused_alike(tmp_path: Path, refused: str) -> None:
    """Labels below 0 or above 65,535 and fractions are refused in a sentence, by all that needs labels."""
    path = mask_flavours.write(tmp_path / "bad.mrc", refused)
    attempts: list[Any] = [
        LabelVolume.of,
        LabelSource.of_volume,
        lambda volume: export(volume, tmp_path / "x.mrc"),
        lambda volume: export(volume, tmp_path / "x.nrrd", label=1),
        lambda volume: export(volume, tmp_path / "x.stl"),
        lambda _: slice_of_file(path),
    ]
    messages = set()
    with open_volume(path) as volume:
        for attempt in attempts:
            with pytest.raises(VolumeError) as caught:
                attempt(volume)
            assert caught.value.code == ErrorCode.VOLUME_UNSUPPORTED
            assert caught.value.hint
            messages.add(caught.value.message)
    assert len(messages) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["bad.mrc"]


@pytest.mark.parametrize("refused", ["-1 for voxels to ignore", "-100 for voxels to ignore", "-1 in floats"])
def test_labels_below_zero_can_become_background(tmp_path: Path, refused: str) -> None:
    """They are 0 if the caller asks for it, and no export writes them by accident."""
    stored, _ = mask_flavours.REFUSED[refused]
    with open_volume(mask_flavours.write(tmp_path / "bad.mrc", refused)) as volume:
        labels = LabelVolume.of(volume, negative_is_background=True)
        assert np.array_equal(labels.read_native(*ALL), np.maximum(stored, 0))
        with pytest.raises(VolumeError, match="below 0"):
            export(volume, tmp_path / "x.nrrd")


def test_a_tomogram_of_integers_is_exported_as_it_is(tmp_path: Path) -> None:
    """Integers with many values below 0 are densities: voxels can be exported, but they are no labels."""
    voxels = np.arange(-60, 60, dtype=np.int16).reshape(4, 5, 6)
    with mrcfile.new(tmp_path / "t.mrc", voxels) as file:
        file.voxel_size = 10.0
    with open_volume(tmp_path / "t.mrc") as volume:
        export(volume, tmp_path / "t.nrrd")
        with pytest.raises(VolumeError, match="densities"):
            LabelVolume.of(volume)
    assert np.array_equal(nrrd.read(str(tmp_path / "t.nrrd"), index_order="C")[0], voxels)


def test_an_array_of_labels_is_checked_too() -> None:
    """Arrays, as of a Labels layer, are read by the same rules."""
    for values in (np.array([[[0, -1]]], np.int8), np.array([[[0, -1]]], np.int64), np.array([[[0.5]]])):
        with pytest.raises(VolumeError):
            list(LabelSource.of_array(values).slabs())
    for kept in (np.array([[[0, 3]]], np.int8), np.array([[[0, 3]]], np.float32), np.array([[[False, True]]])):
        assert np.array_equal(LabelSource.of_array(kept).array(), kept)


def test_an_empty_mask_has_no_labels(tmp_path: Path) -> None:
    """A mask of background alone is read, measured and exported."""
    with MaskWriter(tmp_path / "m.mrc", blank_header((2, 3, 4)), labels=1, engine="x"):
        pass
    with open_volume(tmp_path / "m.mrc") as volume:
        assert LabelVolume.of(volume).highest == 0
        assert measure(LabelSource.of_volume(volume), {}).labels == ()
        export(volume, tmp_path / "again.mrc")


def test_files_of_the_field(shared_data: Path) -> None:
    """Masks that failed once have the labels that their programs show."""
    counts = {"mask_imod_unsigned255": [0, 255], "mask_imod_signed": [0, 1], "mask_float32_01": [0, 1]}
    for name, labels in counts.items():
        with open_volume(shared_data / "field" / f"{name}.mrc") as volume:
            found, voxels = np.unique(LabelVolume.of(volume).read_native(*ALL), return_counts=True)
        assert (found.tolist(), voxels.tolist()) == (labels, [6755, 925])
    with (
        open_volume(shared_data / "field" / "mask_int16_neg_ignore.mrc") as volume,
        pytest.raises(VolumeError, match="below 0: -1"),
    ):
        LabelVolume.of(volume)
