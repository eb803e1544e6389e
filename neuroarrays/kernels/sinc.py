"""Samples of a regular clock at any other times, by a windowed sinc: band-limited interpolation."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from neuroarrays.kernels.jit import compiled, fixed

#: Entries of the table for each half period of the cutoff frequency; between them it is linear, 1e-7.
_ENTRIES = 1024


class Sinc(NamedTuple):
    """A low-pass filter in continuous time.

    Attributes
    ----------
    table : (entry,) float64
        Its response from `-half` to `half`, symmetric; no unit.
    density : float
        Entries per sample.
    half : int
        Half of its length, samples.
    """

    table: np.ndarray
    density: float
    half: int


def sinc(cutoff: float, half: int, beta: float) -> Sinc:
    """Return the table of ``c sinc(c u)`` with a Kaiser window.

    Parameters
    ----------
    cutoff : float
        In parts of the Nyquist frequency of the samples, above 0 and at most 1.
    half : int
        Half of its length, samples.
    beta : float
        Of the window (Kaiser 1974).
    """
    entries = math.ceil(_ENTRIES * half * cutoff)
    u = np.linspace(-1, 1, 2 * entries + 1)
    table = cutoff * np.sinc(cutoff * half * u) * np.i0(beta * np.sqrt(1 - u**2)) / np.i0(beta)
    return Sinc(np.append(table, 0.0), entries / half, half)


def evaluate(samples: np.ndarray, first: int, places: np.ndarray, kernel: Sinc) -> np.ndarray:
    """Compute values between samples, as weighted means of the samples around them.

    Parameters
    ----------
    samples : (sample, column) float64
        A part of a stretch without a hole, in any unit.
    first : int
        The number of its first sample in the stretch.
    places : (n,) float64
        Where, in samples from the first of the stretch, so that every part gives the same; the whole
        length of the kernel lies within the part.
    kernel : Sinc
        What they are weighted with.

    Returns
    -------
    (n, column) float64
        In the same unit; weights add up to 1, NaN where a sample around is missing.
    """
    out = np.empty((places.size, samples.shape[1]))
    _weighted(
        fixed(samples), fixed(places), kernel.table, (kernel.density, kernel.half, first), out
    )
    return out


@compiled
def _weighted(samples, positions, table, shape, out):
    """Write the weighted mean of the samples around each position, (position, column)."""
    density, half, begin = shape
    for m in range(len(positions)):
        position = positions[m]
        first = max(begin, int(np.ceil(position - half)))
        last = min(begin + len(samples) - 1, int(np.floor(position + half)))
        total = 0.0
        out[m] = 0.0
        for k in range(first, last + 1):
            position_in_table = (k - position + half) * density
            entry = min(int(position_in_table), len(table) - 2)
            weight = table[entry] + (position_in_table - entry) * (table[entry + 1] - table[entry])
            total += weight
            for c in range(samples.shape[1]):
                out[m, c] += weight * samples[k - begin, c]
        for c in range(samples.shape[1]):
            out[m, c] /= total
