"""Splits: the presentations, or stretches of a clock, for training, validation and test.

Each split is a dict, ``{"train": ..., "validation": ..., "test": ...}``, of positions of
presentations or of intervals ``(n, 2)`` of a clock in seconds. The same seed gives the same split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuroarrays.kernels.seeding import permutation
from neuroarrays.schema.given import described

__all__ = ["by_block", "by_clip", "by_label", "by_tier", "by_time", "folds"]


def __dir__() -> list[str]:
    return sorted(__all__)


NAMES = ("train", "validation", "test")
Split = dict[str, np.ndarray]


def by_tier(tiers: Any) -> Split:
    """Split presentations by the tier in their table.

    Parameters
    ----------
    tiers : (presentation_id,) str
        The column `tier`.

    Returns
    -------
    dict of (n,) int64
        Positions of each tier, by its name; "none" and empty tiers are left out.

    Examples
    --------
    >>> import neuroarrays as na
    >>> na.batches.splits.by_tier(["train", "test", "none", "train"])
    {'train': array([0, 3]), 'test': array([1])}
    """
    labels = np.array([str(tier) for tier in np.asarray(tiers).tolist()], object)
    used = [t for t in dict.fromkeys(labels.tolist()) if t not in ("", "none", "nan", "None")]
    return {tier: np.flatnonzero(labels == tier) for tier in used}


def by_label(labels: Any, fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0) -> Split:
    """Split presentations at random; those with the same label stay together.

    Parameters
    ----------
    labels : (presentation_id,) array
        Labels that must not be on two sides: the stimulus, the trial block, the day.
    fractions : sequence of float
        Shares of train, validation and test, as parts of the labels.
    seed : int
        Seed of the order of the labels.

    Returns
    -------
    dict of (n,) int64
        Positions, in order.

    Raises
    ------
    ValueError
        If a share above 0 gets no label.

    Examples
    --------
    >>> import neuroarrays as na
    >>> split = na.batches.splits.by_label(["cat", "dog", "owl", "cat"], (0.7, 0.3), seed=1)
    >>> sorted(map(len, split.values()))
    [1, 3]
    """
    values, code = _codes(labels)
    parts = _shares(permutation(len(values), seed), fractions, "labels")
    return {name: np.flatnonzero(np.isin(code, part)) for name, part in parts.items()}


def by_block(
    n: int, blocks: int = 10, fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0
) -> Split:
    """Split presentations in consecutive blocks, so that slow drifts do not leak.

    Parameters
    ----------
    n : int
        Number of presentations, in order of time.
    blocks : int
        Number of blocks.
    fractions : sequence of float
        Shares of train, validation and test, as parts of the blocks.
    seed : int
        Seed of the order of the blocks.

    Returns
    -------
    dict of (n,) int64
        Positions, in order.

    Raises
    ------
    ValueError
        If a share above 0 gets no block.

    Examples
    --------
    >>> import neuroarrays as na
    >>> split = na.batches.splits.by_block(100, blocks=10, fractions=(0.8, 0.1, 0.1))
    >>> {side: len(positions) for side, positions in split.items()}
    {'train': 80, 'validation': 10, 'test': 10}
    """
    return by_label(np.arange(n) * blocks // max(n, 1), fractions, seed)


def folds(labels: Any, n_folds: int = 5, groups: Any = None, seed: int = 0) -> list[Split]:
    """Make stratified folds for cross-validation.

    Parameters
    ----------
    labels : (presentation_id,) array
        Labels; each fold gets its share of each label.
    n_folds : int
        Number of folds.
    groups : (presentation_id,) array, optional
        Groups that stay together (repeats of one stimulus); a group has the label of its first
        presentation.
    seed : int
        Seed of the order within each label.

    Returns
    -------
    list of dict
        For each fold, the positions of "train" and "test"; each presentation is tested once.

    Raises
    ------
    ValueError
        If there are fewer presentations, or groups, than folds.

    Examples
    --------
    >>> import neuroarrays as na
    >>> folds = na.batches.splits.folds(["left", "right"] * 10, n_folds=5)
    >>> len(folds), len(folds[0]["train"]), len(folds[0]["test"])
    (5, 16, 4)
    """
    _, stratum = _codes(labels)
    names, group = _codes(np.arange(stratum.size) if groups is None else groups)
    if not 2 <= n_folds <= len(names):
        what = "presentations" if groups is None else "groups"
        msg = f"n_folds={n_folds}: expected 2 to {len(names)}, the number of {what}"
        raise ValueError(msg)
    first = np.full(len(names), -1)
    first[group[::-1]] = stratum[::-1]  # written backwards, so that a group's first one stays
    order = permutation(len(names), seed)
    order = order[np.argsort(first[order], kind="stable")]
    fold = np.empty(len(names), np.int64)
    fold[order] = np.arange(len(names)) % n_folds  # deals out the groups of one label in turn
    fold_of = fold[group]
    return [
        {"train": np.flatnonzero(fold_of != k), "test": np.flatnonzero(fold_of == k)}
        for k in range(n_folds)
    ]


def by_time(time: Any, fractions: Sequence[float] = (0.8, 0.1, 0.1), gap: float = 0.0) -> Split:
    """Split a clock into three stretches: first train, then validation, then test.

    Parameters
    ----------
    time : (time,) float64, s
        Bin centres.
    fractions : sequence of float
        Shares of train, validation and test.
    gap : float, s
        Time that is left out between stretches.

    Returns
    -------
    dict of (1, 2) float64, s
        Start and end of each stretch.

    Raises
    ------
    ValueError
        If a share above 0 gets no time.

    Examples
    --------
    >>> import neuroarrays as na
    >>> clock = na.align(na.load_sample(), bin_width=0.1, window=(671, 771))["A2929-200711/adn"]
    >>> na.batches.splits.by_time(clock["time"], (0.8, 0.2), gap=2.0)["train"].round(1)
    array([[671., 750.]])
    """
    edges = _edges(time)
    shares = _checked(fractions)
    cuts = np.round(np.concatenate([[0], np.cumsum(shares)]) * (edges.size - 1)).astype(int)
    parts = {}
    for name, low, high in zip(NAMES, cuts[:-1], cuts[1:], strict=False):
        begin = edges[low] + (gap / 2 if low > 0 else 0.0)
        end = edges[high] - (gap / 2 if high < edges.size - 1 else 0.0)
        if high > low and end > begin:
            parts[name] = np.array([[begin, end]])
        elif shares[NAMES.index(name)]:
            msg = f"split {name!r} is empty: {edges.size - 1:,} samples with a gap of {gap:g} s"
            raise ValueError(msg)
    return parts


def by_clip(time: Any, clip_length: float, n_validation_clips: int, seed: int = 0) -> Split:
    """Split a clock into clips of equal length, some of which are for validation.

    Parameters
    ----------
    time : (time,) float64, s
        Bin centres.
    clip_length : float, s
        Length of a clip; a shorter last clip is for training.
    n_validation_clips : int
        Number of clips for validation.
    seed : int
        Seed of the choice of clips.

    Returns
    -------
    dict of (n, 2) float64, s
        Start and end of the clips. Neighbouring clips of "train" are one interval; a removed clip
        separates two intervals, so no window goes across it.

    Raises
    ------
    ValueError
        If there are not more clips than `n_validation_clips`.

    Examples
    --------
    >>> import neuroarrays as na
    >>> clock = na.align(na.load_sample(), bin_width=0.1, window=(671, 771))["A2929-200711/adn"]
    >>> split = na.batches.splits.by_clip(clock["time"], 20.0, 2, seed=1)
    >>> split["validation"].shape
    (2, 2)
    """
    edges = _edges(time)
    step = (edges[-1] - edges[0]) / (edges.size - 1)
    frames = round(clip_length / step)
    n_clips = (edges.size - 1) // frames if frames > 0 else 0
    if not 0 < n_validation_clips < n_clips:
        msg = (
            f"n_validation_clips={n_validation_clips}: expected 1 to {max(n_clips - 1, 0)}, there "
            f"are {n_clips} clips of {clip_length:g} s in {edges[-1] - edges[0]:g} s"
        )
        raise ValueError(msg)
    return clips(edges, frames, np.sort(permutation(n_clips, seed)[:n_validation_clips]))


def clips(edges: np.ndarray, frames: int, validation: np.ndarray) -> Split:
    """Return the intervals of the chosen validation clips, and those of the remaining time.

    Parameters
    ----------
    edges : (frame + 1,) float64, s
        Edges of the frames.
    frames : int
        Number of frames of each clip.
    validation : (n,) int
        Numbers of the clips for validation, in the order of the result.

    Returns
    -------
    dict of (n, 2) float64, s
        "train" and "validation".
    """
    n_frames = edges.size - 1
    validating = np.zeros(n_frames, bool)
    for clip in validation:
        validating[clip * frames : (clip + 1) * frames] = True
    turns = np.flatnonzero(np.diff(validating.astype(np.int8), prepend=1, append=1))
    train = edges[turns.reshape(-1, 2)]
    return {
        "train": train,
        "validation": edges[np.asarray(validation)[:, None] * frames + [0, frames]],
    }


def _codes(labels: Any) -> tuple[list[Any], np.ndarray]:
    """Return the labels in order of appearance, and the number of each presentation's label, (n,)."""
    given = np.asarray(labels)
    if given.ndim != 1:
        msg = f"labels: expected one for each presentation, (n,), found {described(labels)}"
        raise ValueError(msg)
    values = given.tolist()
    known: dict[Any, int] = {}
    codes = np.array([known.setdefault(v, len(known)) for v in values], np.int64)
    return list(known), codes


