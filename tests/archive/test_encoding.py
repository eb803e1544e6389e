"""How a node is written: what CF has for it, and a note of what CF has not."""

import json

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.archive.attributes import HIDDEN
from neuroarrays.archive.encoding import encode_node
from neuroarrays.lazy.computed import RegularClock
from neuroarrays.lazy.indexes import dataset


def encoded(node, kind=schema.RECORDING):
    """Attributes of each variable, those of the node, and its note."""
    written = encode_node("s/A", xr.DataTree(node), kind)
    note = json.loads(written.attrs.pop(HIDDEN, "{}"))
    return {one.name: one.native for one in written.variables}, written.attrs, note


def test_labels_are_named_by_the_variables_along_them_and_the_rest_by_the_node():
    node = xr.Dataset(
        {"counts": (("unit", "time"), np.ones((2, 3))), "mean": ("unit", [1.0, 2])},
        {
            "unit": [4, 5],
            "depth": ("unit", [1, 2]),
            "phase": ("time", [1, 2, 3]),
            "depth of tip": ("unit", [1, 2]),
            "lick": ("event", [1.0]),
        },
        {"note": "mine"},
    )
    variables, attrs, note = encoded(node)
    named = {name: attrs.get("coordinates") for name, attrs in variables.items()}
    assert named["counts"] == "depth phase"
    assert named["mean"] == "depth"
    assert set(named.values()) == {"depth phase", "depth", None}
    assert attrs == {"note": "mine", "coordinates": "lick"}
    assert note == {"coords": ["depth of tip"]}  # CF separates names by spaces


def test_only_indexes_that_opening_would_not_make_are_noted():
    """A clock is not read when a recording is opened; an aligned tree has its clock at hand."""
    lazy = dataset(
        {"x": xr.Variable("time", np.ones(4))},
        {"time": RegularClock(0.0, 2.0, 4).variable(("time",))},
    )
    plain = xr.Dataset({"x": ("time", np.ones(4))}, {"time": np.arange(4) / 2})
    assert encoded(lazy)[2] == encoded(plain, schema.ALIGNED)[2] == {}
    assert encoded(lazy, schema.ALIGNED)[2] == {"indexes": {"time": "clock"}}
    assert encoded(plain)[2] == {"indexes": {"time": "plain"}}
