"""Views against numpy, under every kind of index."""

import pickle

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.views import (
    Arranged,
    Averaged,
    Blocks,
    Folded,
    Held,
    Joined,
    Segments,
    Stacked,
    Taken,
    side_by_side,
    sliced,
    transposed,
)
from neuroarrays.testing import outer, same_values

#: Views of an array (a, b, c): what they are made with, and what numpy gives.
SHAPES = st.tuples(*[st.integers(0, 4)] * 3)


def places(n, most=5):
    """Any places of an axis."""
    some = st.integers(0, n - 1) if n else st.nothing()
    return st.lists(some, max_size=most if n else 0).map(lambda found: np.array(found, np.int64))


def ranges(n):
    return st.slices(n).map(lambda part: range(n)[part])


def a_place(draw, values):
    axis = draw(st.integers(0, 2).filter(lambda axis: values.shape[axis]))
    place = draw(st.integers(0, values.shape[axis] - 1))
    return Taken(Held(values), place, axis), values.take(place, axis)


def a_range(draw, values):
    axis = draw(st.integers(0, 2))
    taken = draw(ranges(values.shape[axis]))
    return Taken(Held(values), taken, axis), values.take(np.array(taken, int), axis)


def some_places(draw, values):
    axis = draw(st.integers(0, 2))
    taken = draw(places(values.shape[axis]))
    return Taken(Held(values), taken, axis), values.take(taken, axis)


def a_table_of_places(draw, values):
    axis = draw(st.integers(0, 2))
    taken = draw(places(values.shape[axis], 4))
    taken = taken[: taken.size // 2 * 2].reshape(2, -1)
    return Taken(Held(values), taken, axis), values.take(taken, axis)


def places_with_gaps(draw, values):
    axis = draw(st.integers(0, 2))
    taken = draw(places(values.shape[axis], 3))
    taken = np.insert(taken, draw(st.integers(0, taken.size)), -1)
    shape = (*values.shape[:axis], 1, *values.shape[axis + 1 :])
    padded = np.concatenate([values, np.full(shape, np.nan, "f4")], axis)
    return Taken(Held(values), taken, axis), padded.take(taken, axis)


def places_of_a_line(draw, values):
    line = values.ravel()
    taken = draw(places(line.size))
    return Taken(Held(line), taken), line[taken]


def slice_of_a_slice(draw, values):
    axis = draw(st.integers(0, 2))
    one = draw(st.slices(values.shape[axis]))
    lead = (slice(None),) * axis
    view, values = sliced(Held(values), one, axis), values[(*lead, one)]
    two = draw(st.slices(values.shape[axis]))
    view = sliced(view, two, axis)
    assert isinstance(view.base, Held)
    return view, values[(*lead, two)]


def other_order(draw, values):
    axes = draw(st.permutations([0, 1, 2]))
    return Arranged(Held(values), tuple(axes)), values.transpose(axes)


def new_axis(draw, values):
    axes = draw(st.permutations([0, 1, 2, Arranged.NEW]))
    new = axes.index(Arranged.NEW)
    view = Arranged(Held(values), tuple(axes))
    return view, np.expand_dims(values.transpose([a for a in axes if a >= 0]), new)


def reversed_axes(draw, values):
    return transposed(Held(values)), values.T


def folded(draw, values):
    return Folded(Held(values)), values.reshape(-1, values.shape[2])


def blocks(draw, values):
    line = values.reshape(-1, values.shape[2])
    length = draw(st.integers(1, 4))
    whole = len(line) // length
    return Blocks(Held(line), length), line[: whole * length].reshape(whole, length, -1)


def stretches(draw, values):
    line = values.ravel()
    ends = [sorted(draw(st.tuples(*[st.integers(0, line.size)] * 2))) for _ in range(3)]
    ends = ends[: draw(st.integers(0, 3))]
    begins = np.array([low for low, _ in ends], np.int64)
    sizes = np.array([high - low for low, high in ends], np.int64)
    parts = [line[low:high] for low, high in ends]
    return Segments(Held(line), begins, sizes), np.concatenate([line[:0], *parts])


def mean_of_trials(draw, values):
    trials = np.ones((1, *values.shape[1:])) if not values.shape[0] else values.astype("f8")
    return Averaged(Held(trials)), trials.mean(axis=0)


def stacked_in_front(draw, values):
    parts = (values, values + 1, values * 2, values - 1, values, values + 7)
    lead = draw(st.sampled_from([(6,), (2, 3), (1, 6), (3, 1, 2)]))
    made = np.stack(parts).reshape(*lead, *values.shape)
    return Stacked(tuple(map(Held, parts)), lead), made


def stacked_behind(draw, values):
    parts = (values, values.astype("f4"), values * 2)
    return side_by_side([*map(Held, parts)]), np.stack(parts, axis=-1)


def joined(draw, values):
    axis = draw(st.integers(0, 2))
    cut = draw(st.integers(0, values.shape[axis]))
    parts = [*np.split(values, [cut], axis), values.astype("i2")]
    return Joined(tuple(map(Held, parts)), axis), np.concatenate(parts, axis)


VIEWS = [
    a_place, a_range, some_places, a_table_of_places, places_with_gaps, places_of_a_line,
    slice_of_a_slice, other_order, new_axis, reversed_axes, folded, blocks, stretches,
    mean_of_trials, stacked_in_front, stacked_behind, joined,
]  # fmt: skip


def entries(n):
    """What may index one axis."""
    positions = st.lists(st.integers(-n, n - 1), max_size=4) if n else st.just([])
    kinds = [st.slices(n), positions.map(lambda found: np.array(found, np.int64))]
    return st.one_of(*kinds, *([st.integers(-n, n - 1)] if n else []))


def made(data, view):
    """A view, and what numpy makes of the same values."""
    shape = data.draw(SHAPES)
    if view is a_place:
        shape = (max(shape[0], 1), *shape[1:])
    dtype = data.draw(st.sampled_from(["f8", "f4", "i2", ">i4"]))
    values = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
    return view(data.draw, values)


@pytest.mark.parametrize("view", VIEWS)
@given(data=st.data())
def test_a_view_is_what_numpy_gives(view, data):
    array, wanted = made(data, view)
    wanted = wanted.astype(wanted.dtype.newbyteorder("="))
    assert array.shape == wanted.shape
    assert array.dtype == wanted.dtype
    variable = array.variable([f"d{axis}" for axis in range(wanted.ndim)])
    for _ in range(2):  # an index, and one of what it left
        key = tuple(data.draw(entries(n)) for n in wanted.shape)
        variable, wanted = variable[key], outer(wanted, key)
    assert not variable._in_memory
    assert same_values(variable.values, wanted)
    assert variable.dtype == wanted.dtype


@pytest.mark.parametrize("view", VIEWS)
@given(data=st.data())
def test_a_view_at_points(view, data):
    """xarray's vectorized index: one position of each axis for every point."""
    array, wanted = made(data, view)
    count = 0 if 0 in wanted.shape else data.draw(st.integers(0, 4))
    points = [
        np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=count, max_size=count)), int)
        if count
        else np.empty(0, int)
        for n in wanted.shape
    ]
    variable = array.variable([f"d{axis}" for axis in range(wanted.ndim)])
    found = variable[tuple(xr.Variable("point", one) for one in points)]
    assert found.dims == ("point",)
    assert same_values(found.values, wanted[tuple(points)].astype(array.dtype))


