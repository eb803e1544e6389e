"""Random numbers that are the same everywhere, and differ with each of their seeds."""

import numpy as np

from neuroarrays.kernels import seeding


def test_a_seed_gives_these_numbers_on_any_machine():
    # Written down once; they must never change.
    assert seeding.permutation(8, 0).tolist() == [0, 3, 7, 5, 1, 2, 6, 4]
    assert seeding.permutation(8, 1).tolist() == [2, 0, 1, 4, 5, 6, 7, 3]
    assert [int(x) for x in seeding.draws(2, 3, 4)] == [7153171956087655553, 2613060557524907879]
    assert seeding.draws(5, 3, 4)[:2].tolist() == seeding.draws(2, 3, 4).tolist()
    assert seeding.draws(2, 3).dtype == np.uint64
    assert seeding.permutation(2, 3).dtype == np.int64


def test_each_seed_makes_a_difference():
    seeds = [(0,), (1,), (-1,), (0, 0), (0, 1), (1, 0), (0, 1, 0), (2**63,)]
    first = {int(seeding.draws(1, *each)[0]) for each in seeds}
    assert len(first) == len(seeds)


def test_permutations_are_fair():
    first = np.array([seeding.permutation(10, seed)[0] for seed in range(2000)])
    counts = np.bincount(first, minlength=10)
    assert counts.min() > 140
    assert counts.max() < 260
