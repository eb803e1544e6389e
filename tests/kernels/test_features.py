"""Types of features from values alone: against slow twins, and on series drawn at random."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neuroarrays.kernels import features
from neuroarrays.kernels.features import classify

N = 3000
TURN = 2 * math.pi
seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
series = hnp.arrays(
    float,
    st.integers(0, 40),
    elements=st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0, 6.0, -1.0, np.nan, np.inf]),
)


def walk(rng, step=1.0, n=N):
    return np.cumsum(rng.normal(0, step, n))


def scaled(x, low, high):
    return low + (x - x.min()) / np.ptp(x) * (high - low)


# Twins


@given(series)
def test_the_summary_is_what_a_loop_over_samples_says(x):
    finite = [v for v in x if math.isfinite(v)]
    steps = [b - a for a, b in itertools.pairwise(x) if math.isfinite(a) and math.isfinite(b)]
    known, low, high, whole, rises, falls, same = features._summary(x)
    assert (known, low, high) == (
        len(finite),
        min(finite, default=math.inf),
        max(finite, default=-math.inf),
    )
    assert whole == all(v == int(v) for v in finite)
    assert (rises, falls, same) == (
        sum(d > 0 for d in steps),
        sum(d < 0 for d in steps),
        sum(d == 0 for d in steps),
    )


@given(series)
def test_levels_are_the_distinct_values_and_hops_pass_over_one(x):
    levels, tallies, hops = features._levels(x, 10)
    values, counts = np.unique(x[np.isfinite(x)], return_counts=True)
    np.testing.assert_array_equal(levels, values)
    np.testing.assert_array_equal(tallies, counts)
    place = {v: i for i, v in enumerate(values)}
    pairs = [
        (place[a], place[b])
        for a, b in itertools.pairwise(x)
        if math.isfinite(a) and math.isfinite(b)
    ]
    assert hops == sum(abs(a - b) > 1 for a, b in pairs)


def test_of_many_levels_there_is_one_more_than_asked_for():
    levels, _, hops = features._levels(np.arange(50.0)[::-1], 10)
    assert (levels.size, hops) == (11, 0)


def turns_slowly(x, low, period):
    steps = [b - a for a, b in itertools.pairwise(x) if np.isfinite(b - a)]
    short = [abs(d) for d in steps if abs(d) <= period / 2]
    usual = sum(d * d for d in short) / sum(short) if sum(short) else 0.0
    longest = min(period / 4, 3 * usual)
    jumps = [d for d in steps if abs(d) > period / 2]
    wraps = [d for d in jumps if abs(period - abs(d)) <= longest]
    arcs = [abs(period - abs(d)) if abs(d) > period / 2 else abs(d) for d in steps]
    moves = [a for a in arcs if a > 0]
    ends = [b for a, b in itertools.pairwise(x) if np.isfinite(b - a)]
    seen = {min(int((v - low) / period * 36), 35) for v in ends}
    ups, downs = sum(d < 0 for d in wraps), sum(d > 0 for d in wraps)
    return ups, downs, len(jumps), sum(arcs) / len(moves) if moves else 0.0, len(seen) / 36


@given(seeds, st.floats(0.01, 3.0))
def test_turns_are_what_a_loop_over_steps_says(rng, step):
    x = walk(rng, step, 200) % TURN
    x[rng.random(200) < 0.1] = np.nan
    got = features._turns(x, float(np.nanmin(x)), TURN)
    assert got == pytest.approx(turns_slowly(x, float(np.nanmin(x)), TURN))


@given(seeds)
def test_turns_of_steps_at_the_very_bounds(rng):
    x = rng.integers(0, 9, 60) * 45.0  # half turns and quarters among the steps
    x[rng.random(60) < 0.1] = np.nan
    low = float(np.nanmin(x))
    assert features._turns(x, low, 360.0) == pytest.approx(turns_slowly(x, low, 360.0))


# What is an angle


@given(
    seeds,
    st.sampled_from([(0, 6.2), (0, TURN), (-math.pi, math.pi), (0, 360), (-180, 180)]),
    st.sampled_from(["normal", "cauchy", "t"]),
)
def test_a_walk_is_no_angle_whatever_its_range(rng, ends, steps):
    draw = {"normal": rng.normal, "cauchy": rng.standard_cauchy}.get(
        steps, lambda size: rng.standard_t(2, size)
    )
    kind, _, period = classify(scaled(np.cumsum(draw(size=N)), *ends))
    assert (kind, period) == ("linear", None)


@given(seeds)
def test_a_walk_folded_back_at_its_ends_is_no_angle(rng):
    assert classify(np.abs((walk(rng, 20.0) + 360) % 1440 - 720) - 360)[0] == "linear"


@given(seeds, st.sampled_from([TURN, 360.0]))
def test_noise_over_a_full_turn_is_no_angle(rng, turn):
    assert classify(rng.uniform(0, turn, N))[0] == "linear"
    assert classify(np.repeat(rng.uniform(0, turn, N // 30), 30))[0] == "linear"
    assert classify(scaled((np.arange(N) // 300 % 2) * 10 + rng.normal(0, 0.1, N), 0, turn))[0] == (
        "linear"
    )


@given(seeds, st.floats(0.05, 0.6), st.sampled_from([TURN, 360.0]), st.floats(-1, 1))
def test_a_wrapped_walk_is_an_angle_from_wherever_it_starts(rng, step, turn, start):
    x = walk(rng, step)
    x *= max(1.0, 4 * TURN / np.ptp(x))  # some turns
    x = x / TURN * turn % turn + start * turn
    kind, score, period = classify(x)
    assert (kind, period) == ("circular", turn)
    assert 0.5 <= score <= 1
    gaps = np.where(rng.random(x.size) < 0.1, np.nan, x)
    assert classify(gaps)[::2] == ("circular", turn)


def test_whole_degrees_and_a_phase_that_only_advances_are_angles():
    rng = np.random.default_rng(0)
    assert classify(np.round(walk(rng, 10.0)).astype("i2") % 360)[0] == "circular"
    assert classify(np.cumsum(0.3 + rng.normal(0, 0.05, N)) % TURN)[0] == "circular"


def test_laps_are_an_angle_only_where_name_or_unit_say_so():
    laps = np.cumsum(np.abs(np.random.default_rng(0).normal(0, 5, N))) % 360
    assert classify(laps)[0] == "linear"
    assert classify(laps, (360.0,), angle=True)[::2] == ("circular", 360.0)


def test_a_name_needs_more_than_half_a_turn():
    x = scaled(walk(np.random.default_rng(0)), -2.6, 2.6)
    assert classify(x)[0] == "linear"
    assert classify(x, angle=True) == ("circular", 0.5, TURN)
    assert classify(x / 2, angle=True)[0] == "linear"


# What is discrete


@given(seeds, st.floats(0.2, 30))
def test_poisson_counts_are_counts(rng, mean):
    counts = rng.poisson(mean, N)
    if np.unique(counts).size > 2:
        assert classify(counts)[0] == "count"


@given(seeds, st.integers(3, 15), st.integers(1, 40))
def test_codes_are_categories(rng, kinds, length):
    codes = np.repeat(rng.permutation(np.arange(N // length) % kinds), length)
    if np.unique(codes).size == kinds and length * kinds < N / 10:
        assert classify(codes)[0] == "categorical"
        assert classify(codes * 0.25)[0] == "categorical"


@given(seeds)
def test_clocks_rise_in_equal_steps(rng):
    jitter = rng.normal(0, 0.001, N)
    assert classify(np.arange(N) / 30 + jitter)[0] == "timeline"
    assert classify(np.arange(N))[0] == "timeline"
    steps = np.ones(200)
    steps[[50, 100]] = 2.0
    assert classify(np.cumsum(steps) / 7)[1] == pytest.approx(
        197 / 199
    )  # of the share that is equal
    assert classify(np.cumsum(rng.gamma(1.0, size=N)))[0] == "linear"  # a distance that was run


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([], "unknown"),
        ([3.5], "unknown"),
        ([np.nan, np.nan, 2.0], "unknown"),
        ([np.inf, 1.0, 1.0], "unknown"),
        (np.zeros(100, "u1"), "unknown"),
        (np.array([False, False]), "binary"),
        ([0, 1], "binary"),
        ([1, np.nan, 2, 2], "binary"),
        (np.array([0, 255] * 20, "u1"), "binary"),
        ([0.0, 5.1] * 10, "binary"),
        ([0.1, 0.2], "timeline"),
        ([0.2, 0.1], "linear"),
        ([0, 0, 1, 1, 2, 4, 4], "count"),
        (np.repeat([-1, 0, 1, 0, 1, -1], 20), "categorical"),
        (np.repeat([2.0, 0.5, 1.0, 0.0, 0.5], 20), "categorical"),
        (np.tile([0, 1, 2, 3, 4, 5, 4, 3, 2, 1], 20), "linear"),  # a position in steps
        (np.tile([0, 1, 2, 3, 4, 5], 30), "categorical"),
    ],
)
def test_small_cases(values, kind):
    assert classify(np.asarray(values))[0] == kind


# The rule of levels, by hand at each of its bounds


@pytest.mark.parametrize(
    ("levels", "tallies", "hops", "steps", "verdict"),
    [
        # up and down from value to next value: hops over one are at most 1 in 20
        (range(5), [20] * 5, 0, (40, 40, 19, 99), ("linear", 1.0)),
        (range(5), [20] * 5, 4, (40, 40, 19, 99), ("linear", 0.95)),
        (range(5), [20] * 5, 5, (40, 40, 19, 99), ("categorical", 1.0)),
        # both ways: at least 1 in 10
        (range(5), [20] * 5, 0, (72, 8, 19, 99), ("linear", 1.0)),
        (range(5), [20] * 5, 0, (8, 72, 19, 99), ("linear", 1.0)),
        (range(5), [20] * 5, 0, (73, 7, 19, 99), ("categorical", 1.0)),
        # through five values at least, each of 1 in 100 samples
        (range(4), [25] * 4, 0, (40, 40, 19, 99), ("categorical", 1.0)),
        (range(5), [10, 10, 10, 10, 960], 0, (40, 40, 0, 80), ("linear", 1.0)),
        (range(5), [9, 10, 10, 10, 961], 0, (40, 40, 0, 80), ("categorical", 1.0)),
        # counts: the largest is a third as frequent as the one after the most frequent, or less
        (range(4), [60, 30, 9, 3], 9, (40, 40, 0, 80), ("count", 0.9)),
        (range(3), [40, 12, 4], 9, (40, 40, 0, 80), ("count", 2 / 3)),
        (range(3), [40, 11, 4], 9, (40, 40, 0, 80), ("categorical", 4 / 11)),
        (range(3), [3, 30, 3], 9, (40, 40, 0, 80), ("count", 0.9)),
        (range(3), [4, 30, 31], 9, (40, 40, 0, 80), ("categorical", 1.0)),
        # nor are they less than 0, nor with gaps of more than a third
        (range(-1, 3), [60, 30, 9, 3], 9, (40, 40, 0, 80), ("categorical", 0.1)),
        ([0, 1, 2, 5], [60, 30, 9, 3], 9, (40, 40, 0, 80), ("count", 0.9)),
        ([0, 1, 2, 6], [60, 30, 9, 3], 9, (40, 40, 0, 80), ("categorical", 0.1)),
        # a measure in whole numbers has five values at least
        (range(-1, 4), [60, 30, 9, 6, 3], 9, (40, 40, 0, 80), ("linear", 0.9)),
        ([-1, 0, 1, 2, 7], [60, 30, 9, 6, 3], 9, (40, 40, 0, 80), ("categorical", 0.1)),
        ([0, 0.5, 1, 1.5], [60, 30, 9, 3], 9, (40, 40, 0, 80), ("linear", 0.9)),
        # codes last: half way from what chance has (126 of 256 here) to always
        (range(3), [40, 20, 4], 9, (32, 33, 191, 256), ("count", 0.8)),
        (range(3), [40, 20, 4], 9, (32, 32, 192, 256), ("categorical", 1.0)),
        # of other than whole numbers, one in ten may occur but once
        (np.arange(10) / 2, [1, *[20] * 8, 30], 99, (90, 99, 0, 189), ("categorical", 0.9)),
        (np.arange(10) / 2, [1, 1, *[20] * 7, 30], 99, (90, 99, 0, 189), None),
        (range(10), [1, 1, *[20] * 7, 30], 99, (90, 99, 0, 189), ("categorical", 0.8)),
        # more than twenty are codes only if they are whole and last
        (np.arange(20) / 2, [20] * 20, 99, (200, 200, 0, 400), ("categorical", 1.0)),
        (np.arange(21) / 2, [20] * 21, 99, (200, 200, 0, 400), None),
        (range(21), [20] * 21, 99, (200, 200, 0, 400), None),
        (range(21), [20] * 21, 99, (20, 20, 360, 400), ("categorical", 1.0)),
        (np.arange(21) / 2, [20] * 21, 99, (20, 20, 360, 400), None),
    ],
)
def test_values_that_recur(levels, tallies, hops, steps, verdict):
    levels, tallies = np.array(levels, float), np.array(tallies)
    found = features._of_levels(levels, tallies, bool((levels % 1 == 0).all()), hops, steps)
    assert found == (verdict and (verdict[0], pytest.approx(verdict[1])))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.1, 0.2], ("timeline", 2 / 30)),
        (np.r_[0:19, 20, 21] / 7, ("timeline", 0.95 * 21 / 30)),
        (np.r_[0:18, 19, 20] / 7, ("linear", 20 / 30)),  # 18 of 19 steps are fewer than 95 %
        ([0, 0, 1, 1, 2, 4, 4], ("count", 7 / 30)),
        ([0.0, 5.5] + [0.0] * 8 + [5.5], ("binary", 11 / 30)),
        ([0.0] * 8 + [5.5] * 2, ("binary", 10 / 30)),
        ([0.0] * 7 + [5.5] * 2, ("linear", 9 / 30)),  # twice five samples at least
        ([0.0] * 9 + [5.5], ("linear", 10 / 30)),  # nor is once enough
        (np.round(np.sin(np.arange(600)) * 1000), ("linear", 0.5)),
    ],
)
def test_scores_by_hand(values, expected):
    kind, score, period = classify(np.asarray(values))
    assert (kind, score, period) == (expected[0], pytest.approx(expected[1]), None)


@pytest.mark.parametrize(("kinds", "expected"), [(256, "categorical"), (257, "linear")])
def test_so_many_codes_may_be_there(kinds, expected):
    codes = np.repeat(np.random.default_rng(0).permutation(kinds), 10) - 3
    assert classify(codes)[0] == expected


def test_steps_are_even_up_to_a_fifth_of_their_median():
    assert features._even(np.array([0, 5, 10, np.nan, 16])) == 1
    assert features._even(np.array([0, 5, np.inf, 10, 16.01])) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("length", "kind"), [(179.9, "linear"), (180, "circular"), (360.3, "circular"), (361, "linear")]
)
def test_an_angle_by_name_takes_half_a_turn_at_least_and_one_at_most(length, kind):
    x = np.linspace(0, length, 400)[np.random.default_rng(0).permutation(400)]
    assert classify(x, (360.0,), angle=True)[0] == kind


def test_what_DRIADA_calls_wrongly():
    rng = np.random.default_rng(0)
    still = np.where(rng.random(N) < 0.95, 0.0, rng.gamma(2.0, size=N))
    assert classify(still)[0] == "linear"  # a speed that is mostly zero
    assert classify(np.round(scaled(walk(rng), 0, 1), 1))[0] == "linear"
    assert classify(np.round(rng.normal(size=N), 1))[0] == "linear"


def test_sparse_counts_are_counts_though_they_mostly_go_from_0_to_1_and_back():
    for seed in range(200):
        counts = np.random.default_rng(seed).poisson(0.05, N)
        assert classify(counts)[0] == ("count" if np.unique(counts).size > 2 else "binary")


def test_ticks_of_a_wheel_that_also_turns_back_are_a_measure():
    rng = np.random.default_rng(0)
    assert classify(np.round(rng.normal(2, 2, N)))[0] == "linear"
    assert classify(rng.choice([-1, 0, 1], N, p=[0.1, 0.8, 0.1]))[0] == "categorical"


@given(seeds, st.sampled_from([0.3, 7.7, 1e-6, 1e6]), st.floats(-10, 10))
def test_the_unit_of_a_float_does_not_matter(rng, factor, offset):
    for x in (
        walk(rng),
        rng.gamma(2.0, size=N),
        np.repeat(rng.permutation(40) % 4, 20) + 0.5,
        np.arange(N) / 30,
    ):
        assert classify(x * factor + offset + 0.1234567)[0] == classify(x + 0.1234567)[0]


def test_few_samples_lower_the_score():
    x = np.random.default_rng(0).normal(size=60)
    assert classify(x)[1] == 1.0
    assert classify(x[:6])[1] == pytest.approx(0.2)