def _checked(fractions: Sequence[float]) -> np.ndarray:
    """Return the shares of the sides as an array, after checking them."""
    shares = np.asarray([] if isinstance(fractions, Mapping) else fractions, float)
    if shares.shape not in ((2,), (3,)) or (shares < 0).any() or not np.isclose(shares.sum(), 1):
        msg = (
            f"fractions={fractions}: expected the shares of {', '.join(NAMES)}, two or three "
            "numbers that add up to 1"
        )
        raise ValueError(msg)
    return shares


def _shares(order: np.ndarray, fractions: Sequence[float], what: str) -> Split:
    """Return the part of `order` that each side gets by its share; `what` names the items in errors."""
    shares = _checked(fractions)
    cuts = np.round(np.cumsum(shares) * order.size).astype(int)
    parts = {}
    for name, low, high, share in zip(NAMES, [0, *cuts], cuts, shares, strict=False):
        if share and high == low:
            msg = f"split {name!r} is empty: {share:g} of {order.size} {what}"
            raise ValueError(msg)
        if high > low:
            parts[name] = order[low:high]
    return parts


def _edges(time: Any) -> np.ndarray:
    """Return the edges of the bins whose centres are `time`: (time + 1,) float64 in s."""
    centres = np.asarray(time, np.float64)
    if centres.size < 2:
        msg = f"a clock of {centres.size} samples cannot be split; expected at least 2"
        raise ValueError(msg)
    step = float(np.median(np.diff(centres)))
    return np.append(centres - step / 2, centres[-1] + step / 2)
