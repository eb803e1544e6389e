"""Outer indexing: every kind of key against numpy, axis by axis; what a key says of itself."""

import numpy as np
import pytest

from neuroarrays.files import outer
from neuroarrays.testing import indexers
from neuroarrays.testing import outer as expected

SHAPES = [(5,), (4, 7), (3, 4, 5), (0, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_is_picked_and_what_is_said_of_it(shape, order):
    values = np.asarray(np.arange(np.prod(shape)).reshape(shape), ">i4", order=order)
    for key in indexers(shape):
        wanted, regular = expected(values, key), outer.normalise(key, shape)
        np.testing.assert_array_equal(outer.take(values, regular), wanted)
        copied = outer.copy(values, regular)
        np.testing.assert_array_equal(copied, wanted)
        assert copied.flags.c_contiguous
        assert copied.dtype == np.dtype("i4")
        assert not np.shares_memory(copied, values)
        assert outer.result_shape(regular, shape) == wanted.shape
        if outer.is_whole(regular, shape):
            np.testing.assert_array_equal(wanted, values)
    assert outer.is_whole(outer.normalise((), shape), shape)
    assert not outer.is_whole((slice(1, None), *outer.normalise((), shape[1:])), (6, *shape[1:]))


@pytest.mark.parametrize("n", [0, 1, 5, 8])
def test_spans_and_parts_put_together_what_is_asked_for(n):
    row = np.arange(n)
    for (key,) in indexers((n,)):
        (k,) = outer.normalise((key,), (n,))
        low, high, rest = outer.span(k)
        np.testing.assert_array_equal(row[low:high][rest], row[k])
        assert high == (np.max(row[k]) + 1 if np.size(row[k]) else low)
        out = np.full(outer.length(k, n), -1)
        for number, take, put in outer.parts(k, n, 2):
            out[put] = row[2 * number : 2 * number + 2][take]
        np.testing.assert_array_equal(out, np.atleast_1d(row[k]))
        np.testing.assert_array_equal(outer.positions(k), np.atleast_1d(row[k]))


@pytest.mark.parametrize("shape", SHAPES)
def test_reads_in_blocks_ask_for_slices_only(shape):
    values = np.arange(np.prod(shape)).reshape(shape)

    def fetch(asked):
        assert not any(isinstance(k, np.ndarray) for k in asked)
        return values[asked]

    for key in indexers(shape):
        read = outer.read_outer(fetch, shape, values.dtype, (2,) * len(shape), key)
        np.testing.assert_array_equal(read, expected(values, key))


def test_positions_far_apart_are_groups_of_their_own():
    picked = np.array([40, 3, 41, 3, 90])
    found = [(low, high, picked[at].tolist()) for low, high, at in outer.groups(picked, 50, 8)]
    assert found == [(3, 3, [3, 3]), (40, 41, [40, 41]), (90, 90, [90])]


def test_arrays_are_taken_of_a_map_without_copying_all_of_it(monkeypatch):
    values = np.asfortranarray(np.arange(12).reshape(3, 4))
    monkeypatch.setattr(np, "take", None)  # it would copy what is not in C order
    picked = outer.take(values, (slice(0, 3), np.array([2, 0])))
    np.testing.assert_array_equal(picked, values[:, [2, 0]])
