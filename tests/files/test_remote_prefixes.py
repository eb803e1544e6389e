"""Buckets, prefixes, Zarr stores and DANDI: imitations on a server of this machine."""

import json
import os
import pickle
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.collection import indexing
from neuroarrays.errors import (
    MissingPath,
    NeuroArraysError,
)
from neuroarrays.files import addresses, network, openings
from neuroarrays.files.locating import locate
from neuroarrays.synthetic.nwb import write_nwb
from neuroarrays.synthetic.sensorium import StaticOptions, write_static
from neuroarrays.testing.comparing import assert_same_trees
from neuroarrays.testing.sources import open_source

pytest.importorskip(
    "obstore", reason="the extra `remote` is not installed: pip install 'neuroarrays[remote]'"
)
pytestmark = pytest.mark.usefixtures("alone")
SAMPLE = Path(na.__file__).parent / "demo" / "_sample" / "A2929-200711.nwb"


def test_an_object_of_a_bucket(bucket):
    shutil.copy(SAMPLE, bucket / "a b#1.nwb")
    assert_same_trees(
        na.open_datatree("s3://lab/a b#1.nwb"), na.open_datatree(bucket / "a b#1.nwb")
    )


def test_a_prefix_is_a_folder_of_sessions(bucket, server):
    (bucket / "day 1").mkdir()
    for name in "ab":
        shutil.copy(SAMPLE, bucket / "day 1" / f"{name}.nwb")
    (bucket / "day 1" / "notes.txt").write_text("none")
    assert_same_trees(na.open_datatree("s3://lab/day 1"), na.open_datatree(bucket / "day 1"))
    assert na.catalog("s3://lab/day 1/")["session"].tolist() == ["a", "a", "b", "b"]
    with pytest.raises(MissingPath, match="s3://lab/none: no such file or folder"):
        na.open_datatree("s3://lab/none")
    (bucket / "texts").mkdir()
    (bucket / "texts" / "a.txt").write_text("hello")
    with pytest.raises(NeuroArraysError, match="s3://lab/texts: expected a recording in a format"):
        na.open_datatree("s3://lab/texts")