class Watched(LazyArray):
    """An array that notes what is read of it."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.keys = values, values.shape, values.dtype, []

    def outer(self, key):
        self.keys.append(key)
        return outer(self.values, key)


def rows_read(watched):
    """Positions along the first axis of each read."""
    rows = [np.arange(watched.shape[0])[key[0]] for key in watched.keys]
    watched.keys.clear()
    return [np.atleast_1d(one).tolist() for one in rows]


def test_a_row_that_is_asked_for_twice_is_read_once():
    watched = Watched(np.arange(12.0).reshape(6, 2))
    view = Taken(watched, np.array([[4, 0], [-1, 4]]))
    assert same_values(view.load()[:, :, 1], np.array([[9, 1], [np.nan, 9]]))
    assert rows_read(watched) == [[0, 4]]
    view._raw((1, slice(None), 0))
    assert rows_read(watched) == [[4]]
    view._raw((slice(None), np.array([0, 0])))
    assert rows_read(watched) == [[4]]
    assert np.isnan(view._raw((1, 0))).all()
    assert rows_read(watched) == [[]]


def test_what_follows_is_read_as_a_slice():
    watched = Watched(np.arange(12.0).reshape(6, 2))
    Taken(watched, np.array([2, 3, 4])).load()
    Folded(Blocks(watched, 2))._raw((slice(1, 4),))
    Segments(Watched(np.arange(4)), np.array([0]), np.array([1])).load()
    assert all(isinstance(key[0], slice) for key in watched.keys)
    assert rows_read(watched) == [[2, 3, 4], [1], [2, 3]]
    line = Watched(np.arange(9))
    Segments(line, np.array([0, 2, 6]), np.array([2, 3, 1])).load()
    assert rows_read(line) == [[0, 1, 2, 3, 4], [6]]


def test_arrays_that_nothing_is_asked_of_are_not_read():
    parts = [Watched(np.arange(n * 2.0).reshape(n, 2)) for n in (3, 0, 2)]
    Joined(tuple(parts))._raw((np.array([4, 3, 4]),))
    assert [rows_read(part) for part in parts] == [[], [], [[1, 0, 1]]]
    Joined(tuple(parts))._raw((0,))
    assert [rows_read(part) for part in parts] == [[[0]], [], []]
    rows = [Watched(np.arange(3.0)) for _ in range(4)]
    Stacked(tuple(rows), (2, 2))._raw((1, np.array([0, 0]), slice(1, 3)))
    assert [len(row.keys) for row in rows] == [0, 0, 2, 0]
    Stacked(tuple(rows), (2, 2))._raw((slice(0, 0),))
    assert [len(row.keys) for row in rows] == [0, 0, 2, 0]


def test_views_pickle_and_say_what_they_are_made_of():
    view = side_by_side([Held(np.arange(3)), Held(np.arange(3.0))])
    again = pickle.loads(pickle.dumps(view))
    assert again == view
    assert same_values(again.load(), view.load())
    assert repr(view) == "<Arranged float64 (3, 2), made where it is indexed>"
