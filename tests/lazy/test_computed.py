"""Arrays that a function computes, and clocks that divide."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from neuroarrays.lazy.computed import (
    Computed,
    Elementwise,
    Movie,
    OfVariable,
    RegularClock,
    as_dtype,
    missing,
)
from neuroarrays.lazy.views import InMemory
from neuroarrays.testing import indexers, outer, same_values


def product(rows, columns, factor):
    return rows[:, None] * columns * factor


def moved(values, factors, offset):
    return values * factors + offset


@pytest.mark.parametrize("shape", [(3, 4), (0, 2), (2, 0)])
def test_what_a_function_computes_from_positions(shape):
    array = Computed(product, shape, np.dtype("i8"), (10,))
    values = np.arange(shape[0])[:, None] * np.arange(shape[1]) * 10
    for key in indexers(shape):
        found = array.variable(("a", "b"))[key].values
        assert same_values(found, outer(values, key)), key
        assert isinstance(found, np.ndarray), key
    assert same_values(pickle.loads(pickle.dumps(array)).load(), values)


@pytest.mark.parametrize("shape", [(3, 4), (0, 2), ()])
def test_what_a_file_does_not_have_is_nan(shape):
    values = np.full(shape, np.nan, "f4")
    for key in indexers(shape):
        found = missing(shape).variable(["a", "b"][: len(shape)])[key].values
        assert same_values(found, outer(values, key)), key
        assert found.dtype == values.dtype


@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (2, 3, 4)])
def test_what_a_function_computes_value_by_value(shape):
    base = np.arange(np.prod(shape), dtype="i2").reshape(shape)
    factors = np.array([1.0, 2.0, 0.5, -1.0])
    array = Elementwise(moved, (InMemory(base), InMemory(factors)), np.dtype("f4"), (3.0,))
    values = (base * factors + 3).astype("f4")
    variable = array.variable([f"d{i}" for i in range(len(shape))])
    for key in indexers(shape):
        found = variable[key].values
        assert same_values(found, outer(values, key)), key
        assert found.dtype == np.dtype("f4"), key
    assert same_values(pickle.loads(pickle.dumps(array)).load(), values)


@pytest.mark.parametrize("chunks", [None, 2])
def test_a_variable_of_another_kind(chunks):
    values = np.arange(12.0).reshape(3, 4)
    variable = xr.Variable(("a", "b"), values)
    array = OfVariable(variable if chunks is None else variable.chunk(chunks))
    for key in indexers(values.shape):
        assert same_values(array.variable(("a", "b"))[key].values, outer(values, key)), key


def test_an_array_of_the_dtype_that_is_asked_for_stays():
    array = InMemory(np.arange(3.0))
    assert as_dtype(array, np.dtype("f8")) is array
    assert as_dtype(array, np.dtype("i2")).load().dtype == "i2"


@dataclass(frozen=True)
class Ramp:
    """Frames whose pixels say which frame it is."""

    shape: tuple
    dtype: np.dtype

    def frames_at(self, picked):
        for rows in np.array_split(np.arange(picked.size), 2):
            yield rows, np.broadcast_to(picked[rows, None, None], (rows.size, 2, 3))


def test_a_movie_has_the_frames_that_its_maker_makes():
    values = np.broadcast_to(np.arange(5, dtype="i4")[:, None, None], (5, 2, 3))
    movie = Movie(Ramp((5, 2, 3), np.dtype("i4")))
    assert movie.dtype == "i4"
    for key in indexers((5, 2, 3)):
        found = movie.variable(("time", "y", "x"))[key].values
        assert same_values(found, outer(values, key)), key


# -------------------------------------------------------------------------------------- clocks


@given(
    st.integers(0, 10**6), st.sampled_from([1.0, 3.0, 30.0, 30_000.0, 1e3 / 7]), st.integers(1, 9)
)
def test_a_clock_that_begins_later_is_the_same_clock(first, rate, length):
    """Sample 7 of a recording that begins at sample 3 is sample 10 of the whole, to the bit."""
    whole = np.arange(first, first + length) / rate
    clock = RegularClock(first / rate, rate, length)
    assert clock.load().tolist() == whole.tolist()
    assert clock.outer((np.array([length - 1]),)).tolist() == [whole[-1]]
    assert clock.outer((0,)) == whole[0]
    assert RegularClock(0.0, rate, first + length).outer((first,)) == whole[0]


def test_a_clock_that_begins_between_samples():
    clock = RegularClock(0.26, 10.0, 4)
    assert clock.load().tolist() == [0.26 + k / 10 for k in range(4)]
    assert RegularClock(-0.25, 4.0, 3).load().tolist() == [-0.25, 0, 0.25]
    assert clock.dtype == "f8"
    assert RegularClock(0.20001, 10.0, 2).load().tolist() == [0.20001, 0.20001 + 0.1]


@pytest.mark.parametrize("length", [0, 5])
def test_a_clock_under_any_index(length):
    clock = RegularClock(2.0, 4.0, length)
    values = 2 + np.arange(length) / 4
    for key in indexers((length,)):
        assert same_values(clock.variable(("time",))[key].values, outer(values, key)), key
