"""Pseudo-populations: conditions that all have, trials drawn without replacement."""

import warnings

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.errors import NothingLeft, SchemaError
from neuroarrays.synthetic.trees import aligned_tree


def shown(numbers, seed):
    """An area whose every response says which presentation it was: unit + presentation / 1000."""
    values = np.repeat(list(numbers), list(numbers.values()))
    values = np.random.default_rng(seed).permutation(values)
    rows = np.arange(values.size)
    responses = (np.arange(3) + rows[:, None] / 1000)[:, :, None] * np.ones(2)
    return xr.Dataset(
        {"responses": (("presentation_id", "unit_id", "time"), responses, {"units": "1"})},
        {
            "presentation_id": rows,
            "unit_id": np.arange(3),
            "time": ("time", [0.05, 0.15], {"units": "s"}),
            "image": ("presentation_id", values, {"units": "1"}),
        },
    )


@pytest.fixture(scope="module")
def tree():
    nodes = {
        "/": xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED)),
        "a/V1": shown({1: 5, 2: 3, 3: 4}, 0),
        "b/V1": shown({1: 4, 2: 6, 4: 2}, 1),
        "b/LM": shown({1: 4, 2: 6, 4: 2}, 1),
    }
    return xr.DataTree.from_dict(nodes)


def test_means_are_those_of_conditions_that_all_have(tree):
    found = na.pool(tree, "image")
    assert found.dims == ("condition", "unit_id")
    assert found.image.values.tolist() == [1, 2]
    assert found.session.values.tolist() == ["a"] * 3 + ["b"] * 6
    assert found.attrs["notes"] == ["left out, because not all units have it: 'image 3', 'image 4'"]
    for path in ("a/V1", "b/LM"):
        session, area = path.split("/")
        of_area = found.sel(unit_id=(found.session == session) & (found.area == area))
        alone = na.tuning_curve(tree[path], "image").sel(image=[1, 2])
        np.testing.assert_allclose(of_area, alone.T)
    with_time = na.pool(tree, "image", time=True)
    assert with_time.dims == ("condition", "unit_id", "time")
    np.testing.assert_allclose(with_time.mean("time"), found)


@pytest.mark.parametrize("time", [False, True])
def test_trials_are_drawn_without_replacement_and_as_many_as_the_least(tree, time):
    found = na.pool(tree, "image", trials=True, time=time, seed=3)
    assert found.dims == ("trial", "unit_id", "time")[: 2 + time]
    assert found.image.values.tolist() == [1] * 4 + [2] * 3
    values = found.values[..., 0] if time else found.values
    which = np.round(values % 1 * 1000).astype(int)
    paths = ["a/V1"] * 3 + ["b/V1"] * 3 + ["b/LM"] * 3
    for column, path in enumerate(paths):
        assert len(set(which[:, column])) == 7
        labels = tree[path]["image"].values[which[:, column]]
        np.testing.assert_array_equal(labels, found.image)
    assert (which[:, 3] != which[:, 4]).any()  # units of one session: apart


def test_the_draw_depends_on_the_seed_and_the_unit_alone(tree):
    first = na.pool(tree, "image", trials=True)
    xr.testing.assert_identical(first, na.pool(tree, "image", trials=True, scheduler="threads"))
    assert (first != na.pool(tree, "image", trials=True, seed=1)).any()
    nodes = {"/": tree.to_dataset(), "a/V1": tree["a/V1"].to_dataset()}
    nodes["b/V1"] = tree["b/V1"].to_dataset().isel(unit_id=[2])
    fewer = na.pool(xr.DataTree.from_dict(nodes), "image", trials=True)
    np.testing.assert_array_equal(fewer.values[:, -1], first.values[:, 5])


def test_masked_presentations_are_not_drawn(tree):
    nodes = {p: n.to_dataset() for p, n in tree.subtree_with_keys if "responses" in n.data_vars}
    masked = nodes["a/V1"]["responses"].copy()
    rows = np.flatnonzero(nodes["a/V1"]["image"] == 1)
    masked[rows[:3], 1] = np.nan
    nodes["a/V1"] = nodes["a/V1"].assign(responses=masked)
    nodes["/"] = tree.to_dataset()
    found = na.pool(xr.DataTree.from_dict(nodes), "image", trials=True)
    assert found.image.values.tolist() == [1] * 2 + [2] * 3
    assert np.isfinite(found).all()


def test_several_parameters_are_combinations():
    tree = aligned_tree(sessions=2, presentations=80)
    found = na.pool(tree, ["orientation", "stimulus"])
    assert found.sizes == {"condition": 12, "unit_id": 16}
    trials = na.pool(tree, ["orientation", "stimulus"], trials=True, areas="VISp")
    assert set(trials.coords) >= {"orientation", "stimulus", "session"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        curve = na.psth(tree["session_1/CA1"], ["orientation", "stimulus"])["mean"].mean("time")
    here = found.sel(unit_id=(found.session == "session_1") & (found.area == "CA1"))
    row = here.isel(condition=5)
    alone = curve.sel(orientation=float(row.orientation), stimulus=str(row.stimulus.values))
    np.testing.assert_allclose(row, alone)


def test_what_cannot_be_pooled_is_named(tree):
    nodes = {"/": tree.to_dataset(), "a/V1": tree["a/V1"].to_dataset().sel(presentation_id=[0])}
    nodes["b/V1"] = shown({7: 2}, 0)
    with pytest.raises(NothingLeft, match="no condition of image"):
        na.pool(xr.DataTree.from_dict(nodes), "image")
    with pytest.raises(SchemaError, match="a/V1 is an area"):
        na.pool(tree["a/V1"], "image")
    with pytest.raises(ValueError, match="seed=-1"):
        na.pool(tree, "image", seed=-1)


def test_units_of_one_id_in_one_area_are_drawn_apart(tree):
    twice = shown({1: 5, 2: 6}, 0).assign_coords(unit_id=[7, 7, 7])
    nodes = {"/": xr.Dataset(attrs=tree.attrs), "a/V1": twice}
    trials = na.pool(xr.DataTree.from_dict(nodes), "image", trials=True)
    presentations = np.round(trials.values % 1 * 1000)
    assert (presentations[:, 0] != presentations[:, 1]).any()