def test_a_prefix_of_many_files_is_listed_level_by_level(bucket, server, monkeypatch):
    """One list of all is given up where it would take several requests."""
    for name in ("a/b/c.npy", "a/d.npy", "e.npy"):
        (bucket / "top" / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(bucket / "top" / name, np.arange(3))
    monkeypatch.setattr(network.few_below, "__defaults__", (2,))
    with openings.opening():
        top = locate("s3://lab/top")
        assert top.listing() == {"e.npy": "file", "a": "folder"}
        assert top.child("a").listing() == {"d.npy": "file", "b": "folder"}
        assert top.child("a").child("b").listing() == {"c.npy": "file"}
        before = len(server.seen.log)
        assert locate("s3://lab/top/a/b").listing() == {"c.npy": "file"}
        assert len(server.seen.log) == before  # of few files, it is known in this opening
        assert set(top.folder(top.folder_stamp()).files) == {"a/b/c.npy", "a/d.npy", "e.npy"}


def test_empty_objects_are_no_sessions(bucket):
    os.link(SAMPLE, bucket / "a.nwb")
    (bucket / "marker").write_bytes(b"")
    tree = na.open_datatree("s3://lab/")
    assert list(tree.children) == ["a"]
    assert "marker" in tree.attrs["notes"][0]
    with pytest.raises(NeuroArraysError, match="found an empty file"):
        na.open_datatree("s3://lab/marker")


def test_a_bucket_without_ranges(bucket, server):
    np.save(bucket / "a.npy", np.arange(9))
    server.behaviour.ranges = False
    with pytest.raises(NeuroArraysError, match="sends files only whole; copy it first .*s3://lab"):
        open_source("s3://lab/a.npy")


@pytest.mark.parametrize("kind", ["gs", "az"])
def test_objects_of_google_cloud_and_azure(bucket, server, monkeypatch, kind):
    key = {"gcs_base_url": f"{server.base}/f", "disable_oauth": True}
    key |= dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(key))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"{server.base}/f")
    np.save(bucket / "a.npy", np.arange(9))
    assert open_source(f"{kind}://lab/a.npy").read("a").tolist() == list(range(9))
    with pytest.raises(MissingPath, match=f"{kind}://lab/b.npy: no such file"):
        locate(f"{kind}://lab/b.npy").open()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An archive of ours in both containers."""
    folder = tmp_path_factory.mktemp("saved")
    tree = na.open_datatree(SAMPLE, areas="adn")
    aligned = na.align(tree, "sleep_ripples", bin_width=0.1)
    for name in ("a.h5", "a.zarr"):
        na.save(aligned, folder / name)
    return folder


@pytest.mark.parametrize("name", ["a.h5", "a.zarr"])
def test_archives_of_ours(bucket, server, saved, name):
    pytest.importorskip("zarr")
    shutil.copytree(saved, bucket, dirs_exist_ok=True)
    expected = na.open_datatree(saved / name)
    assert_same_trees(na.open_datatree(server.url(f"lab/{name}")), expected)
    assert_same_trees(na.open_datatree(f"s3://lab/{name}"), expected)


def test_a_folder_of_small_files_is_listed_once_and_each_asked_once(bucket, server):
    """SENSORIUM: what opening reads of the files comes before, side by side."""
    path = bucket / "static22846-10-16"
    write_static(path, StaticOptions(train=3, validation=1, test=1, repeats=1))
    opened = na.open_datatree("s3://lab/static22846-10-16")
    asked = Counter(entry[2] for entry in server.seen.log)
    assert max(count for name, count in asked.items() if name.endswith(".npy")) == 1
    listings = [name for name in asked if name.endswith("/")]
    assert listings == ["lab/static22846-10-16/"]
    assert asked[listings[0]] == 1
    assert_same_trees(opened, na.open_datatree(path))


def test_tables_of_a_prefix_read_each_file_once_though_children_open_them(
    bucket, server, tmp_path, monkeypatch
):
    """What the search for recordings fetched is kept on disk before the first child begins."""

    def in_child(_, path, **options):
        for name in ("nbytes", "number"):
            options.pop(name)
        na.release()  # a child has nothing of its parent in memory
        return indexing.scan_to_file(path, **options)

    monkeypatch.setenv("NEUROARRAYS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(indexing.guard, "in_child", in_child)
    (bucket / "day").mkdir()
    for name in ("a.nwb", "b.nwb"):
        write_nwb(bucket / "day" / name, units=2, trials=2)
    before = len(server.seen.log)
    assert na.units("s3://lab/day", workers=1)["session"].nunique() == 2
    seen = Counter((status, name) for _, status, name, _, _ in server.seen.log[before:])
    files = ("lab/day/a.nwb", "lab/day/b.nwb")
    assert [seen[206, name] for name in files] == [1, 1]


def test_a_zarr_store_of_nwb_in_a_bucket(bucket):
    pytest.importorskip("zarr")
    golden = next(
        path
        for path in Path("tests/golden/nwb").iterdir()
        if path.suffix == ".zarr" or path.is_dir()
    )
    shutil.copytree(golden, bucket / golden.name)
    assert_same_trees(na.open_datatree(f"s3://lab/{golden.name}"), na.open_datatree(golden))


def test_assets_of_dandi(archive, server):
    for name in ("a.nwb", "a.nwb2", "b.nwb"):
        shutil.copy(SAMPLE, archive / "sub-1" / name)
    tree = na.open_datatree("dandi://000006/sub-1/a.nwb")
    assert_same_trees(tree, na.open_datatree(archive / "sub-1" / "a.nwb"))
    assert server.seen.statuses[302] == 1
    assert pickle.loads(pickle.dumps(tree)).equals(tree)
    (archive / "sub-1" / "a.nwb2").unlink()
    assert list(na.open_datatree("dandi://000006@0.1/sub-1").children) == ["a", "b"]
    with pytest.raises(MissingPath, match="dandi://000006/sub-1/c.nwb: no such file"):
        na.open_datatree("dandi://000006/sub-1/c.nwb")
    with pytest.raises(NeuroArraysError, match="another form than dandi://DANDISET"):
        na.open_datatree("dandi://six/c.nwb")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://dandiarchive.org/dandiset/000006", "dandi://000006"),
        (
            "https://dandiarchive.org/dandiset/000006/draft/files?location=sub-1%2F&page=1",
            "dandi://000006/sub-1",
        ),
        (
            "https://gui.dandiarchive.org/#/dandiset/000006/0.220126.1855",
            "dandi://000006@0.220126.1855",
        ),
        (
            f"https://api.dandiarchive.org/api/assets/{36 * 'a'}/download/",
            f"dandi://asset/{36 * 'a'}",
        ),
        (
            f"https://api.dandiarchive.org/api/dandisets/000006/versions/draft/assets/{36 * 'a'}/",
            f"dandi://asset/{36 * 'a'}",
        ),
        ("https://dandiarchive.org/search?q=a", "https://dandiarchive.org/search?q=a"),
    ],
)
def test_addresses_of_pages_of_dandi(address, expected):
    assert addresses.dandi_address(address) == expected
