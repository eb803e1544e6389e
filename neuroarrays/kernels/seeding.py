"""Random numbers that depend only on a seed: the same on all machines, without shared state.

They are the raw output of numpy's Philox, which numpy promises not to change; its `Generator.permutation`
has no such promise, so permutations are sorted here.
"""

import numpy as np


def draws(n: int, *seeds: int) -> np.ndarray:
    """Draw random numbers that depend only on the seeds and on their position.

    Parameters
    ----------
    n : int
        How many.
    *seeds : int
        A seed, and what else is to make a difference (an epoch, a rank).

    Returns
    -------
    (n,) uint64
        The first `n` numbers of the stream of these seeds, uniform from 0 to 2**64 - 1.
    """
    seed, *key = [seed & 0xFFFFFFFFFFFFFFFF for seed in seeds]
    stream = np.random.Philox(np.random.SeedSequence(seed, spawn_key=key))
    numbers: np.ndarray = stream.random_raw(n)
    return numbers


def permutation(n: int, *seeds: int) -> np.ndarray:
    """Return the numbers 0 to n - 1 in random order.

    Parameters
    ----------
    n : int
        How many.
    *seeds : int
        As for `draws`.

    Returns
    -------
    (n,) int64
        Each number once.
    """
    return np.argsort(draws(n, *seeds), kind="stable")
