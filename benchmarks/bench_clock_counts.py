"""Counts of 800 units on one continuous clock: our kernel against pynapple, time and exactness."""

import argparse
import time

import numpy as np
import pynapple as nap

from neuroarrays.kernels import counts, grid

WIDTH, TICKS = 0.02, 30_000


def best(function, repeats):
    """Least CPU and least wall time of a function."""
    cpu, wall = [], []
    for _ in range(repeats):
        before, started = time.process_time(), time.perf_counter()
        function()
        cpu.append(time.process_time() - before)
        wall.append(time.perf_counter() - started)
    return min(cpu), min(wall)


def speed(n_units, duration, rate=5):
    """Print the CPU time of pynapple and of ours for the same spikes and the same type."""
    rng = np.random.default_rng(0)
    size = int(duration * rate)
    units = [np.sort(rng.integers(0, int(duration * TICKS), size)) / TICKS for _ in range(n_units)]
    last = np.cumsum([size] * n_units)
    times, first = np.concatenate(units), last - size
    n_bins = grid.bins_to_cover(duration, WIDTH)
    support = nap.IntervalSet(0, duration)
    group = nap.TsGroup({u: nap.Ts(t) for u, t in enumerate(units)}, time_support=support)
    print(f"{n_units} units, {len(times):,} spikes, {n_bins:,} bins; CPU seconds, ours best of 3")
    # First what each does when nothing is asked for, then the same type for both.
    for peer_type, dtype in ((np.int64, np.uint8), (np.uint16, np.uint16), (np.uint8, np.uint8)):
        args = (times, first, last, 0.0, n_bins, WIDTH, dtype)
        counts.count_clock(*args)  # compiles
        group[[0]].count(WIDTH, dtype=peer_type)  # pynapple compiles too
        started = time.process_time()
        theirs = group.count(WIDTH, dtype=peer_type)
        peer = time.process_time() - started
        same = np.array_equal(theirs.values, counts.count_clock(*args))
        del theirs
        cpu, wall = best(lambda args=args: counts.count_clock(*args), 3)
        _, two = best(lambda args=args: counts.count_clock(*args, threads=2), 9)
        names = np.dtype(peer_type).name, np.dtype(dtype).name
        print(
            f"  pynapple {names[0]:6} {peer:7.3f}   count_clock {names[1]:6} {cpu:6.3f}   "
            f"{peer / cpu:6.1f} x   same counts: {same}   two threads, wall: {wall / two:.2f} x"
        )


def exactness(n_bins, n_random):
    """Print how many bins each gets wrong, by the integers of the sample clock."""
    print(f"\nwrong bins of {n_bins:,} (one spike on every edge / {n_random:,} random ticks)")
    rng = np.random.default_rng(1)
    ticks = (600 * np.arange(n_bins), np.sort(rng.integers(0, 600 * n_bins, n_random)))
    for origin, shift in ((0.0, 0), (12.3456, 0), (1000.0002, 0), (12.3456, 370_368)):
        # `shift`: a clock that counts from zero and is cut at 12.3456 s. Its stamps are rounded
        # otherwise than our edges `origin + k / rate`; pynapple rounds both to nanoseconds.
        wrong = []
        for tick in ticks:
            stamps = (tick + shift) / TICKS + (0 if shift else origin)
            truth = np.bincount(tick // 600, minlength=n_bins)
            support = nap.IntervalSet(origin, origin + n_bins / 50)
            theirs = nap.Ts(stamps).count(WIDTH, ep=support, dtype=np.int64).values[:n_bins]
            span = (np.array([0]), np.array([len(stamps)]))
            ours = counts.count_clock(stamps, *span, origin, n_bins, WIDTH, np.uint16)[:, 0]
            wrong.append((int((theirs != truth).sum()), int((ours != truth).sum())))
        stamp = "tick / 30000" if shift else f"{origin} + tick / 30000"
        (a, b), (c, d) = wrong
        print(
            f"  origin {origin:9}, stamps {stamp:24}  pynapple {a:,} / {c:,}   ours {b:,} / {d:,}"
        )


def main(argv=None):
    """Print a table of times and a table of wrong bins."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="seconds instead of a minute")
    small = parser.parse_args(argv).small
    speed(*((50, 300.0) if small else (800, 9_000.0)))
    exactness(*((20_000, 50_000) if small else (450_000, 2_000_000)))


if __name__ == "__main__":
    main()
