"""`neuroarrays warmup`: compile now what would be compiled at its first use."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import neuroarrays as na
from neuroarrays.cli import printing

FINE = 0
#: An area of the bundled recording, and an interval in s that has all kinds of data.
_AREA, _WINDOW = "A2929-200711/adn", (671.0, 690.0)


def register(add: Callable[..., Any]) -> None:
    """Add the command to the parser."""
    add(
        "warmup",
        warmup,
        "compile now what would be compiled at its first use (for container images and clusters)",
    )


def warmup(_: argparse.Namespace) -> int:
    """Run all compiled functions on the bundled recording, and print where the code is stored."""
    from neuroarrays.kernels.jit import WAITING, kept_in

    begun, compiled = time.monotonic(), WAITING.seconds
    WAITING.said = True  # this command prints the time at its end
    for work in (_align, _train, _analyse):
        work(na.load_sample())
    seconds = WAITING.seconds - compiled
    folder = kept_in()
    where = (
        f"kept in {folder}"
        if folder
        else "and kept nowhere: no folder can be written; give one, NUMBA_CACHE_DIR=FOLDER"
    )
    text = f"compiled for {seconds:.1f} s of {time.monotonic() - begun:.1f} s, {where}"
    printing.show([[(text, "")]])
    return FINE


def _align(tree: Any) -> None:
    """Align to trials and to a continuous clock, in each dtype of counts."""
    import numpy as np

    for dtype in ("uint8", "uint16"):
        trials = na.align(tree, "sleep_ripples", bin_width=0.01, window=(-0.1, 0.2), dtype=dtype)
        trials[_AREA]["spike_data"].values  # noqa: B018  reads it
    clock = na.align(tree, bin_width=0.02)[_AREA]
    for name in ("spike_data", "head_direction/ry", "position/x"):
        clock[name].values  # noqa: B018
    signal = tree["A2929-200711/head_direction"].to_dataset()["ry"]
    na.interpolate(signal, np.arange(700.0, 710.0))


def _train(tree: Any) -> None:
    """Take batches of events, of windows and of tokens."""
    import numpy as np

    from neuroarrays.batches import SpikeEventSamples, SpikeWindowSamples
    from neuroarrays.kernels import events

    counts = np.ones((2, 3), np.uint8)
    for dense in (counts, counts.astype(np.uint16)):
        sizes, places = events.compress(dense)
        first = np.concatenate([[0], np.cumsum(sizes)])
        for dtype in (np.uint8, np.uint16, np.float32):
            events.expand(first, places, np.arange(2), np.empty((2, 3), dtype))
    for samples in (SpikeWindowSamples, SpikeEventSamples):
        samples(tree[_AREA], 1.0, window=_WINDOW).batch([0, 1])


def _analyse(tree: Any) -> None:
    """Compute PSTHs, tuning curves of trials, from counts and from spikes, and correlograms."""
    for clip in (False, True):
        trials = na.align(tree, "sleep_ripples", bin_width=0.01, window=(-0.1, 0.2), clip=clip)
        na.psth(trials[_AREA])
        na.psth(trials[_AREA], smooth=0.02)
    shown = trials[_AREA].to_dataset()
    half = shown["duration"] > shown["duration"].median()
    na.tuning_curve(shown.assign_coords(half=half.astype("float64")), "half")
    clock = na.align(tree, bin_width=0.02)[_AREA]
    na.tuning_curve(clock, "head_direction/ry")
    na.tuning_curve(clock.load(), "head_direction/ry")
    na.crosscorrelogram(tree[_AREA])
