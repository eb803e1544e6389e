"""An archive with our mark is asked of no other reader."""

import neuroarrays as na
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
