"""Dask on top of a tree: which variables, in which pieces, and under which names."""

import numpy as np
import pytest
import xarray as xr

from neuroarrays import schema
from neuroarrays.lazy.chunking import chunked
from neuroarrays.lazy.computed import Computed, RegularClock


def lazy(start, dims=("time",)):
    return RegularClock(start, 1.0, 12).variable(dims)


@pytest.fixture
def tree():
    """One session on a clock, an area below it, its presentations and when it was recorded."""
    stored = lazy(5.0)
    stored.encoding["preferred_chunks"] = {"time": 4}
    whole = lazy(7.0)
    area = xr.Dataset(
        {
            "stored": stored,
            "whole": whole,
            "again": lazy(7.0),
            "x": ("time", np.arange(12.0)),
            "edges": lazy(1.0, (schema.INTERVAL,)),
        }
    )
    table = xr.Dataset({"start_time": lazy(0.0, (schema.PRESENTATION,))})
    observed = xr.Dataset({"start_time": lazy(0.0, (schema.INTERVAL,))})
    return xr.DataTree.from_dict(
        {
            "/s": xr.Dataset(coords={"time": np.arange(12.0)}),
            "/s/area": area,
            "/s/area/presentations": table,
            "/s/presentations/bars": table,
            "/s/observed": observed,
        }
    )


def pieces(tree, chunks):
    """Place -> how many values each piece has; None without dask."""
    made = chunked(tree, chunks)
    xr.testing.assert_identical(made, tree)
    for path, node in tree.subtree_with_keys:
        mine = made[path].to_dataset(inherit=False)
        assert set(mine.variables) == set(node.to_dataset(inherit=False).variables), path
    return {
        f"{path}/{name}": variable.chunks and variable.chunks[0]
        for path, node in made.subtree_with_keys
        for name, variable in node.to_dataset(inherit=False).data_vars.items()
    }


LEFT = {
    "s/area/edges": None,
    "s/area/presentations/start_time": None,
    "s/presentations/bars/start_time": None,
    "s/observed/start_time": None,
}


@pytest.mark.parametrize(
    ("chunks", "stored", "others"),
    [
        ({}, (4, 4, 4), (12,)),
        ({"time": 6}, (6, 6), (6, 6)),
        ({"unit_id": 2}, (4, 4, 4), (12,)),
        (5, (5, 5, 2), (5, 5, 2)),
        ("auto", (12,), (12,)),
    ],
)
def test_pieces_are_those_asked_for_or_the_files(tree, chunks, stored, others):
    area = dict.fromkeys(("s/area/whole", "s/area/again", "s/area/x"), others)
    assert pieces(tree, chunks) == LEFT | area | {"s/area/stored": stored}


def test_names_say_what_is_the_same(tree):
    one, two = chunked(tree, {})["s/area"], chunked(tree, {})["s/area"]
    for name in ("stored", "whole", "again"):
        assert one[name].data.name == two[name].data.name
        assert one[name].data.name.startswith(f"{name}-")
    keys = {one[name].data.name.partition("-")[2] for name in ("stored", "whole", "again")}
    assert len(keys) == 2  # `again` has the values of `whole`


def test_what_is_computed_has_chunks_of_bounded_size():
    rows, columns = 1 << 20, 200  # 1.6 GB that nobody computes
    large = Computed(None, (rows, columns), np.dtype("f8")).variable(("time", "unit_id"))
    tree = xr.DataTree.from_dict({"/s": xr.Dataset({"large": large, "small": lazy(0.0, ("lap",))})})
    for chunks in ({}, "auto"):
        found = chunked(tree, chunks)["s"]
        sizes = [np.prod(block) * 8 for block in zip(*found["large"].chunks, strict=False)]
        assert max(sizes) <= 128 << 20
        assert len(found["large"].chunks[0]) > 10
    assert chunked(tree, {})["s/large"].chunks[1] == (columns,)
    assert chunked(tree, {"unit_id": 10})["s/large"].chunks[0] == (rows,)
