"""An archive with our mark is asked of no other reader."""

import zipfile

import pytest

import neuroarrays as na
from neuroarrays.errors import UnknownFormat
from neuroarrays.formats.nwb import NWBReader


def test_no_other_reader_looks_into_an_archive_of_ours(tmp_path, monkeypatch):
    tree = na.load_sample()
    path = na.save(tree, tmp_path / "x.h5")
    asked = []
    monkeypatch.setattr(NWBReader, "recognise", lambda self, probe: asked.append(probe.path))
    assert na.open_datatree(path).identical(tree)
    assert not asked
    tree.to_netcdf(tmp_path / "plain.nc", engine="h5netcdf")  # without the mark
    na.open_datatree(tmp_path / "plain.nc")
    assert asked == [str(tmp_path / "plain.nc")]


def test_a_zip_of_a_recording_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "session.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("day1/session.nwb", b"x")
    with pytest.raises(UnknownFormat, match=r"a zip file of .day1/session.nwb.; unpack it"):
        na.open_datatree(path)
