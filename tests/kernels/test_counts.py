"""Counting kernels against slow twins, integer truth and hostile input."""

import itertools
import math
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neuroarrays.kernels import counts, events, grid, loops, visits

TICKS = 30_000  # per second, of the clock that most probes run on
# The runs with bounds checking and without compilation ask for fewer.
EXAMPLES = int(os.environ.get("KERNEL_EXAMPLES", settings().max_examples))
prop = settings(max_examples=EXAMPLES, deadline=None)


def twin_trials(units, origins, limits, n_bins, width):
    """Count one spike and one bin at a time."""
    out = np.zeros((len(origins), len(units), n_bins), np.int64)
    for p, (origin, limit) in enumerate(zip(origins, limits, strict=True)):
        if not math.isfinite(origin) or math.isnan(limit):
            continue
        edges = [edge(origin, k, width) for k in range(n_bins + 1)]
        for u, spikes in enumerate(units):
            for t in spikes:
                for k in range(n_bins):
                    out[p, u, k] += bool(edges[k] <= t < edges[k + 1] and t < limit)
    return out


def twin_clock(units, origin, bins, width):
    out = np.zeros((len(bins), len(units)), np.int64)
    for row, k in enumerate(bins):
        low, high = edge(origin, k, width), edge(origin, k + 1, width)
        for u, spikes in enumerate(units):
            out[row, u] = sum(bool(low <= t < high) for t in spikes)
    return out


def edge(origin, k, width):
    rate = round(1 / width) if 1 / width < 1e300 else 0
    whole = rate > 0 and abs(1 / width - rate) <= 1e-9 * rate
    with np.errstate(over="ignore"):
        place = origin * rate if whole else origin / width
    if abs(place) <= 2**43:
        on_edge = abs(place - round(place)) <= max(1e-9, 4 * 2.0**-52 * abs(place))
        origin, k = (0.0, k + round(place)) if on_edge else (origin, k)
    return origin + (float(k) / rate if whole else float(k) * width)


def pack(units):
    last = np.cumsum([len(spikes) for spikes in units], dtype=np.int64)
    first = last - np.array([len(spikes) for spikes in units], dtype=np.int64)
    times = np.concatenate([np.asarray(s, np.float64) for s in units] or [np.empty(0)])
    return times, first, last


odd_times = st.sampled_from(
    [math.nan, math.inf, -math.inf, -1.0, -0.0, 1e308, -1e308, 5e-324, 0.02, 0.25]
)
ticks = st.integers(-300, 40_000).map(lambda tick: tick / TICKS)
edges_hit = st.integers(-3, 70).map(lambda k: k / 50)
spike = st.one_of(ticks, edges_hit, st.floats(-1, 2), odd_times)
unit = st.lists(spike, max_size=25).map(lambda spikes: np.sort(np.array(spikes, np.float64)))
units_of = st.lists(unit, max_size=4)
width_of = st.one_of(
    st.sampled_from([0.02, 0.001, 1 / 60, 1 / 3, 1.0, 7.5, 0.03, 1e-9, 1e-17, 1e17, 1e300, 5e-324]),
    st.floats(1e-4, 3),
)
origin_of = st.one_of(
    st.sampled_from([0.0, 12.3456, -0.5, 0.1]), ticks, st.floats(-1, 2), st.floats(-1e9, 1e9)
)
trial_of = st.tuples(
    st.one_of(origin_of, st.sampled_from([math.nan, math.inf, -math.inf])),
    st.one_of(st.just(math.inf), ticks, st.sampled_from([math.nan, -math.inf])),
)


@prop
@given(units_of, st.lists(trial_of, max_size=8), st.integers(0, 6), width_of)
@example([], [], 3, 0.02)
@example([np.empty(0)], [(0.0, math.inf)], 3, 0.02)
@example([np.array([5.0])], [(0.0, math.inf)] * 3, 3, 0.02)
@example([np.array([0.02, 0.04, 0.06])], [(0.02, math.inf), (0.0, 0.04)], 2, 0.02)
def test_trials_equal_twin(units, trials, n_bins, width):
    origins = np.array([o for o, _ in trials], np.float64)
    limits = np.array([limit for _, limit in trials], np.float64)
    args = (*pack(units), origins, limits, n_bins, width, np.uint16)
    with np.errstate(all="ignore"):
        got = counts.count_trials(*args)
        with mock.patch.object(counts, "_MANY", 0):
            two = counts.count_trials(*args, threads=2)
    assert got.dtype == np.uint16
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, twin_trials(units, origins, limits, n_bins, width))
    np.testing.assert_array_equal(two, got)


