"""Files as layers."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
from tests import mask_flavours

from cryomamba.errors import VolumeError
from cryomamba.volumes import MaskWriter, open_volume, write_volume
from napari_cryomamba.layers.tomogram import LazyVoxels, open_mask, open_tomogram
from napari_cryomamba.models.source import Source
from napari_cryomamba.reader import get_reader, read


def test_a_layer_lies_in_nm_with_contrast_from_the_data(phantom_file: Path) -> None:
    """Scale, units, axes and contrast are what a person expects, and the voxels are the file's."""
    [(data, arguments, kind)] = read(str(phantom_file))
    assert kind == "image"
    assert arguments["scale"] == pytest.approx((1.3, 1.3, 1.3))
    assert arguments["units"] == ("nm", "nm", "nm")
    assert arguments["axis_labels"] == ("z", "y", "x")
    with mrcfile.open(phantom_file) as reference:
        np.testing.assert_array_equal(data, reference.data)
        low, high = np.percentile(reference.data, [0.5, 99.5])
    assert arguments["contrast_limits"] == pytest.approx((low, high), rel=0.05)


def test_ten_gigabytes_open_without_being_read(tmp_path: Path) -> None:
    """A file of 10 GB that is mostly a hole opens, and stays a memory map of its own type."""
    path = tmp_path / "large.mrc"
    with mrcfile.new(path) as small:
        small.set_data(np.zeros((2, 16, 16), np.float32))
        small.header.nz = small.header.mz = 2560
        small.header.ny = small.header.my = small.header.nx = small.header.mx = 1024
        small.header.cella = (10240, 10240, 25600)
    with path.open("r+b") as file:
        file.truncate(1024 + 2560 * 1024 * 1024 * 4)
    tomogram = open_tomogram(path)
    assert isinstance(tomogram.data, np.memmap)
    assert tomogram.data.shape == (2560, 1024, 1024)
    assert tomogram.data[1280, ::512, ::512].sum() == 0


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_a_packed_file_opens_like_a_plain_one(phantom_file: Path, tmp_path: Path, suffix: str, pack: object) -> None:
    """gzip and bzip2 give the same layer, and the layer's name has no packing suffix."""
    path = tmp_path / f"vesicles.mrc{suffix}"
    path.write_bytes(pack(phantom_file.read_bytes()))  # type: ignore[operator]
    [(data, arguments, _)] = read(str(path))
    np.testing.assert_array_equal(data, open_tomogram(phantom_file).data)
    assert arguments["name"] == "vesicles.mrc"


@pytest.mark.parametrize("mode", [np.int8, np.int16, np.float32, np.uint16, np.float16, ">f4", ">i2"])
def test_every_type_of_voxel_opens(tmp_path: Path, mode: str) -> None:
    """Whatever number type and byte order the file has, the layer shows its values."""
    values = np.arange(4 * 5 * 6).reshape(4, 5, 6).astype(mode)
    path = tmp_path / "typed.mrc"
    with mrcfile.new(path) as file:
        file.set_data(values.astype(values.dtype.newbyteorder("=")))
        file.voxel_size = 10.0
    tomogram = open_tomogram(path)
    np.testing.assert_array_equal(np.asarray(tomogram.data), values)


def test_four_bits_are_read_as_they_are_looked_at(tmp_path: Path) -> None:
    """Mode 101 has no memory map; its sections come on demand, by any of numpy's basic indices."""
    path = tmp_path / "nibbles.mrc"
    values = np.random.default_rng(0).integers(0, 16, (5, 6, 8), dtype=np.uint8)
    with mrcfile.new(path) as file:
        file.set_data(np.zeros((5, 6, 8), np.int8))
        file.voxel_size = 10.0
        file.header.mode = 101
    packed = values[:, :, ::2] | (values[:, :, 1::2] << 4)
    path.write_bytes(path.read_bytes()[:1024] + packed.tobytes())
    data = open_tomogram(path).data
    assert isinstance(data, LazyVoxels)
    for index in (2, -1, (slice(1, 4), 0), (..., 3), (slice(None), slice(None, None, 2), slice(5, 1, -2)), slice(9, 9)):
        np.testing.assert_array_equal(data[index], values[index])
    np.testing.assert_array_equal(np.asarray(data), values)


