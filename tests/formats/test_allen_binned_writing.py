"""The published layout: our files against those of plain xarray and h5netcdf, and what is refused."""

import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import PathExists, SchemaError
from neuroarrays.formats.allen_binned.writing import LeftOut
from neuroarrays.synthetic import write_nwb
from neuroarrays.testing import assert_same_trees
from neuroarrays.testing.sources import close_all

GOLDEN = Path(__file__).parents[1] / "golden" / "allen_binned" / "natural_scenes.h5"
HOUSEKEEPING = {"_Netcdf4Dimid", "_Netcdf4Coordinates", "DIMENSION_LIST", "REFERENCE_LIST"}


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


@pytest.fixture
def archive(tmp_path):
    """The golden archive without its frames, which the layout keeps in a file of their own."""
    path = tmp_path / "natural_scenes.h5"
    shutil.copy(GOLDEN, path)
    return path


def described(path):
    """Everything about a file that a reader may notice, but what only names its dimensions."""
    found = {}

    def visit(name, node):
        attrs = {k: repr(v) for k, v in node.attrs.items() if k not in HOUSEKEEPING}
        kept = set(node.attrs) & HOUSEKEEPING
        if isinstance(node, h5py.Dataset):
            plist = node.id.get_create_plist()
            dims = [[scale.name for scale in dim.values()] for dim in node.dims]
            found[name] = (
                node.shape,
                node.dtype,
                node.chunks,
                node.compression,
                dims,
                attrs,
                kept,
                repr(node.fillvalue),
                plist.get_layout(),
                node[...].tobytes(),
            )
        else:
            found[name] = (attrs, sorted(node))

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


@pytest.mark.filterwarnings("ignore:the layout allen_binned")
def test_the_file_is_the_published_one(archive, tmp_path):
    ours = na.save(na.open_datatree(archive), tmp_path / "ours.h5", layout="allen_binned")
    theirs, mine = described(archive), described(ours)
    assert theirs.keys() == mine.keys()
    for name, expected in theirs.items():
        assert mine[name] == expected, name


@pytest.mark.filterwarnings("ignore:the layout allen_binned")
@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_code_written_for_the_published_files_reads_it(archive, tmp_path, engine):
    ours = na.save(na.open_datatree(archive), tmp_path / "ours.h5", layout="allen_binned")
    with (
        xr.open_datatree(archive, engine=engine) as theirs,
        xr.open_datatree(ours, engine=engine) as mine,
    ):
        xr.testing.assert_identical(mine, theirs)
        assert mine["session_715093703/VISp/spike_data"]["spike_data"].dims == (
            "presentation_id",
            "time",
            "unit_id",
        )


@pytest.mark.filterwarnings("ignore:the layout allen_binned")
def test_it_opens_as_what_was_saved(archive, tmp_path):
    tree = na.open_datatree(archive)
    path = na.save(tree, tmp_path / "ours.h5", layout="allen_binned")
    assert_same_trees(na.open_datatree(path), tree)
    own = na.open_datatree(na.save(tree, tmp_path / "own.h5"))
    again = na.save(own, tmp_path / "again.h5", layout="allen_binned")
    assert_same_trees(na.open_datatree(again), tree)


@pytest.fixture
def aligned(tmp_path):
    path = tmp_path / "s1.nwb"
    write_nwb(path, parts=("units", "trials", "running", "pupil"), units=6)
    return na.align(na.open_datatree(path), "trials", bin_width=0.1)


