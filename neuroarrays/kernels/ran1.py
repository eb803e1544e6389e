"""The random numbers of stimulation programs: `ran1` of Numerical Recipes, as bits.

A minimal standard generator (Park and Miller 1988) whose numbers are shuffled in a table of 32
(Bays and Durham). Twin: `slow` of `tests/kernels/test_ran1.py`.
"""

import numpy as np

from neuroarrays.kernels.jit import compiled

_MODULUS, _FACTOR, _TABLE = 2147483647, 16807, 32
_DIVISOR = 1 + (_MODULUS - 1) // _TABLE


def seeded(seed: int) -> np.ndarray:
    """Return the state of a new generator.

    Parameters
    ----------
    seed : int
        A negative number; any other counts as -1.

    Returns
    -------
    (34,) int64
        The generator's number, the last one drawn, and the table.
    """
    state = np.empty(2 + _TABLE, np.int64)
    number = max(-int(seed), 1) % _MODULUS
    for slot in range(_TABLE + 7, -1, -1):
        number = number * _FACTOR % _MODULUS
        if slot < _TABLE:
            state[2 + slot] = number
    state[0], state[1] = number, state[2]
    return state


@compiled
def bits(state, count):
    """Draw numbers from 0 to 1, and whether each is 0.5 or more.

    Parameters
    ----------
    state : (34,) int64
        As from `seeded`; advanced in place.
    count : int
        How many to draw.

    Returns
    -------
    (count,) bool
    """
    out = np.empty(count, np.bool_)
    number, last = state[0], state[1]
    for i in range(count):
        number = number * _FACTOR % _MODULUS
        slot = 2 + last // _DIVISOR
        last = state[slot]
        state[slot] = number
        out[i] = 2 * last >= _MODULUS
    state[0], state[1] = number, last
    return out