@prop
@given(units_of, origin_of, st.integers(0, 30), st.integers(0, 60), width_of)
@example([], 0.0, 0, 0, 0.02)
@example([np.array([0.02])], 0.0, 3, 0, 0.02)
def test_clock_equals_twin(units, origin, n_bins, start_bin, width):
    with np.errstate(all="ignore"):
        got = counts.count_clock(*pack(units), origin, n_bins, width, np.uint8, start_bin=start_bin)
    expected = twin_clock(units, origin, range(start_bin, start_bin + n_bins), width)
    np.testing.assert_array_equal(got, expected)


@prop
@given(units_of, origin_of, st.integers(0, 300), st.integers(0, 300), st.integers(1, 3))
def test_range_of_clock_is_slice_of_whole(units, origin, begin, n_bins, threads):
    spikes = pack(units)
    whole = counts.count_clock(*spikes, origin, 700, 0.02, np.uint8)
    with mock.patch.object(counts, "_MANY", 0):
        part = counts.count_clock(
            *spikes, origin, n_bins, 0.02, np.uint8, start_bin=begin, threads=threads
        )
    np.testing.assert_array_equal(part, whole[begin : begin + n_bins])


@prop
@given(st.lists(st.lists(spike, max_size=20), max_size=3), st.lists(trial_of, max_size=5))
def test_unsorted_times_harm_nobody(units, trials):
    spikes = pack(units)
    origins, limits = np.array(trials, np.float64).reshape(-1, 2).T
    counts.count_trials(*spikes, origins, limits, 4, 0.02, np.uint8)
    counts.count_clock(*spikes, 0.0, 60, 0.02, np.uint8)
    expected = [
        all(a <= b for a, b in itertools.pairwise(u)) and not any(map(math.isnan, u)) for u in units
    ]
    np.testing.assert_array_equal(counts.is_sorted(*spikes), expected)


@pytest.mark.parametrize("origin", [0.0, 12.3456, 0.1, 1000.0002, -3.5])
@pytest.mark.parametrize("threads", [1, 2])
def test_spikes_on_every_edge_by_integer_truth(origin, threads, monkeypatch):
    monkeypatch.setattr(counts, "_MANY", 0)
    # Samples lie at `n / 30000` where the clock starts on an edge of the session's (0, 0.1, -3.5),
    # else at `origin + n / 30000`. (Times stamped by other arithmetic may be one rounding away from
    # the edge that they mean; no rule of edges can know that.)
    n_bins = 3_000
    rng = np.random.default_rng(1)
    on_edges = 600 * np.arange(n_bins)
    anywhere = np.sort(rng.integers(-900, 600 * n_bins + 900, 20_000))
    before = on_edges - 1
    zero = round(origin * TICKS) if (origin * 50).is_integer() else None
    units = [
        origin + tick / TICKS if zero is None else (zero + tick) / TICKS
        for tick in (on_edges, anywhere, before)
    ]
    got = counts.count_clock(*pack(units), origin, n_bins, 0.02, np.uint8, threads=threads)
    for u, tick in enumerate([on_edges, anywhere, before]):
        k = tick // 600
        truth = np.bincount(k[(k >= 0) & (k < n_bins)], minlength=n_bins)
        np.testing.assert_array_equal(got[:, u], truth)


