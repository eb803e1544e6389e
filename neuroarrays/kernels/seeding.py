"""Random numbers that are a hash of a seed (splitmix64): the same everywhere, drawn from no state."""

import numpy as np


def draws(n: int, *seeds: int) -> np.ndarray:
    """Random numbers that depend on the seeds and their place only.

    Parameters
    ----------
    n : int
        How many.
    *seeds : int
        A seed, and what else is to make a difference (an epoch, a rank).

    Returns
    -------
    (n,) uint64
        splitmix64 of the place, offset by a hash of the seeds.
    """
    state = np.zeros(1, np.uint64)
    for seed in seeds:
        state = _splitmix(state ^ np.uint64(seed & 0xFFFFFFFFFFFFFFFF))
    found: np.ndarray = _splitmix(
        np.arange(n, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + state
    )
    return found


def _splitmix(x: np.ndarray) -> np.ndarray:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed


def permutation(n: int, *seeds: int) -> np.ndarray:
    """The numbers 0 to n - 1 in random order.

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
    return np.asarray(np.argsort(draws(n, *seeds), kind="stable"), np.int64)
