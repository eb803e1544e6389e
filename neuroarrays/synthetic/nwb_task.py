"""What an animal does in a task, and how its units respond: for synthetic NWB files that look like a recording."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuroarrays.synthetic.nwb_pieces import NWBPieces

#: Seconds from the cue of a trial to its reward.
REWARD_DELAY = 0.4
#: Licks per second in a bout after a reward.
_LICK_RATE = 7.0
#: Rate of every unit between events (spikes/s), and of the theta rhythm (Hz).
_BASELINE, _THETA = 3.0, 8.0


def reward_times(trials: dict[str, Any]) -> np.ndarray:
    """The reward of each trial, (trial,) float64, s; NaN where none was given."""
    onsets = trials["start_time"]
    cues = trials["cue_time"]
    cues = np.where(cues < onsets, onsets + cues, cues)  # some files count from the onset
    return np.where(trials["rewarded"], cues + REWARD_DELAY, np.nan)


def licks(writer: NWBPieces) -> np.ndarray:
    """Times of licks, (event,) float64, s: a bout after each reward, and a few others."""
    random, duration = writer.random, writer.options.duration
    rewards = writer.truth["trials"]["reward_time"]
    bouts = [
        reward + 0.15 + (np.arange(random.integers(6, 12)) + random.normal(0, 0.1)) / _LICK_RATE
        for reward in rewards[np.isfinite(rewards)]
    ]
    times = np.concatenate([*bouts, random.uniform(0, duration, int(duration / 20))])
    times = times + random.normal(0, 0.008, times.size)
    return np.sort(times[(times > 0) & (times < duration)])


def train(writer: NWBPieces, unit: int) -> np.ndarray:
    """Spike times of a unit, (spike,) float64, s: one responds to the cue, the next to rewards, the next to licks."""
    random, duration = writer.random, writer.options.duration
    trials = writer.truth["trials"]
    rewards = trials["reward_time"]
    moments = (
        rewards[np.isfinite(rewards)] - REWARD_DELAY,
        rewards[np.isfinite(rewards)],
        writer.truth["licks"],
    )[unit % 3]
    spikes, delay, spread = ((6, 0.12, 0.05), (8, 0.25, 0.1), (2, 0.03, 0.02))[unit % 3]
    evoked = np.repeat(moments, random.poisson(spikes, moments.size))
    evoked = evoked + delay + random.normal(0, spread, evoked.size)
    others = random.uniform(0, duration, random.poisson(_BASELINE * duration))
    times = np.concatenate([evoked, others])
    return np.sort(times[(times > 0) & (times < duration)])


def pupil_area(writer: NWBPieces, times: np.ndarray) -> np.ndarray:
    """Area of the pupil, (time,) float64, mm2: it widens for two seconds after a reward."""
    slow = _smooth(writer.random.normal(size=times.size), 40)
    area: np.ndarray = 1.4 + 0.12 * slow / slow.std()
    rewards = writer.truth["trials"]["reward_time"]
    for reward in rewards[np.isfinite(rewards)]:
        since = np.maximum(times - reward, 0)
        area += 0.5 * since * np.exp(1 - since / 0.7) / 0.7
    area += writer.random.normal(0, 0.02, times.size)
    return area


def speed(writer: NWBPieces, size: int) -> np.ndarray:
    """Running speed at 20 Hz, (time,) float64, cm/s: bouts of running, and rest."""
    slow = _smooth(writer.random.normal(size=size), 30)
    running: np.ndarray = 18 * slow / slow.std() + writer.random.normal(0, 1.5, size)
    return running.clip(min=0)


def theta(writer: NWBPieces, times: np.ndarray, channels: int) -> np.ndarray:
    """Field potential, (time, channel) float64, of standard deviation 1: theta above noise of low frequencies."""
    random = writer.random
    phase = (
        2 * np.pi * np.cumsum(_THETA + 0.3 * random.normal(size=times.size)) * (times[1] - times[0])
    )
    strength = 1 + 0.4 * np.sin(2 * np.pi * times / 5)
    noise = random.normal(size=(times.size, channels))
    noise = 0.6 * noise + 2.5 * np.stack([_smooth(column, 6) for column in noise.T], axis=1)
    values: np.ndarray = (strength * np.sin(phase))[:, None] * np.linspace(
        1.6, 0.8, channels
    ) + noise
    values /= values.std()
    return values


def _smooth(values: np.ndarray, samples: int) -> np.ndarray:
    """A moving mean with weights of a Gaussian whose standard deviation is a number of samples."""
    reach = np.arange(-3 * samples, 3 * samples + 1)
    weights = np.exp(-0.5 * (reach / samples) ** 2)
    padded = np.pad(values, 3 * samples, mode="reflect" if values.size > 3 * samples else "edge")
    return np.convolve(padded, weights / weights.sum(), mode="valid")
