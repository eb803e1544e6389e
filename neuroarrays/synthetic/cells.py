"""Simulate ganglion cells that respond to a movie, for the generated retina datasets.

Each has a Gaussian receptive field and a delay; its rate grows with the filtered stimulus, so that
a spike-triggered average finds the field again.
"""

from __future__ import annotations

import numpy as np

#: Frames from the stimulus to the response.
DELAY = 2


def rates(
    movie: np.ndarray, units: int, rng: np.random.Generator, delay: int = DELAY
) -> np.ndarray:
    """Return spikes per frame of units that see a movie.

    Parameters
    ----------
    movie : (time, y, x) array
        What is shown; brightness in any unit.
    units : int
        How many, their centres spread at random, half of them preferring dark.
    rng : np.random.Generator
        Where centres come from.
    delay : int, frames
        From the stimulus to the response.

    Returns
    -------
    (unit, time) float64, spikes per frame
    """
    frames, height, width = movie.shape
    flat = movie.reshape(frames, -1).astype(np.float64)
    flat = (flat - flat.mean()) / max(flat.std(), 1e-9)
    y, x = np.mgrid[:height, :width]
    spikes = np.empty((units, frames))
    for unit in range(units):
        centre = rng.uniform(0.2, 0.8, 2) * (height, width)
        field = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * 1.2**2)).ravel()
        drive = flat @ (field / np.sqrt((field**2).sum())) * (-1) ** unit
        drive = np.concatenate([np.zeros(delay), drive])[:frames]
        spikes[unit] = 0.3 * np.log1p(np.exp(2 * drive))
    return spikes


def noise(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Return black and white pixels, (time, y, x) uint8."""
    return (rng.random(shape) < 0.5).astype(np.uint8) * np.uint8(255)
