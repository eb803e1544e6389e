"""Choose the validation clips of a training movie, by chance as open-retina does or by labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroarrays.batches import gathering
from neuroarrays.errors import NotInTree, SchemaError, many


@dataclass(frozen=True)
class ClipSplit:
    """The frames of a training movie that are for training, and those for validation.

    Attributes
    ----------
    training, validation : (frame,) int64
        Frame numbers, in the order in which they are used. Frames after the last whole clip are in
        neither.
    length : int, frames
        Length of a clip.
    """

    training: np.ndarray
    validation: np.ndarray
    length: int


def split_clips(
    area: xr.DataTree,
    frames: int,
    *,
    length: int | None = None,
    number: int | None = None,
    clips: Sequence[int] | None = None,
    seed: int = 42,
) -> ClipSplit:
    """Split the frames of a movie into clips for training and for validation, as open-retina does.

    Parameters
    ----------
    area : DataTree node
        An area on one clock. If it has the labels `clip_id` and `validation` along time (Hoefling
        et al. 2024), they tell the clips and which of them are for validation, in the order of
        `clip_id`, unless `number` or `clips` is given.
    frames : int
        Number of frames of the movie.
    length : int, frames, optional
        Length of a clip (default: that of the labelled clips, or 100).
    number : int, optional
        Number of validation clips, drawn by ``RandomState(seed)`` as open-retina does (default: 10).
    clips : sequence of int, optional
        The validation clips: their `clip_id` if clips have one, otherwise their numbers from 0 on.
    seed : int
        Seed of the draw.

    Returns
    -------
    ClipSplit
        The frames of both sides.

    Raises
    ------
    ValueError
        If a side gets no clip, or a clip is given twice.
    NotInTree
        If a clip does not exist.
    SchemaError
        If clips differ in length.
    """
    where = gathering.location(area)
    validates, ids = (_label(area, name, frames) for name in ("validation", "clip_id"))
    chosen_by_label = validates is not None and number is None and clips is None
    length, numbers = _numbers(where, frames, length, ids)
    if chosen_by_label and ids is None:
        assert validates is not None
        sides = np.flatnonzero(~validates), np.flatnonzero(validates)
        return ClipSplit(*sides, length)
    if clips is not None:
        drawn = _positions(where, numbers, clips)
    elif chosen_by_label:
        assert validates is not None
        step = frames // numbers.size
        drawn = np.flatnonzero(validates[: numbers.size * step : step])
        drawn = drawn[np.argsort(numbers[drawn], kind="stable")]
    else:
        number = 10 if number is None else number
        if numbers.size < 2:
            msg = (
                f"{where}: clip_length={length}: the movie has {many(frames, 'frame')}, expected two "
                "clips at least, to train and to validate"
            )
            raise ValueError(msg)
        if not 0 < number < numbers.size:
            msg = (
                f"{where}: num_val_clips={number}: expected 1 to {numbers.size - 1} of the "
                f"{numbers.size} clips of {length} frames"
            )
            raise ValueError(msg)
        drawn = np.random.RandomState(seed).choice(numbers.size, number, replace=False)
    if not 0 < drawn.size < numbers.size:
        side = "trains" if drawn.size else "validates"
        msg = f"{where}: {drawn.size} of {numbers.size} clips validate, so that none {side}"
        raise ValueError(msg)
    step = frames // numbers.size if ids is not None else length
    every = np.arange(numbers.size * step).reshape(numbers.size, step)
    return ClipSplit(np.delete(every, drawn, axis=0).ravel(), every[drawn].ravel(), length)


def _label(area: xr.DataTree, name: str, frames: int) -> np.ndarray | None:
    """Return a label of each frame of an area, (frame,), or None if the area has none."""
    label = area.coords.get(name)
    if label is None or label.ndim != 1 or label.size != frames:
        return None
    return np.asarray(label.values)


def _numbers(
    where: str, frames: int, length: int | None, ids: np.ndarray | None
) -> tuple[int, np.ndarray]:
    """Return the length of a clip in frames, and the number of each clip, (clip,) int64."""
    if length is not None and length < 1:
        msg = f"clip_length={length}: expected at least one frame"
        raise ValueError(msg)
    if ids is None:
        length = 100 if length is None else length
        return length, np.arange(frames // length)
    starts = np.flatnonzero(np.diff(ids, prepend=ids[0] - 1))
    labelled = int(starts[1]) if starts.size > 1 else frames
    if frames % labelled or not np.array_equal(starts, np.arange(0, frames, labelled)):
        msg = f"{where}: clips by clip_id differ in length, which open-retina's cannot"
        raise SchemaError(msg)
    if length is not None and labelled % length:
        msg = f"{where}: clip_length={length}, but by clip_id a clip has {labelled} frames"
        raise ValueError(msg)
    return labelled if length is None else length, ids[starts]


def _positions(where: str, numbers: np.ndarray, clips: Sequence[int]) -> np.ndarray:
    """Return the positions, (n,) int64, of clips that are given by number."""
    requested = np.asarray(clips)
    if requested.ndim != 1 or (requested.size and requested.dtype.kind not in "iu"):
        msg = f"val_clip_indices: expected a list of clip numbers, found {clips!r:.60}"
        raise ValueError(msg)
    position_of = {int(number): position for position, number in enumerate(numbers.tolist())}
    if unknown := [clip for clip in requested.tolist() if clip not in position_of]:
        raise NotInTree("clip", unknown[0], position_of, "as val_clip_indices asks for", where)
    if np.unique(requested).size < requested.size:
        msg = f"val_clip_indices: expected each clip once, found {requested.tolist()}"
        raise ValueError(msg)
    return np.array([position_of[clip] for clip in requested.tolist()], np.int64)
