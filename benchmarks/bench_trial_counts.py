"""Trial-aligned counts of 800 units: our kernel against numpy searchsorted, unit by unit."""

import argparse
import time

import numpy as np

from neuroarrays.kernels import counts, grid

N_BINS, WIDTH = 13, 0.02


def make(n_units, n_spikes, duration, seed=0):
    """Draw sorted spike times on a 30 kHz clock, with rates as uneven as those of neurons."""
    rng = np.random.default_rng(seed)
    share = rng.lognormal(0, 0.7, n_units)
    sizes = (n_spikes * share / share.sum()).astype(int)
    last = np.cumsum(sizes)
    ticks = [np.sort(rng.integers(0, int(duration * 30_000), size)) for size in sizes]
    return np.concatenate(ticks) / 30_000, last - sizes, last


def best(function, repeats):
    """Result of a function, its least CPU time and its least wall time."""
    cpu, wall = [], []
    for _ in range(repeats):
        before, started = time.process_time(), time.perf_counter()
        result = function()
        cpu.append(time.process_time() - before)
        wall.append(time.perf_counter() - started)
    return result, min(cpu), min(wall)


def peer(times, first, last, edges):
    """Count by two searches per unit, written the way numpy likes best."""
    out = np.empty((len(edges), len(first), edges.shape[1] - 1), np.uint8)
    for u in range(len(first)):
        spikes = times[first[u] : last[u]]
        out[:, u] = np.searchsorted(spikes, edges[:, 1:]) - np.searchsorted(spikes, edges[:, :-1])
    return out


def peer_units_last(times, first, last, edges):
    """Count with the choices of AllenSDK: uint16, units innermost, flat views, closed bins.

    A spike on an edge is then in two bins, so its counts are not quite ours.
    """
    out = np.zeros((len(edges), edges.shape[1] - 1, len(first)), np.uint16)
    opens, closes = edges[:, :-1], edges[:, 1:]
    for u in range(len(first)):
        spikes = times[first[u] : last[u]].copy()
        before = np.searchsorted(spikes, opens.flat)
        out[..., u].flat = np.searchsorted(spikes, closes.flat, side="right") - before
    return out


def main(argv=None):
    """Print CPU and wall times of both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="seconds instead of a minute")
    small = parser.parse_args(argv).small
    n_units, n_spikes, n_trials = (40, 400_000, 600) if small else (800, 44_000_000, 5_900)
    duration = 900.0 if small else 9_000.0
    times, first, last = make(n_units, n_spikes, duration)
    each = n_trials // 4
    layouts = {
        # Natural scenes in the Allen recordings come in blocks, back to back, 0.2502 s each.
        "in 4 blocks, back to back": np.concatenate(
            [duration * part / 4.5 + 10 + 0.25021 * np.arange(each) for part in range(1, 5)]
        ),
        "spread over the session": np.arange(4 * each) * (duration - 2) / (4 * each),
    }
    spikes = (times, first, last)
    print(f"{n_units} units, {len(times):,} spikes, {4 * each:,} presentations x {N_BINS} bins")
    print("best of 5; the two-thread wall time suffers most from other work on the machine")
    for name, origins in layouts.items():
        edges = grid.bin_edges(origins, N_BINS, WIDTH)
        limits = np.full(len(origins), np.inf)
        args = (*spikes, origins, limits, N_BINS, WIDTH, np.uint8)
        counts.count_trials(*args, threads=2)  # compiles
        theirs, peer_cpu, _ = best(lambda edges=edges: peer(*spikes, edges), 2)
        _, allen_cpu, _ = best(lambda edges=edges: peer_units_last(*spikes, edges), 2)
        ours, one_cpu, one_wall = best(lambda args=args: counts.count_trials(*args), 5)
        two, _, two_wall = best(lambda args=args: counts.count_trials(*args, threads=2), 9)
        assert np.array_equal(ours, theirs)
        assert np.array_equal(two, theirs)
        print(
            f"\npresentations {name}: {int(ours.sum(dtype=np.int64)):,} spikes counted, all equal"
        )
        print(f"  count_trials                    {one_cpu:8.3f} s CPU")
        print(
            f"  numpy searchsorted, plain       {peer_cpu:8.3f} s CPU   {peer_cpu / one_cpu:6.1f} x"
        )
        print(
            f"  numpy searchsorted, as AllenSDK {allen_cpu:8.3f} s CPU   {allen_cpu / one_cpu:6.1f} x"
        )
        print(
            f"  wall, one thread                {one_wall:8.3f} s, two {two_wall:.3f} s   "
            f"{one_wall / two_wall:6.2f} x"
        )


if __name__ == "__main__":
    main()
