from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import tifffile

from cryomamba.volumes import Volume
from cryomamba.volumes.exports import slabs, write_tiff

ALL = slice(None)
OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"


def test_tifffile_reads_values_and_the_xml_size_and_place(volume: Volume, array: Any, tmp_path: Path) -> None:
    """One page per z; physical sizes and positions are in ångström."""
    write_tiff(volume, tmp_path / "v.ome.tiff")
    with tifffile.TiffFile(tmp_path / "v.ome.tiff") as file:
        assert np.array_equal(file.asarray(), array)
        assert file.series[0].axes == "ZYX"
        assert file.ome_metadata is not None
        pixels = next(ET.fromstring(file.ome_metadata).iter(f"{OME}Pixels"))
    assert [float(pixels.attrib[f"PhysicalSize{axis}"]) for axis in "ZYX"] == [12.0, 10.0, 13.48]
    assert {pixels.attrib[f"PhysicalSize{axis}Unit"] for axis in "ZYX"} == {"\u00c5"}
    planes = [plane.attrib for plane in pixels.iter(f"{OME}Plane")]
    assert [float(plane["PositionZ"]) for plane in planes] == [-30.0, -18.0, -6.0, 6.0, 18.0]
    assert {(plane["PositionY"], plane["PositionX"]) for plane in planes} == {("20.5", "100.25")}


def test_a_mask_is_unsigned_packed_and_the_same_every_time(
    mask: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels come back as uint8 from many slabs; two exports are equal to the byte."""
    monkeypatch.setattr(slabs, "SLAB_NBYTES", 1 << 15)
    for name in ("a.tif", "b.tif"):
        write_tiff(mask, tmp_path / name, labels=True)
    data = tifffile.imread(tmp_path / "a.tif")
    assert data.dtype == np.uint8
    assert np.array_equal(data, mask.read(ALL, ALL, ALL))
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
