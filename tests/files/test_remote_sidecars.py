"""What opening keeps of files behind an address, and when it is used."""

import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.cli import main
from neuroarrays.errors import FormatError
from neuroarrays.files import addresses, sidecars
from neuroarrays.testing.comparing import assert_same_trees
from neuroarrays.testing.sources import open_source

pytest.importorskip(
    "obstore", reason="the extra `remote` is not installed: pip install 'neuroarrays[remote]'"
)
pytestmark = pytest.mark.usefixtures("alone")
SAMPLE = Path(na.__file__).parent / "demo" / "_sample" / "A2929-200711.nwb"
SIGNED = "X-Amz-Signature=abcdef0123456789&X-Amz-Expires=60"


def test_opening_again_moves_no_bytes(folder, server):
    shutil.copy(SAMPLE, folder / "a.nwb")
    na.open_datatree(server.url("a.nwb"))
    for forget in (lambda: None, na.release):
        forget()
        server.reset()
        tree = na.open_datatree(server.url("a.nwb"))
        assert (server.seen.requests, server.seen.sent) == (1, 0)
        assert server.seen.statuses == {304: 1}
    assert_same_trees(tree, na.open_datatree(folder / "a.nwb"))


def test_a_damaged_sidecar_is_none(folder, server, tmp_path):
    shutil.copy(SAMPLE, folder / "a.nwb")
    expected = na.open_datatree(server.url("a.nwb"))
    (file,) = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    for damaged in (whole[:-20], whole[:40], b"", whole[:200] + b"x" + whole[201:]):
        file.write_bytes(damaged)
        assert sidecars.load(server.url("a.nwb")) is None
    na.release()
    server.reset()
    assert_same_trees(na.open_datatree(server.url("a.nwb")), expected)
    assert server.seen.sent > 0


def test_a_file_that_was_replaced_is_read_anew(folder, server):
    with h5py.File(folder / "x.h5", "w") as file:
        file["a"] = np.arange(100_000)
    source = open_source(server.url("x.h5"))
    assert source.read("a", (slice(3),)).tolist() == [0, 1, 2]
    with h5py.File(folder / "x.h5", "w") as file:
        file["a"] = -np.arange(100_000)
    with pytest.raises(FormatError, match=r"x\.h5.*as it was when it was opened.*open it again"):
        source.read("a", (slice(90_000, 90_003),))
    assert open_source(server.url("x.h5")).read("a", (slice(3),)).tolist() == [0, -1, -2]


@pytest.mark.parametrize("off", ["off", "0"])
def test_no_cache_if_so_wished(folder, server, tmp_path, monkeypatch, off):
    monkeypatch.setenv("NEUROARRAYS_CACHE", off)
    shutil.copy(SAMPLE, folder / "a.nwb")
    na.open_datatree(server.url("a.nwb"))
    assert not (tmp_path / "cache").exists()
    assert sidecars.every() == []


def test_an_opening_without_the_cache(folder, server, tmp_path):
    shutil.copy(SAMPLE, folder / "a.nwb")
    na.open_datatree(server.url("a.nwb"), cache=False)
    assert not (tmp_path / "cache").exists()
    na.open_datatree(server.url("a.nwb"))
    na.release()
    server.reset()
    na.open_datatree(server.url("a.nwb"), cache=False)
    assert server.seen.sent > 100_000


def test_a_description_says_what_is_kept(folder, server):
    shutil.copy(SAMPLE, folder / "a.nwb")
    tree = na.open_datatree(server.url("a.nwb"))
    said = " ".join(str(na.describe(tree)).split())
    assert re.search(r"a\.nwb: [1-9]\d* kB are kept on disk .*, [1-9],\d+ kB in memory", said)
    assert "kept on disk" not in str(na.describe(na.open_datatree(folder / "a.nwb")))


def test_an_address_of_a_version_is_not_asked_again(folder, server):
    shutil.copy(SAMPLE, folder / "a.nwb")
    address = f"{server.url('a.nwb')}?versionId=7"
    expected = na.open_datatree(address)
    na.release()
    server.reset()
    tree = na.open_datatree(address)
    assert server.seen.requests == 0
    assert_same_trees(tree, expected)
    blob = "https://dandiarchive.s3.amazonaws.com/blobs/b1a/29b/b1a29b"
    assert addresses.is_fixed(blob)
    assert not addresses.is_fixed("https://elsewhere.org/blobs/b1a/29b/b1a29b")
    assert not addresses.is_fixed("https://dandiarchive.s3.amazonaws.com/zarr/b1a/29b")
    assert not addresses.is_fixed("s3://lab/a?versionId=7")


def test_sidecars_are_bounded_and_cleared(folder, server, tmp_path, monkeypatch):
    for name in "abc":
        shutil.copy(SAMPLE, folder / f"{name}.nwb")
        na.open_datatree(server.url(f"{name}.nwb"))
    size = sidecars.every()[0][2]
    assert sorted(path[-5:] for _, path, _ in sidecars.every()) == ["a.nwb", "b.nwb", "c.nwb"]
    monkeypatch.setattr(sidecars, "LIMIT", 2 * size + 100)
    shutil.copy(SAMPLE, folder / "d.nwb")
    na.open_datatree(server.url("d.nwb"))
    assert len(sidecars.every()) == 2
    assert sidecars.clear() == 2
    assert not list((tmp_path / "cache").iterdir())


def test_the_command_lists_and_clears_what_is_kept(folder, server, capsys, tmp_path):
    shutil.copy(SAMPLE, folder / "a.nwb")
    assert main(["info", f"{server.url('a.nwb')}?{SIGNED}"]) == 2  # the signature has expired
    assert main(["info", server.url("a.nwb")]) == 0
    assert main(["cache"]) == 0
    said = capsys.readouterr()
    assert "X-Amz" not in said.out + said.err
    assert server.url("a.nwb") in said.out
    assert main(["cache", "--clear"]) == 0
    assert "1 file deleted" in capsys.readouterr().out
    assert not list((tmp_path / "cache").iterdir())