def test_any_trial_tree_can_be_saved(aligned, tmp_path):
    with pytest.warns(UserWarning, match="has no place for") as caught:
        path = na.save(aligned, tmp_path / "trials.h5", layout="allen_binned")
    (warning,) = caught
    for word in ("attributes", "history", "unit metadata", "quality", "text "):
        assert word in str(warning.message)
    found = na.open_datatree(path)
    assert list(found.children) == ["session_s1"]
    for area in ("VISp", "CA1"):
        ours, theirs = aligned[f"s1/{area}"], found[f"session_s1/{area}"]
        assert theirs["spike_data"].dtype == np.int8
        np.testing.assert_array_equal(theirs["spike_data"].values, ours["spike_data"].values)
        np.testing.assert_array_equal(theirs["speed"].values, ours["speed"].values.astype("f4"))
        np.testing.assert_array_equal(
            theirs["presentations/start_time"].values,
            ours["presentations/start_time"].values.astype("f4"),
        )
        assert set(theirs["pupil"].data_vars) == set(ours["pupil"].data_vars)


def test_text_that_holds_numbers_becomes_numbers(archive, tmp_path):
    tree = na.open_datatree(archive, sessions="session_766640955")
    place = "session_766640955/VISp/presentations"
    values = np.array(["0.25", "N/A", None, "0.5"], object)
    tree[place].dataset = (
        tree[place]
        .to_dataset(inherit=False)
        .assign(
            phase=("presentation_id", values), why=("presentation_id", np.array(["a"] * 4, object))
        )
    )
    with pytest.warns(UserWarning, match="text why"):
        path = na.save(tree, tmp_path / "x.h5", layout="allen_binned")
    found = na.open_datatree(path)[place]["phase"].values
    np.testing.assert_array_equal(found, np.array([0.25, np.nan, np.nan, 0.5], "f4"))


def changed(tree, name, variable):
    place = "session_766640955/VISp"
    tree[place].dataset = tree[place].to_dataset(inherit=False).assign({name: variable})
    return tree


@pytest.mark.filterwarnings("ignore:the layout allen_binned")
def test_more_spikes_than_int8_holds_are_refused(archive, tmp_path):
    dims = ("presentation_id", "unit_id", "time")
    tree = changed(na.open_datatree(archive), "spike_data", (dims, np.full((4, 2, 3), 128, "u1")))
    with pytest.raises(SchemaError, match="a bin holds 128 spikes"):
        na.save(tree, tmp_path / "x.h5", layout="allen_binned")
    assert not (tmp_path / "x.h5").exists()


def test_a_mask_is_listed(archive, tmp_path):
    valid = np.ones((4, 3), bool)
    valid[0, 2] = False
    tree = changed(na.open_datatree(archive), "valid", (("presentation_id", "time"), valid))
    with pytest.warns(UserWarning, match="valid, which is False in some bins"):
        na.save(tree, tmp_path / "x.h5", layout="allen_binned")


def test_other_trees_are_refused(tmp_path, archive):
    shutil.copy(archive, tmp_path / "gabors.h5")
    write_nwb(tmp_path / "s.nwb", parts=("units", "trials"))
    recording = na.open_datatree(tmp_path / "s.nwb")
    trees = {
        "one file per stimulus": na.open_datatree([archive, tmp_path / "gabors.h5"]),
        "holds aligned trees": recording,
        "the coordinate presentation_id is missing": na.align(recording, bin_width=1.0),
    }
    for words, tree in trees.items():
        with pytest.raises(SchemaError, match=words):
            na.save(tree, tmp_path / "x.h5", layout="allen_binned")
    assert not (tmp_path / "x.h5").exists()


def test_options_are_checked(archive, tmp_path):
    tree = na.open_datatree(archive)
    with pytest.raises(ValueError, match="layout='allen'"):
        na.save(tree, tmp_path / "x.h5", layout="allen")
    with pytest.raises(ValueError, match="for an HDF5 file"):
        na.save(tree, tmp_path / "x.zarr", layout="allen_binned")
    with pytest.raises(PathExists):
        na.save(tree, archive, layout="allen_binned")


def test_what_was_left_out_comes_from_another_process_as_it_was():
    warning = pickle.loads(pickle.dumps(LeftOut({"attributes": "a/VISp"})))
    assert warning.left == {"attributes": "a/VISp"}
    assert str(warning) == "the layout allen_binned has no place for: attributes (a/VISp)"