def test_trials_on_a_sample_clock_by_integer_truth(monkeypatch):
    monkeypatch.setattr(counts, "_MANY", 0)
    rng = np.random.default_rng(2)
    starts = rng.permutation(np.r_[np.arange(0, 300_000, 7_506), np.arange(0, 300_000, 5_000)])
    stops = starts + 7_500
    tick = np.sort(rng.integers(-1000, 310_000, 30_000))
    got = counts.count_trials(
        *pack([tick / TICKS]), starts / TICKS, stops / TICKS, 13, 0.02, np.uint8, threads=2
    )
    # On the session's grid the counts are the truth. Elsewhere edges are sums of floats: a spike may
    # differ only where it lies on one.
    for p in range(len(starts)):
        inside = tick[(tick >= starts[p]) & (tick < stops[p])]
        truth = np.bincount((inside - starts[p]) // 600, minlength=13)
        assert got[p, 0].sum() == len(inside)
        if starts[p] % 600 == 0:
            np.testing.assert_array_equal(got[p, 0], truth)
            continue
        edges = starts[p] / TICKS + np.arange(14) / 50
        exact = np.diff(np.searchsorted(inside / TICKS, edges))
        np.testing.assert_array_equal(got[p, 0], exact)
        assert np.abs(got[p, 0].astype(int) - truth).max() <= 1


widths = st.sampled_from([0.02, 0.001, 1 / 60, 0.05, 0.03, 0.25, 2.0])


@prop
@given(widths, st.integers(-(10**6), 10**9), st.integers(1, 40), st.data())
def test_a_window_on_the_grid_has_the_bins_of_the_session(width, first, n_bins, data):
    rate = round(1 / width) if width not in (0.03, 2.0) else 0
    start = first / rate if rate else first * width
    # As users get there: by arithmetic that is one rounding away.
    start += data.draw(st.sampled_from([-1, 0, 1])) * np.spacing(start)
    session = grid.bin_edges(0.0, n_bins, width, first)
    np.testing.assert_array_equal(grid.bin_edges(start, n_bins, width), session)
    middles = grid.bin_centres(0.0, n_bins, width, first)
    np.testing.assert_array_equal(grid.bin_centres(start, n_bins, width), middles)
    np.testing.assert_array_equal(
        grid.on_grid(start + np.diff(session)[0] / 2, width / 2), middles[0]
    )
    places = data.draw(st.lists(st.integers(0, n_bins), min_size=1, max_size=20))
    on_edges = np.sort(session[places])
    spikes = pack([np.sort(np.r_[on_edges, np.nextafter(on_edges, -np.inf)])])
    truth = counts.count_clock(*spikes, 0.0, n_bins, width, "u1", start_bin=first)
    np.testing.assert_array_equal(counts.count_clock(*spikes, start, n_bins, width, "u1"), truth)
    trial = counts.count_trials(*spikes, [start], [np.inf], n_bins, width, "u1")
    np.testing.assert_array_equal(trial[0].T, truth)
    window = np.empty((1, n_bins, 1), np.uint8)
    events.count_windows(events.slice_by_time(*spikes), [start], width, window)
    np.testing.assert_array_equal(window[0], truth)
    by_bin = visits.count_by_label(*spikes, start, width, np.arange(n_bins), n_bins)
    np.testing.assert_array_equal(by_bin, truth)


def test_off_the_grid_and_far_away_edges_count_from_the_start():
    for start in (0.0101, 12.3456, 1e300, np.nan, np.inf, -np.inf):
        assert np.isnan(grid.grid_numbers(start, 0.02))
    assert grid.grid_numbers([0.3, 1e9], 0.1).tolist() == [3, 1e10]
    assert grid.bins_to_cover(36_000.1 - 36_000.0, 0.001, 36_000.1) == 100


def test_a_width_in_decimals_has_the_rate_that_it_means():
    """A sixtieth to ten digits: after 1000 s its multiples would be 12 µs off."""
    width = 0.01666666667
    assert grid.bin_rate(width) == 60
    assert grid.bin_rate(width * (1 + 1e-9)) == 0
    assert grid.grid_numbers([1000.0, -1000.0], width).tolist() == [60_000, -60_000]
    assert grid.bins_to_cover(1000.0, width) == 60_000
    assert grid.bin_edges(1000.0, 1, width).tolist() == [1000.0, 60_001 / 60]
    times = 1000 + np.array([-1e-6, 0.0, 1 / 60 - 1e-6, 1 / 60])
    spikes = pack([times])
    assert counts.count_clock(*spikes, 1000.0, 2, width, "u1")[:, 0].tolist() == [2, 1]
    trials = counts.count_trials(*spikes, [1000.0], [np.inf], 2, width, "u1")
    assert trials[0, 0].tolist() == [2, 1]


def test_a_time_is_on_an_edge_up_to_four_roundings():
    times = 2.0**40 + np.arange(7) * 2.0**-12  # the very next numbers, in bins of 1 s
    known = np.isfinite(grid.grid_numbers(times, 1.0))
    assert known.tolist() == [True] * 5 + [False] * 2
    near = 1000 + np.array([0.9e-9, 1.1e-9, -0.9e-9, -1.1e-9])  # nearer to 0 up to 1e-9 bins
    assert np.isfinite(grid.grid_numbers(near, 1.0)).tolist() == [True, False, True, False]
    assert grid.grid_numbers(2.0**43, 1.0) == 2**43
    assert np.isnan(grid.grid_numbers(2.0**43 + 1, 1.0))
    # Rounding takes half a bin off at most, however large it is.
    assert grid.bins_to_cover(10.0, 1.0, 2.0**51) == 10
    assert grid.bins_to_cover(0.1, 1.0, 2.0**51) == 0
    assert grid.bins_to_cover(10.75, 1.0, 2.0**51) == 11


def test_times_off_the_grid_stay_where_they_are():
    near = np.nextafter(0.3, 0)
    times = np.array([[near, 0.3101], [np.nan, -0.1]])
    np.testing.assert_array_equal(grid.on_grid(times, 0.1), [[0.3, 0.3101], [np.nan, -0.1]])
    assert grid.from_zero(near, 0.1, 2) == (0.0, 5)
    assert grid.from_zero(0.3101, 0.1, 2) == (0.3101, 2)
    assert grid.from_zero(near, 0.1) == (0.0, 3)
    with pytest.raises(ValueError, match="n_bins"):
        grid.bin_edges(0.0, -1, 0.1)
    with pytest.raises(ValueError, match="n_bins"):
        grid.bin_centres(0.0, -1, 0.1)


instants = st.integers(0, 40).map(lambda k: k / 8) | st.floats(0, 5)


@given(st.lists(instants, max_size=20), instants | st.sampled_from([np.inf, -1.0]), st.data())
def test_a_search_in_doubling_steps_is_a_search(times, when, data):
    times = np.sort(np.array(times, float))
    begin = data.draw(st.integers(0, len(times)))
    end = data.draw(st.integers(begin, len(times)))
    assert loops.seek(times, begin, end, when) == begin + np.searchsorted(times[begin:end], when)


def test_long_presentations_that_overlap_are_counted_apart():
    """Each is a block of its own, and shares spikes with the one before."""
    n_bins = 70_000
    spikes = np.sort(np.random.default_rng(5).uniform(0, 110, 300))
    origins = np.array([30.0101, 0.0, 10.0303, 5.0])
    got = counts.count_trials(*pack([[], spikes]), origins, np.full(4, np.inf), n_bins, 0.001, "i8")
    assert not got[:, 0].any()
    for row, origin in zip(got[:, 1], origins, strict=True):
        edges = grid.bin_edges(origin, n_bins, 0.001)
        np.testing.assert_array_equal(row, np.diff(np.searchsorted(spikes, edges)))


def test_many_presentations_pass_over_blocks():
    rng = np.random.default_rng(3)
    units = [np.sort(rng.random(2_000) * 100) for _ in range(3)]
    origins = rng.random(5_000) * 100
    args = (*pack(units), origins, np.full(5_000, np.inf), 13, 0.02, np.uint8)
    got = counts.count_trials(*args)
    edges = origins[:, None] + np.arange(14) / 50
    for u, spikes in enumerate(units):
        np.testing.assert_array_equal(got[:, u], np.diff(np.searchsorted(spikes, edges)))
    with mock.patch.object(counts, "_MANY", 0):
        np.testing.assert_array_equal(counts.count_trials(*args, threads=2), got)


# For each type the kernels are compiled, which takes a second.
@pytest.mark.parametrize(
    "dtype",
    ["u1", "i1", "u2", "i8", *(pytest.param(t, marks=pytest.mark.slow) for t in ("i4", "u8"))],
)
def test_integer_types_and_given_output(dtype):
    spikes = pack([[0.0, 0.01, 0.03]])
    out = np.full((2, 1, 2), 7, dtype)
    got = counts.count_trials(
        *spikes, np.array([0.0, np.nan]), np.full(2, np.inf), 2, 0.02, dtype, out
    )
    assert got is out
    assert out.tolist() == [[[2, 1]], [[0, 0]]]
    out = np.full((2, 1), 7, dtype)
    assert counts.count_clock(*spikes, 0.0, 2, 0.02, dtype, out) is out
    assert out.tolist() == [[2], [1]]


def test_threads_are_started_for_many_spikes_and_counts(started, monkeypatch):
    spikes = pack([[0.0, 0.01, 0.03]])
    for least in (6, 5):
        monkeypatch.setattr(counts, "_MANY", least)
        assert counts.count_clock(*spikes, 0.0, 2, 0.02, "u1", threads=2).sum() == 3
        assert counts.count_trials(*spikes, np.zeros(1), np.ones(1), 2, 0.02, "u1").sum() == 3
    assert started == [2]
    counts.count_trials(*spikes, np.zeros(1), np.ones(1), 2, 0.02, "u1", threads=3)
    assert started == [2, 3]


@pytest.mark.parametrize("threads", [1, 2])
def test_overflow_names_the_largest_count(threads, monkeypatch):
    monkeypatch.setattr(counts, "_MANY", 0)
    full = pack([np.zeros(255), np.full(3, 0.5)])
    origins, limits = np.array([5.0, 0.0]), np.full(2, np.inf)
    args = (0.0, 100, 0.02, np.uint8)
    assert counts.count_clock(*full, *args, threads=threads).max() == 255
    over = pack([np.zeros(300), np.full(256, 0.5)])
    with pytest.raises(OverflowError, match="300 spikes, uint8 at most 255"):
        counts.count_clock(*over, *args, threads=threads)
    with pytest.raises(OverflowError, match="300 spikes, uint8 at most 255"):
        counts.count_trials(*over, origins, limits, 13, 0.02, np.uint8, threads=threads)
    assert counts.count_trials(*over, origins, limits, 13, 0.02, np.uint16).max() == 300


def test_refuses_what_does_not_fit():
    times, first, last = pack([[0.0, 1.0]])
    one = np.zeros(1)
    for bad_first, bad_last in [([-1], [2]), ([0], [3]), ([2], [1])]:
        with pytest.raises(ValueError, match="expected a part of 2 spikes for unit 0"):
            counts.count_clock(times, bad_first, bad_last, 0.0, 1, 0.02, "u1")
    for width in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="bin_width"):
            counts.count_clock(times, first, last, 0.0, 1, width, "u1")
    with pytest.raises(ValueError, match="origin"):
        counts.count_clock(times, first, last, math.nan, 1, 0.02, "u1")
    with pytest.raises(ValueError, match="n_bins"):
        counts.count_clock(times, first, last, 0.0, -1, 0.02, "u1")
    with pytest.raises(TypeError, match="integer"):
        counts.count_clock(times, first, last, 0.0, 1, 0.02, "f4")
    with pytest.raises(ValueError, match="out"):
        counts.count_clock(times, first, last, 0.0, 1, 0.02, "u1", np.zeros((2, 1), "u1"))
    with pytest.raises(ValueError, match="origins and limits"):
        counts.count_trials(times, first, last, one, np.zeros(2), 1, 0.02, "u1")
    with pytest.raises(ValueError, match="times, first and last"):
        counts.is_sorted(times, first, [])


