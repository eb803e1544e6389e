"""Trees put together from datasets: as xarray does it."""

import numpy as np
import pytest
import xarray as xr

from neuroarrays.lazy.trees import tree_of


def test_it_is_the_tree_that_xarray_makes():
    labels = {"unit_id": np.arange(3)}
    groups = {
        "b/deep/er": xr.Dataset({"x": ("unit_id", np.zeros(3))}, labels),
        "/": xr.Dataset(attrs={"a": 1}),
        "b": xr.Dataset(coords=labels),
        "/a": xr.Dataset({"x": ("time", np.zeros(2))}),
        "b/first": xr.Dataset(),
    }
    ours, theirs = tree_of(groups), xr.DataTree.from_dict(groups)
    assert ours.identical(theirs)
    assert [node.path for node in ours.subtree] == [node.path for node in theirs.subtree]
    assert "unit_id" not in ours["b/deep/er"].to_dataset(inherit=False).coords


def test_the_datasets_stay_as_they_are():
    shared = xr.Variable("time", np.zeros(2), {"units": "s"})
    groups = {".": xr.Dataset(), "a": xr.Dataset({"x": shared}), "b": xr.Dataset({"x": shared})}
    tree = tree_of(groups)
    tree["a/x"].variable.attrs["units"] = "ms"
    tree["a"].attrs["note"] = "of the tree"
    assert tree["b/x"].attrs == {"units": "s"}
    assert groups["a"]["x"].attrs == {"units": "s"}
    assert groups["a"].attrs == {}


@pytest.mark.parametrize(
    ("below", "error"),
    [
        (xr.Dataset(coords={"unit_id": [9, 1]}), ValueError),
        (xr.Dataset({"y": ("unit_id", [1.0])}), ValueError),
    ],
)
def test_nodes_that_do_not_fit_what_they_inherit(below, error):
    above = xr.Dataset({"x": ("unit_id", [1.0, 2.0])}, {"unit_id": [0, 1]})
    with pytest.raises(error, match="a/b"):
        tree_of({"a": above, "a/b": below})
    with pytest.raises(KeyError, match="variable named x"):
        tree_of({"a": above, "a/x": xr.Dataset()})
