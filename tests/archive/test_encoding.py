"""How a node is written: what CF has for it, and a note of what CF has not."""

import json

import numpy as np
import pytest
import xarray as xr

from neuroarrays import schema
from neuroarrays.archive.attributes import HIDDEN
from neuroarrays.archive.encoding import encode, encode_node
from neuroarrays.errors import SchemaError
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


@pytest.mark.parametrize("name", [3, None, "", "a/b", "a\0b"])
def test_names_that_no_file_can_have_are_refused(name):
    with pytest.raises(
        SchemaError, match=r"^s/A: the variable name .* cannot be written; rename it"
    ):
        encode("s/A", name, xr.Variable("unit", [1.0]))


@pytest.mark.parametrize(
    ("dtype", "kind", "stored"),
    [
        ("u1", "raw", "u1"),
        (">i4", "raw", "<i4"),
        ("f8", "raw", "<f8"),
        ("f2", "cast", "<f4"),
        ("?", "bool", "i1"),
        ("U3", "text", "O"),
        ("S3", "text", "O"),
        ("O", "text", "O"),
    ],
)
def test_how_values_of_a_dtype_are_stored(dtype, kind, stored):
    written = encode("s/A", "x", xr.Variable("unit", np.zeros(2, dtype)))
    assert (written.kind, written.stored) == (kind, np.dtype(stored))


@pytest.mark.parametrize("dtype", ["c16", "M8[ns]", "m8[ns]", np.longdouble])
def test_values_that_are_neither_numbers_nor_text_are_refused(dtype):
    if np.dtype(dtype) == np.float64:
        pytest.skip("the long double of this system is float64")
    with pytest.raises(SchemaError, match=r"^s/A/x: values of dtype .* cannot be written"):
        encode("s/A", "x", xr.Variable("unit", np.zeros(2, dtype)))
