"""Views against numpy, under every kind of index."""

import pickle

import numpy as np
import pytest
import xarray as xr

from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import averaged
from neuroarrays.lazy.views import (
    Arranged,
    Blocks,
    ByRow,
    Folded,
    InMemory,
    Joined,
    Segments,
    Stacked,
    Taken,
    side_by_side,
    sliced,
    transposed,
)
from neuroarrays.testing import outer, same_values

#: Draws of each view.
TIMES = 60


class Draw:
    """Random choices, the same every time for one seed."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def number(self, low, high):
        """From low to high, both included."""
        return int(self.random.integers(low, high + 1))

    def one_of(self, options):
        return options[self.number(0, len(options) - 1)]

    def slice(self, n):
        """Half of them have most of the axis: of two random ends there is mostly nothing between."""
        step = self.one_of([None, 1, 2, 3, -1, -2])
        if self.number(0, 1):
            ends = slice(self.one_of([None, 0, 1]), self.one_of([None, -1, n]), step)
            return ends if (step or 1) > 0 else slice(ends.stop, ends.start, step)
        ends = [None, *range(-n, n + 2)]  # xarray takes others from the front
        return slice(self.one_of(ends), self.one_of(ends), step)

    def places(self, n, most=5, lowest=0):
        return self.random.integers(
            lowest, n, self.one_of([0, *range(1, most + 1), most]) if n else 0
        )

    def entry(self, n):
        """What may index one axis."""
        kind = self.number(0, 4 if n else 3)
        if kind < 2:
            return self.slice(n)
        return self.places(n, 4, -n) if kind < 4 else self.one_of(range(-n, n))


def a_place(draw, values):
    axis = draw.one_of(np.flatnonzero(values.shape).tolist())
    place = draw.number(0, values.shape[axis] - 1)
    return Taken(InMemory(values), place, axis), values.take(place, axis)


def a_range(draw, values):
    axis = draw.number(0, 2)
    taken = range(values.shape[axis])[draw.slice(values.shape[axis])]
    return Taken(InMemory(values), taken, axis), values.take(np.array(taken, int), axis)


def some_places(draw, values):
    axis = draw.number(0, 2)
    taken = draw.places(values.shape[axis])
    return Taken(InMemory(values), taken, axis), values.take(taken, axis)


def a_table_of_places(draw, values):
    axis = draw.number(0, 2)
    taken = draw.places(values.shape[axis], 4)
    taken = taken[: taken.size // 2 * 2].reshape(2, -1)
    return Taken(InMemory(values), taken, axis), values.take(taken, axis)


def places_with_gaps(draw, values):
    axis = draw.number(0, 2)
    taken = draw.places(values.shape[axis], 3)
    taken = np.insert(taken, draw.number(0, taken.size), -1)
    shape = (*values.shape[:axis], 1, *values.shape[axis + 1 :])
    padded = np.concatenate([values, np.full(shape, np.nan, "f4")], axis)
    return Taken(InMemory(values), taken, axis), padded.take(taken, axis)


def places_of_a_line(draw, values):
    line = values.ravel()
    taken = draw.places(line.size)
    return Taken(InMemory(line), taken), line[taken]


def slice_of_a_slice(draw, values):
    axis = draw.number(0, 2)
    one = draw.slice(values.shape[axis])
    lead = (slice(None),) * axis
    view, values = sliced(InMemory(values), one, axis), values[(*lead, one)]
    two = draw.slice(values.shape[axis])
    view = sliced(view, two, axis)
    assert isinstance(view.base, InMemory)
    return view, values[(*lead, two)]


def other_order(draw, values):
    axes = draw.random.permutation(3).tolist()
    return Arranged(InMemory(values), tuple(axes)), values.transpose(axes)


def new_axis(draw, values):
    axes = (draw.random.permutation(4) - 1).tolist()
    new = axes.index(Arranged.NEW)
    view = Arranged(InMemory(values), tuple(axes))
    return view, np.expand_dims(values.transpose([a for a in axes if a >= 0]), new)


def reversed_axes(draw, values):
    return transposed(InMemory(values)), values.T


def folded(draw, values):
    return Folded(InMemory(values)), values.reshape(np.prod(values.shape[:2]), values.shape[2])


def blocks(draw, values):
    line = values.reshape(np.prod(values.shape[:2]), values.shape[2])
    length = draw.number(1, 4)
    whole = len(line) // length
    return Blocks(InMemory(line), length), line[: whole * length].reshape(
        whole, length, values.shape[2]
    )


def stretches(draw, values):
    line = draw.one_of([values.ravel(), values])
    ends = [sorted(draw.random.integers(0, len(line) + 1, 2).tolist()) for _ in range(3)]
    ends = ends[: draw.number(0, 3)]
    begins = np.array([low for low, _ in ends], np.int64)
    sizes = np.array([high - low for low, high in ends], np.int64)
    parts = [line[low:high] for low, high in ends]
    return Segments(InMemory(line), begins, sizes), np.concatenate([line[:0], *parts])


def mean_of_trials(draw, values):
    trials = np.ones((1, *values.shape[1:])) if not values.shape[0] else values.astype("f8")
    return averaged(InMemory(trials)), trials.mean(axis=0)


def stacked_in_front(draw, values):
    parts = (values, values + 1, values * 2, values - 1, values, values + 7)
    lead = draw.one_of([(6,), (2, 3), (1, 6), (3, 1, 2)])
    made = np.stack(parts).reshape(*lead, *values.shape)
    return Stacked(tuple(map(InMemory, parts)), lead), made


def stacked_behind(draw, values):
    parts = (values, values.astype("f4"), values * 2)
    return side_by_side([*map(InMemory, parts)]), np.stack(parts, axis=-1)


def stacked_scalars(draw, values):
    scalars = [np.asarray(value, values.dtype) for value in [*values.ravel().tolist(), 7]]
    return Stacked(tuple(map(InMemory, scalars)), (len(scalars),)), np.stack(scalars)


def by_row(draw, values):
    values = draw.one_of([values, values.ravel()])
    return ByRow(InMemory(values)), values


def joined(draw, values):
    axis = draw.number(0, 2)
    cut = draw.number(0, values.shape[axis])
    parts = [*np.split(values, [cut], axis), values.astype("i2")]
    return Joined(tuple(map(InMemory, parts)), axis), np.concatenate(parts, axis)


VIEWS = [
    a_place,
    a_range,
    some_places,
    a_table_of_places,
    places_with_gaps,
    places_of_a_line,
    slice_of_a_slice,
    other_order,
    new_axis,
    reversed_axes,
    folded,
    blocks,
    stretches,
    mean_of_trials,
    stacked_in_front,
    stacked_behind,
    stacked_scalars,
    by_row,
    joined,
]


def made(draw, view):
    """A view, and what numpy makes of the same values."""
    shape = [draw.one_of([0, 1, 2, 3, 4, 5, 6, 7]) for _ in range(3)]
    if view is a_place:
        shape[0] += 1
    dtype = draw.one_of(["f8", "f4", "i2", ">i4", "O"])
    return view(draw, np.arange(np.prod(shape), dtype=dtype).reshape(shape))


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_what_numpy_gives(view):
    for seed in range(TIMES):
        draw = Draw(seed)
        array, wanted = made(draw, view)
        assert array.shape == wanted.shape, seed
        assert array.dtype == wanted.dtype.newbyteorder("="), seed
        variable = array.variable([f"d{axis}" for axis in range(wanted.ndim)])
        for _ in range(2):  # an index, and one of what it left
            key = tuple(draw.entry(n) for n in wanted.shape)
            variable, wanted = variable[key], np.asarray(outer(wanted, key), array.dtype)
        assert not variable._in_memory, seed
        assert same_values(variable.values, wanted), (seed, key)
        assert variable.dtype == variable.values.dtype == array.dtype, seed


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_at_points(view):
    """xarray's vectorized index: one position of each axis for every point."""
    for seed in range(TIMES // 3):
        draw = Draw(seed)
        array, wanted = made(draw, view)
        count = 0 if 0 in wanted.shape else draw.number(0, 4)
        points = tuple(draw.random.integers(0, max(n, 1), count) for n in wanted.shape)
        variable = array.variable([f"d{axis}" for axis in range(wanted.ndim)])
        found = variable[tuple(xr.Variable("point", one) for one in points)]
        assert found.dims == ("point",), seed
        assert same_values(found.values, wanted[points].astype(array.dtype)), (seed, points)


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


def test_places_that_repeat_are_read_once():
    watched = Watched(np.arange(12.0).reshape(6, 2))
    assert Taken(watched, np.array([3, 3, 1])).load()[:, 0].tolist() == [6, 6, 2]
    assert rows_read(watched) == [[1, 3]]
    assert Taken(watched, np.array([5, 1]))._raw((np.array([0, 0]), 0)).tolist() == [10, 10]
    assert rows_read(watched) == [[5]]


def test_slices_of_two_axes():
    values = np.arange(12).reshape(4, 3)
    view = sliced(sliced(InMemory(values), slice(1, 4)), slice(0, 2), 1)
    assert view.load().tolist() == values[1:4, :2].tolist()


def test_all_places_of_blocks_in_another_order():
    view = Folded(InMemory(np.arange(6).reshape(2, 3, 1)))
    assert view._raw((np.array([5, 0, 1, 2, 3, 4]), 0)).tolist() == [5, 0, 1, 2, 3, 4]
    assert view._raw((np.array([0, 1, 1, 3, 4, 5]), 0)).tolist() == [0, 1, 1, 3, 4, 5]


def test_whole_blocks_are_one_read():
    watched = Watched(np.arange(24.0).reshape(4, 3, 2))
    assert same_values(Folded(watched).load(), np.arange(24.0).reshape(12, 2))
    assert same_values(Folded(watched)._raw((slice(3, 9), 1)), np.arange(7.0, 18, 2))
    assert rows_read(watched) == [[0, 1, 2, 3], [1, 2]]


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
    view = side_by_side([InMemory(np.arange(3)), InMemory(np.arange(3.0))])
    again = pickle.loads(pickle.dumps(view))
    assert again == view
    assert same_values(again.load(), view.load())
    assert repr(view) == "<Arranged float64 (3, 2), made where it is indexed>"
