"""Steps of clocks, and from where on there is a hole."""

import numpy as np
import pytest

from neuroarrays.kernels.steps import even_step, longest_step, usual_step

REGULAR = np.arange(100) / 50


@pytest.mark.parametrize(
    ("times", "step", "longest"),
    [
        (REGULAR, 0.02, 0.03),
        (np.delete(REGULAR, np.s_[30:50]), 0.02, 0.03),
        (np.concatenate([trial * 3 + np.arange(5) / 50 for trial in range(20)]), 0.02, 0.03),
        (REGULAR[::-1], 0.02, 0.03),
        (np.repeat(REGULAR, 2), 0.02, 0.03),
        (np.append(REGULAR, np.nan), 0.02, 0.03),
        (np.array([0, 1, 2, 3, 5, 6, 7.0]), 1.0, 1.5),
        (np.array([0.0]), np.nan, np.inf),
        (np.zeros(5), np.nan, np.inf),
        (np.empty(0), np.nan, np.inf),
    ],
)
def test_of_regular_clocks_with_holes(times, step, longest):
    np.testing.assert_allclose(usual_step(times), step)
    np.testing.assert_allclose(longest_step(times), longest)


def test_of_clocks_that_are_not_regular():
    times = np.cumsum(np.random.default_rng(0).exponential(0.1, 2000))
    assert longest_step(times) == 10 * usual_step(times)
    assert (np.diff(times) > longest_step(times)).mean() < 0.005


@pytest.mark.parametrize("rate", [700, 960, 960.5, 970])
def test_stamps_rounded_to_about_the_step_have_no_holes(rate):
    times = np.round(np.arange(1000) / rate, 3)
    assert np.diff(times).max() > 1.5 * usual_step(times)  # steps of one and of two units
    assert longest_step(times) == pytest.approx(0.01)


def test_late_stamps_in_float32_have_no_holes():
    times = (1e5 + np.arange(1000) / 100).astype(np.float32).astype(float)
    assert longest_step(times) > 2 * np.diff(times).max()


def test_lost_samples_of_a_regular_clock_are_holes():
    times = (np.arange(1000) / 50)[np.random.default_rng(0).random(1000) > 0.05]
    assert longest_step(times) == pytest.approx(0.03)


@pytest.mark.parametrize("n", [2, 100, (1 << 16) + 1, 200_000])
def test_an_even_clock_has_its_step(n):
    times = 1e4 + np.arange(n) / 2500
    times += np.random.default_rng(0).uniform(-1e-6, 1e-6, n)
    assert even_step(times) == pytest.approx(1 / 2500, rel=0.01)


@pytest.mark.parametrize("at", [1, 1 << 16, (1 << 16) + 1, 199_998])
@pytest.mark.parametrize("off", [np.nan, np.inf, 1.0, -1.0, 0.03 / 2500])
def test_one_stamp_off_is_noticed_wherever_it_is(at, off):
    times = np.arange(200_000) / 2500
    times[at] += off
    assert even_step(times) is None


@pytest.mark.parametrize("at", [1, 70_000, 199_999])
def test_a_lost_sample_makes_a_clock_uneven(at):
    whole = np.arange(200_001) / 2500
    assert even_step(whole) == pytest.approx(1 / 2500)
    assert even_step(np.delete(whole, at)) is None


@pytest.mark.parametrize("times", [[], [0.0], [1.0, 1.0], [1.0, 0.0], [0.0, np.nan]])
def test_no_even_step_of_too_few_or_backward_stamps(times):
    assert even_step(np.array(times)) is None