def test_bin_rules():
    assert grid.bin_rate(0.02) == 50.0
    assert grid.bin_rate(1 / 60) == 60.0
    assert grid.bin_rate(0.03) == 0.0
    assert grid.bin_rate(2.0) == 0.0
    assert grid.bin_rate(5e-324) == 0.0
    covers = [(0.2502, 0.02, 13), (0.25, 0.02, 13), (0.26, 0.02, 13), (1.0, 0.02, 50)]
    covers += [(0.0, 0.02, 0), (-1.0, 0.02, 0), (0.1 + 0.2, 0.1, 3), (7.0, 3.0, 3), (0.09, 0.03, 3)]
    for duration, width, n_bins in covers:
        assert grid.bins_to_cover(duration, width) == n_bins
    with pytest.raises(ValueError, match="duration"):
        grid.bins_to_cover(math.nan, 0.02)
    np.testing.assert_array_equal(
        grid.bin_edges(12.3456, 100, 0.02), [12.3456 + k / 50 for k in range(101)]
    )
    np.testing.assert_array_equal(
        grid.bin_edges(1.0, 2, 0.03, 5), [1 + k * 0.03 for k in (5, 6, 7)]
    )
    np.testing.assert_array_equal(grid.bin_centres(0.0, 3, 0.5, 2), [1.25, 1.75, 2.25])


@prop
@given(st.integers(1, 2_000_000), st.integers(1, 20_000))
def test_whole_bins_never_get_an_extra_one(n_bins, rate):
    assert grid.bins_to_cover(n_bins / rate, 1 / rate) == n_bins


def run_kernel_tests(tmp_path, **variables):
    """Run the kernels' property tests in a fresh process with numba set up otherwise."""
    here = Path(__file__).resolve()
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), **variables}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += [str(here), str(here.with_name("test_resample.py"))]
    command += ["-k", "not subprocess and not integer_types and not blocks"]
    # Interpreted, numpy's scalars warn where compiled floats quietly become infinite.
    command += ["-W", "ignore::RuntimeWarning"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, cwd=here.parents[2], check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.slow
def test_subprocess_with_bounds_checks(tmp_path):
    run_kernel_tests(tmp_path, NUMBA_BOUNDSCHECK="1", KERNEL_EXAMPLES="60")


@pytest.mark.slow  # CI has a job of it
def test_subprocess_without_jit(tmp_path):
    run_kernel_tests(tmp_path, NUMBA_DISABLE_JIT="1", KERNEL_EXAMPLES="20")