def test_our_own_mask_opens_as_labels_that_can_be_painted(phantom_file: Path, tmp_path: Path) -> None:
    """A mask that CryoMamba wrote comes back as labels; painting changes memory, never the file."""
    path = tmp_path / "vesicles__membrane.mrc"
    with open_volume(phantom_file) as volume, MaskWriter(path, volume, labels=1, engine="membrane") as writer:
        writer.write(3, 4, 5, np.ones((2, 2, 2), np.uint8))
    before = path.read_bytes()
    [(data, arguments, kind)] = read(str(path))
    assert kind == "labels"
    assert data.dtype == np.uint8
    assert arguments["scale"] == pytest.approx((1.3, 1.3, 1.3))
    data[0, 0, 0] = 2
    assert path.read_bytes() == before
    assert open_mask(path).sum() == 8


@pytest.mark.parametrize("flavour", list(mask_flavours.GOOD))
def test_a_mask_of_any_program_opens_as_labels(tmp_path: Path, flavour: str) -> None:
    """Opened as a mask, each flavour has the labels that all commands find, in an unsigned type that can be painted."""
    path = mask_flavours.write(tmp_path / "m.mrc", flavour)
    before = path.read_bytes()
    opened = open_tomogram(path, as_mask=True)
    assert opened.layer()[2] == "labels"
    for data in (opened.data, open_mask(path)):
        assert data.dtype.kind == "u"
        np.testing.assert_array_equal(data, mask_flavours.expected(flavour))
        data[0, 0, 0] = 7
    assert path.read_bytes() == before


@pytest.mark.parametrize("flavour", list(mask_flavours.REFUSED))
def test_what_is_no_mask_does_not_open_as_one(tmp_path: Path, flavour: str) -> None:
    """What every command refuses as a mask is refused here, too, and still opens as a tomogram."""
    path = mask_flavours.write(tmp_path / "m.mrc", flavour)
    with pytest.raises(VolumeError) as caught:
        open_tomogram(path, as_mask=True)
    assert caught.value.hint
    assert open_tomogram(path).layer()[2] == "image"


def test_a_missing_voxel_size_is_said_and_can_be_corrected(tmp_path: Path) -> None:
    """A header without a voxel size warns, and the correction goes into facts and metadata alike."""
    path = tmp_path / "bare.mrc"
    with mrcfile.new(path) as file:
        file.set_data(np.ones((4, 4, 4), np.float32))
    source = open_tomogram(path).source
    assert [warning.code for warning in source.meta.warnings] == ["voxel_size_missing"]
    better = source.with_voxel_size((8.0, 4.0, 4.0))
    assert better.meta.voxel_size_A == better.header.voxel_size_A == (8.0, 4.0, 4.0)
    assert better.corrected
    assert better.meta.warnings == []
    with pytest.raises(VolumeError):
        source.with_voxel_size((0.0, 1.0, 1.0))


def test_flat_and_not_finite_voxels_have_a_contrast(tmp_path: Path) -> None:
    """A constant volume, and one with NaN, still get limits that napari can draw."""
    path = tmp_path / "flat.mrc"
    values = np.full((4, 8, 8), 3.0, np.float32)
    values[0, 0] = np.nan
    write_volume(path, values, 10.0)
    low, high = open_tomogram(path).contrast_limits
    assert (low, high) == (2.5, 3.5)


def test_only_names_of_tomograms_are_ours(phantom_file: Path, tmp_path: Path) -> None:
    """The reader takes MRC files, compressed or not, and volumes of other formats, and leaves the rest to others."""
    assert get_reader("a.mrc") is not None
    assert get_reader(["a.REC", "b.map.gz"]) is not None
    assert get_reader("a.png") is None
    assert get_reader(["a.mrc", "b.png"]) is None
    tifffile.imwrite(tmp_path / "section.tif", np.zeros((20, 30), np.uint8))
    tifffile.imwrite(tmp_path / "volume.tif", np.zeros((5, 20, 30), np.uint8), photometric="minisblack")
    assert get_reader(str(tmp_path / "section.tif")) is None
    assert get_reader(str(tmp_path / "volume.tif")) is not None
    assert get_reader([]) is None


def test_a_broken_file_is_an_error_with_a_hint(tmp_path: Path) -> None:
    """What is no tomogram is refused with a sentence, before anything is allocated."""
    path = tmp_path / "broken.mrc"
    path.write_bytes(b"nothing")
    with pytest.raises(VolumeError) as caught:
        open_tomogram(path)
    assert caught.value.hint


def test_real_files_open(shared_data: Path) -> None:
    """Maps from the archive open with the axes as they should be."""
    for name in ("EMD-3197.map", "EMD-3001.map"):
        [(data, arguments, _)] = read(str(shared_data / name))
        source = arguments["metadata"]["cryomamba"]
        assert isinstance(source, Source)
        assert data.shape == source.meta.shape
        low, high = arguments["contrast_limits"]
        assert low < high
