"""Windows of raw spikes as tokens, against numpy one spike at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba")
from neuroarrays.kernels import events, tokens


def sliced(trains, per_second=4.0):
    last = np.cumsum([len(t) for t in trains])
    times = np.concatenate([np.asarray(t, float) for t in trains])
    return tokens.in_order(
        events.slice_by_time(times, last - [len(t) for t in trains], last, per_second)
    )


def written(spikes, starts, length, units, rooms=None, *, edges=True, masks=True):
    begin, end = tokens.find(spikes, starts, starts + length)
    needed = end - begin + 2 * len(units) * edges
    rooms = needed if rooms is None else np.full(len(starts), rooms)
    at = np.cumsum(rooms) - rooms
    total = int(rooms.sum())
    out = tokens.Tokens(
        np.full(total, 9, np.float32),
        np.full(total, 9, np.int32),
        np.full(total * edges, 9, np.int32),
        np.zeros(total * masks, bool),
    )
    tokens.write(spikes, (begin, end, starts, length), units, (at, rooms), out)
    return out


def by_hand(trains, starts, length, units, room, edges):
    """Rows (time, unit, kind, known) of each window, as one would write them."""
    rows = []
    for start in starts:
        row = [token for u in units for token in ((0, u, 1), (length, u, 2))] if edges else []
        pairs = [(t, i) for i, train in enumerate(trains) for t in train if np.isfinite(t)]
        row += [(t - start, units[i], 0) for t, i in sorted(pairs) if start <= t < start + length]
        rows += [(*token, True) for token in row] + [(0, 0, 0, False)] * (room - len(row))
    return rows


times = st.sampled_from([-1.0, 0.0, 0.5, 1.0, np.nextafter(1.0, 2), 2.5, np.nan]) | st.floats(-2, 4)


@given(
    st.lists(st.lists(times, max_size=8), min_size=1, max_size=3),
    st.lists(st.sampled_from([-3.0, 0.0, 0.5, 9.0]) | st.floats(-3, 5), max_size=4),
    st.sampled_from([0.5, 1.0]),
    st.booleans(),
)
def test_windows_are_their_spikes_in_order(trains, starts, length, edges):
    starts = np.asarray(starts, float)
    units = np.arange(len(trains))[::-1] + 5
    out = written(sliced(trains), starts, length, units, 40, edges=edges)
    want = by_hand(trains, starts, length, units.tolist(), 40, edges)
    kinds = out.kinds if edges else np.zeros(len(want))
    for i, found in enumerate((out.times, out.units, kinds, out.known)):
        np.testing.assert_array_equal(found, np.array([row[i] for row in want], found.dtype))


def test_many_spikes_of_one_slice_are_put_in_order():
    rng = np.random.default_rng(0)
    trains = [np.sort(rng.random(900)) for _ in range(3)]
    spikes = sliced(trains, 1.0)
    whole = np.concatenate(trains)
    order = np.argsort(whole, kind="stable")
    np.testing.assert_array_equal(spikes.times, whole[order])
    np.testing.assert_array_equal(spikes.units, np.repeat(np.arange(3), 900)[order])
    out = written(spikes, np.array([0.25]), 0.5, np.arange(3), edges=False, masks=False)
    assert (np.diff(out.times) >= 0).all()
    assert out.known.size == out.kinds.size == 0


def test_what_does_not_fit_is_refused():
    spikes = sliced([[0.1, 0.2, 0.3]])
    starts = np.zeros(1)
    with pytest.raises(ValueError, match="a window has 3 tokens, there is room for 2"):
        written(spikes, starts, 1.0, np.arange(1), 2, edges=False)
    with pytest.raises(ValueError, match="2 indices, spikes of 1 units"):
        written(spikes, starts, 1.0, np.arange(2))
    short = tokens.Tokens(*(np.zeros(2, kind) for kind in ("f4", "i4", "i4", "?")))
    windows = (np.array([0]), np.array([1]), starts, 1.0)
    with pytest.raises(ValueError, match="expected 5 places, got 2"):
        tokens.write(spikes, windows, np.arange(1), (np.array([2]), np.array([3])), short)
