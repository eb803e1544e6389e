"""Recordings as files of temporaldata: the same tree again, and what such a file cannot hold."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import NotInTree, PathExists, SchemaError
from neuroarrays.synthetic import write_nwb, write_temporaldata
from neuroarrays.testing import assert_same_trees

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
#: What is about the file that was opened.
OF_FILE = ("source", "notes", "metadata_in_file")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_temporaldata(tmp_path_factory.mktemp("made") / "made.h5", seconds=6.0, rois=True)


@pytest.mark.parametrize("name", ["cut", "made", "sample", "nwb", "phy", "suite2p", "analyzer"])
def test_opens_again_as_the_same_tree(name, made, tmp_path):
    path = made
    if name == "nwb":
        write_nwb(path := tmp_path / "one.nwb", units=4)
    elif name == "phy":
        path = GOLDEN / "phy" / "probe_a"
    elif name == "suite2p":
        path = GOLDEN / "suite2p" / "run_a"
    elif name == "analyzer":  # labels of templates, which are neither of spikes nor of units
        path = GOLDEN / "spikeinterface" / "analyzer"
    elif name == "cut":
        path = GOLDEN / "temporaldata" / "c_20131003_cut.h5"
    tree = na.load_sample() if name == "sample" else na.open_datatree(path)
    (session,) = tree.children
    left_out = na.to_temporaldata(tree, tmp_path / f"{session}.h5")
    again = na.open_datatree(tmp_path / f"{session}.h5")
    assert again.attrs["source"] == "temporaldata"
    lost = {text.partition(":")[0] for text in left_out}
    assert lost <= {"stimulus/movie", "presentations/trials"}, left_out
    kept = xr.DataTree.from_dict(
        {
            p: n.to_dataset(inherit=False)
            for p, n in tree.subtree_with_keys
            if f"{p.partition('/')[2]}" not in lost
        }
    )
    assert_same_trees(again, kept, OF_FILE)
    for place, node in kept.subtree_with_keys:
        assert set(again[place].coords) == set(node.coords), place


def test_one_session_by_its_name(made, tmp_path):
    tree = na.open_datatree([made, GOLDEN / "temporaldata" / "c_20131003_cut.h5"])
    with pytest.raises(SchemaError, match="say session="):
        na.to_temporaldata(tree, tmp_path / "x.h5")
    with pytest.raises(NotInTree, match="nobody"):
        na.to_temporaldata(tree, tmp_path / "x.h5", "nobody")
    na.to_temporaldata(tree, tmp_path / "x.h5", "made")
    with pytest.raises(PathExists):
        na.to_temporaldata(tree["made"], tmp_path / "x.h5")
    assert list(na.open_datatree(tmp_path / "x.h5")["x/presentations"].children)
    with pytest.raises(SchemaError, match="recording"):
        na.to_temporaldata(na.align(tree["made"], bin_width=0.5), tmp_path / "y.h5")


def test_what_it_cannot_hold_is_said_and_not_guessed(made, tmp_path):
    tree = na.open_datatree(made)
    rows = tree["made/presentations/trials"].to_dataset().load()
    rows["stop_time"][1] = np.nan
    nodes = {path: node.to_dataset(inherit=False) for path, node in tree.subtree_with_keys}
    nodes["made/presentations/trials"] = rows
    left = na.to_temporaldata(xr.DataTree.from_dict(nodes), tmp_path / "one.h5")
    assert [text.partition(":")[0] for text in left] == ["presentations/trials"]
    cursor = nodes["made/cursor"].load()
    nodes["made/cursor"] = cursor.isel(time=slice(None, None, -1))
    with pytest.raises(SchemaError, match="cursor.*backwards"):
        na.to_temporaldata(xr.DataTree.from_dict(nodes), tmp_path / "two.h5")
    assert not (tmp_path / "two.h5").exists()


def test_written_again_by_temporaldata(made, tmp_path):
    """Which keeps the attributes of the session, and none of ours of its groups."""
    tree, path = na.open_datatree(made), tmp_path / "made.h5"
    na.to_temporaldata(tree, path)
    with h5py.File(path, "a") as file:
        for group in file.values():
            group.attrs.pop("neuroarrays", None)
    again = na.open_datatree(path)
    assert again["made"].attrs["subject"] == "m1"
    for name in (
        "M1/spikes",
        "PMd/spikes",
        "lfp",
        "cursor",
        "presentations/trials",
        "unknown/calcium_traces",
    ):
        assert again[f"made/{name}"].sizes == tree[f"made/{name}"].sizes
    np.testing.assert_array_equal(again["made/lfp"].time.values, tree["made/lfp"].time.values)


def test_the_layout_is_that_of_temporaldata(made, tmp_path):
    """Times in order, each second of them, one object per group."""
    tree = na.open_datatree(made)
    na.to_temporaldata(tree, tmp_path / "made.h5")
    with h5py.File(tmp_path / "made.h5") as file, h5py.File(made) as first:
        for name in ("spikes/timestamps", "spikes/timestamp_indices_1s", "lfp/raw"):
            np.testing.assert_array_equal(file[name][:], first[name][:])
        numbers = file["units/unit_id"][:][file["spikes/unit_index"][:]]  # units stand by area
        np.testing.assert_array_equal(numbers, first["spikes/unit_index"][:])
        assert {group.attrs["object"] for group in file.values()} == {
            "Data", "IrregularTimeSeries", "RegularTimeSeries", "Interval", "ArrayDict",
        }  # fmt: skip
        assert file["lfp"].attrs["sampling_rate"] == 50.0
        assert file["subject"].attrs["id"] == "m1"
        assert file["units/area"][:].tolist() == [b"M1"] * 3 + [b"PMd"] * 3
