"""Counts as events and windows of sliced spikes, against numpy and the other counting kernel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("numba")
from neuroarrays.kernels import counts, events, grid


def back(dense, rows, dtype=None):
    sizes, places = events.compress(dense)
    first = np.concatenate([[0], np.cumsum(sizes)])
    out = np.full((len(rows), dense.shape[1]), 7, dtype or dense.dtype)
    return events.expand(first, places, np.asarray(rows, np.int64), out)


@given(
    hnp.arrays(
        np.uint8,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6),
        elements=st.sampled_from([0, 0, 0, 1, 2, 255]),
    ),
    st.data(),
)
def test_events_are_the_counts_in_any_order(dense, data):
    rows = data.draw(st.lists(st.integers(0, len(dense) - 1), max_size=8)) if len(dense) else []
    for dtype in (np.uint8, np.float32):
        np.testing.assert_array_equal(back(dense, rows, dtype), dense[np.array(rows, int)])


def test_rows_longer_than_two_bytes_can_name():
    dense = np.zeros((3, 2 * 65_536 + 5), np.uint16)
    dense[0, [0, 65_535, 65_536, 131_071, 131_072, -1]] = [1, 2, 3, 1, 300, 1]
    dense[2, 131_072] = 1
    np.testing.assert_array_equal(back(dense, [2, 1, 0, 2]), dense[[2, 1, 0, 2]])
    whole = dense[:, :65_536]  # as many as two bytes can name, and no stretch more
    assert events.compress(whole)[0].tolist() == [3, 0, 0]
    np.testing.assert_array_equal(back(whole, [2, 0]), whole[[2, 0]])


def test_what_is_not_there_is_refused():
    sizes, places = events.compress(np.ones((2, 3), np.uint8))
    first = np.concatenate([[0], np.cumsum(sizes)])
    for row in (-1, 2):
        with pytest.raises(IndexError, match="expected 0 to 1"):
            events.expand(first, places, np.array([row]), np.empty((1, 3), np.uint8))
    with pytest.raises(ValueError, match="expected 1 contiguous rows"):
        events.expand(first, places, np.array([0]), np.empty((2, 3), np.uint8))
    with pytest.raises(ValueError, match="contiguous"):
        events.expand(first, places, np.array([0]), np.empty((1, 6), np.uint8)[:, ::2])
    for dense in (np.ones((2, 3)), np.ones((2, 3), int), np.ones(3, np.uint8)):
        with pytest.raises(ValueError, match="unsigned"):
            events.compress(dense)


@pytest.mark.parametrize(
    ("times", "n_slices"),
    [
        (np.linspace(0, 1, 400), 65),  # 64 a second, and one for the last spike
        (np.linspace(0, 10, 40), 11),  # no more than a quarter of the spikes
        ([0.0, 1e9], 2),
        ([5.0, 5.0], 1),
        ([], 1),
    ],
)
def test_slices_are_few_where_spikes_are_rare(times, n_slices):
    slices = events.slice_by_time(times, [0], [len(times)])
    assert slices.bounds.size == n_slices + 1
    assert slices.bounds[0] == 0
    assert slices.bounds[-1] == len(times)
    assert slices.units.dtype == np.uint16


@given(
    st.lists(
        st.lists(
            st.sampled_from([0.0, 0.02, 0.05, 1.0, 2.5, 7.0, np.nan]) | st.floats(-3, 9),
            max_size=12,
        ),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.sampled_from([-5.0, 0.0, 0.02, 0.5, 6.98, 20.0]) | st.floats(-4, 10), max_size=5),
    st.sampled_from([0.02, 0.05, 0.3]),
    st.sampled_from([0.5, 64.0]),
)
def test_windows_are_counted_as_trials_are(trains, starts, width, per_second):
    last = np.cumsum([len(t) for t in trains])
    first = last - [len(t) for t in trains]
    times = np.concatenate([np.asarray(t, float) for t in trains])
    ordered = np.concatenate([np.sort(np.asarray(t, float)) for t in trains])
    slices = events.slice_by_time(times, first, last, per_second)
    assert slices.times.size == np.isfinite(times).sum()
    found = np.full((len(starts), 4, len(trains)), 9, np.uint8)
    events.count_windows(slices, np.asarray(starts, float), width, found)
    limits = np.full(len(starts), np.inf)
    want = counts.count_trials(
        ordered, first, last, np.asarray(starts, float), limits, 4, width, "u1"
    )
    np.testing.assert_array_equal(found, want.transpose(0, 2, 1))


@pytest.mark.parametrize("width", [0.1, 0.3, 1 / 30])
def test_spikes_beside_every_edge_are_counted_where_edges_say(width):
    starts = np.array([0.0, 0.7])
    edges = grid.bin_edges(starts, 40, width)
    times = np.unique([np.nextafter(edges, -1), edges, np.nextafter(edges, 99)])
    counted = np.empty((2, 40, 1), np.uint8)
    slices = events.slice_by_time(times, np.array([0]), np.array([times.size]))
    events.count_windows(slices, starts, width, counted)
    for row, of_window in zip(edges, counted[:, :, 0], strict=True):
        np.testing.assert_array_equal(of_window, np.diff(np.searchsorted(times, row)))


def test_windows_without_spikes_and_with_too_many():
    nothing = events.slice_by_time(np.empty(0), np.zeros(2, int), np.zeros(2, int))
    out = np.ones((2, 3, 2), np.uint8)
    assert not events.count_windows(nothing, np.array([0.0, 5.0]), 0.1, out).any()
    many = events.slice_by_time(np.full(300, 1.01), np.array([0]), np.array([300]))
    with pytest.raises(OverflowError, match="more than 255"):
        events.count_windows(many, np.array([1.0]), 0.1, np.empty((1, 3, 1), np.uint8))
    with pytest.raises(ValueError, match="finite"):
        events.count_windows(many, np.array([np.nan]), 0.1, np.empty((1, 3, 1), np.uint8))
    with pytest.raises(ValueError, match="room for 2 units, spikes of 1"):
        events.count_windows(many, np.array([1.0]), 0.1, np.empty((1, 3, 2), np.uint8))
