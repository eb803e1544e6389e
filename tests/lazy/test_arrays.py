"""What lazy arrays are called, so that dask and the caches tell them apart; what dtype they promise."""

import pickle
from dataclasses import replace

import dask
import numpy as np
import pytest
import xarray as xr
from dask.base import tokenize

from neuroarrays.files.source import Source
from neuroarrays.lazy.arrays import (
    Arranged,
    FileArray,
    Regular,
    Segments,
    Sliced,
    Stacked,
    Transposed,
    exact_token,
)


class Memory(Source):
    """A source whose arrays say which they are: "a" is full of 97."""

    def names(self, group="/"):
        return []

    def info(self, name):
        return None

    def attrs(self, name="/"):
        return {}

    def read(self, name, key=()):
        return np.full((4, 4), float(ord(name)))[key]


class Turned(Transposed):
    """Fields as its base has them."""


A = FileArray(Memory("p", (1, 2)), "a", (4, 4), np.dtype("f8"))
LINE = replace(A, shape=(4,))
ONE, TWO = np.array([0, 2]), np.array([1, 1])
#: Arrays of which no two have the same values, whatever they share.
DIFFERENT = {
    "array": A,
    "another name": replace(A, name="b"),
    "another path": replace(A, source=Memory("q", (1, 2))),
    "another stamp": replace(A, source=Memory("p", (1, 3))),
    "scaled": replace(A, scale=2.0),
    "moved": replace(A, offset=2.0),
    "another dtype": replace(A, dtype=np.dtype("f4")),
    "transposed": Transposed(A),
    "of another class": Turned(A),
    "arranged": Arranged(A, (1, 0)),
    "with an axis": Arranged(A, (1, Arranged.NEW, 0)),
    "stacked": Stacked((A, A)),
    "stacked with another": Stacked((A, replace(A, name="b"))),
    "stretches": Segments(LINE, ONE, TWO),
    "other stretches": Segments(LINE, TWO, TWO),
    "longer stretches": Segments(LINE, ONE, ONE),
    "slice": Sliced(LINE, range(0, 4, 2)),
    "another slice": Sliced(LINE, range(0, 4, 3)),
    "clock": Regular(0.0, 2.0, 4),
    "later clock": Regular(1.0, 2.0, 4),
    "faster clock": Regular(0.0, 3.0, 4),
    "longer clock": Regular(0.0, 2.0, 5),
}


def test_every_difference_has_a_name_of_its_own():
    names = {label: tokenize(array) for label, array in DIFFERENT.items()}
    assert len(set(names.values())) == len(DIFFERENT), names
    for label, array in DIFFERENT.items():
        assert tokenize(pickle.loads(pickle.dumps(array))) == names[label], label


def test_arrays_that_dask_computes_together_are_not_mixed_up():
    chunked = [
        DIFFERENT[label].variable(("y", "x")).chunk(2) for label in ("array", "another name")
    ]
    found = dask.compute(*(one.data for one in chunked))
    assert [float(values.max()) for values in found] == [97.0, 98.0]


@pytest.mark.parametrize("size", [3, 100_000])
def test_long_arrays_count_to_their_middle(size):
    one = np.zeros(size)
    two = one.copy()
    two[size // 2] = 1
    assert tokenize(exact_token((one, 3))) != tokenize(exact_token((two, 3)))
    assert tokenize(exact_token(one)) != tokenize(exact_token(one.astype("i8")))  # the same bytes
    assert tokenize(exact_token(one)) != tokenize(exact_token(one[None]))
    assert tokenize(exact_token(one)) == tokenize(exact_token(one.copy()))
    text = np.array(["a"] * size, object)
    other = text.copy()
    other[size // 2] = "b"
    assert tokenize(exact_token(text)) != tokenize(exact_token(other))


# ------------------------------------------------------------------------------------- dtypes


@pytest.mark.parametrize(
    ("dtypes", "want"),
    [
        (("f4", "f8"), "f8"),
        (("f8", "f4"), "f8"),
        (("u1", "i1"), "i2"),
        (("i8", "f4"), "f8"),
        (("f4", "f4"), "f4"),
    ],
)
def test_stacked_arrays_have_the_dtype_that_holds_them_all(dtypes, want):
    stacked = Stacked(tuple(replace(A, dtype=np.dtype(one)) for one in dtypes))
    assert stacked.dtype == want
    every = slice(None)
    for key in (
        (every, every, every),
        (every, every, slice(0, 1)),
        (0, every, 0),
        (every, 1, 1),
        (every, every, slice(0, 0)),
    ):
        values = xr.Variable(("y", "x", "n"), stacked.variable(("y", "x", "n"))._data)[key].values
        assert values.dtype == want, key
        assert values.shape == np.empty(stacked.shape)[key].shape
