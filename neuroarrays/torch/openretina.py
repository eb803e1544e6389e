"""Loaders that deliver what open-retina's loaders do; see `neuroarrays.torch.dropin`.

`multiple_movies_dataloaders` and `get_movie_dataloader` are called as there, with its containers or
with bare arrays: for its training and evaluation a line of their configuration changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import fields, gathering
from neuroarrays.batches.clips import split_clips
from neuroarrays.batches.movies import MovieStarts, pixel_statistics
from neuroarrays.errors import NotInTree, SchemaError, many, option
from neuroarrays.formats.retina.session_info import session_info
from neuroarrays.lazy.trees import tree_of
from neuroarrays.schema.given import check, whole_number, yes_or_no
from neuroarrays.torch.loading import Loader
from neuroarrays.torch.movies import (
    BY_TRIAL,
    SIDES,
    DataPoint,
    Drawn,
    MovieDataset,
    by_trial,
    movie_fields,
)

__all__ = [
    "DataPoint",
    "MovieDataset",
    "get_movie_dataloader",
    "multiple_movies_dataloaders",
    "openretina",
]

#: Datasets whose movies that library's readers normalise by default.
_NORMALIZED = ("maheswaranathan_2023", "karamanlis_2024", "goldin_2022")
#: Seconds that its reader of a dataset divides counts by.
_COUNTED_IN = {"goldin_2022": 0.3}


def openretina(  # noqa: PLR0913  its own options
    tree: xr.DataTree,
    inputs: Sequence[str] = ("stimulus",),
    targets: Sequence[str] = (schema.RESPONSES,),
    *,
    batch_size: int = 32,
    seed: int = 42,
    train_chunk_size: int = 50,
    clip_length: int | None = None,
    num_val_clips: int | None = None,
    val_clip_indices: Sequence[int] | None = None,
    allow_over_boundaries: bool = True,
    normalize_stimuli: bool | None = None,
    fr_normalization: float | None = None,
    cache: bool | str = "auto",
    **loading: Any,
) -> dict[str, dict[str, Any]]:
    """`openretina.data_io.base_dataloader.multiple_movies_dataloaders` on a tree.

    Parameters
    ----------
    tree : xr.DataTree
        Areas on one clock, or with flashed images. In blocks, ``train/...`` is the training movie
        and every other block a test; without blocks all of it trains and validates.
    inputs, targets : sequence of one str
        The movie ``(time, channel, y, x)`` and the responses ``(time, unit_id)``; images have
        `presentation_id` in place of `time`.
    batch_size : int
        Chunks per batch; fewer for whole test movies, as there.
    seed : int
        Of the draw of validation clips, as there, and of the starts of training chunks.
    train_chunk_size, clip_length : int, frames
        Length of a chunk and of a clip: 100, or that of clips that the tree labels by `clip_id`.
    num_val_clips : int, optional
        How many clips validate, drawn at random; 10. Without it, and without `val_clip_indices`,
        those that the tree labels `validation`: the published ones of Hoefling et al. 2024.
    val_clip_indices : sequence of int, optional
        The clips that validate, in this order.
    allow_over_boundaries : bool
        Whether training chunks may run across clips.
    normalize_stimuli : bool, optional
        Subtract the mean of all pixels of the session's training movie, and divide by their
        deviation (ddof=1). Unless given, as that library's own reader of the dataset does: of
        maheswaranathan_2023, karamanlis_2024 and goldin_2022.
    fr_normalization : float, optional
        What responses are divided by. Unless given, as that library's own reader does: counts of
        goldin_2022 by 0.3 s.
    cache : {"auto", True, False}
        As for `TrialDataset`.
    **loading
        For `torch.utils.data.DataLoader`.

    Returns
    -------
    dict of dict of Loader
        "train", "validation" and each test block, by session; their datasets are `MovieDataset`.

    Raises
    ------
    SchemaError
        If responses are NaN (there, the session is lost without an error), which session and area.
    NotInTree
        If there are blocks, but none that trains; or no such clip.
    ValueError
        If a side gets no clip, or an option is out of range.
    """
    fields.check_cache(cache)
    _check_numbers(seed, fr_normalization)
    whole_number(train_chunk_size, "train_chunk_size")
    for name, number in (("clip_length", clip_length), ("num_val_clips", num_val_clips)):
        if number is not None:
            whole_number(number, name)
    yes_or_no(allow_over_boundaries=allow_over_boundaries)
    if normalize_stimuli is not None:
        yes_or_no(normalize_stimuli=normalize_stimuli)
    movie, response = _one("inputs", inputs), _one("targets", targets)
    by_side: dict[str, dict[str, Any]] = {"train": {}, "validation": {}}
    areas = [area for _, area in gathering.areas(tree, [movie, response])]
    dataset = tree.root.attrs.get("source")
    drawn = Drawn(batch_size, train_chunk_size, seed, allow_over_boundaries)
    if normalize_stimuli is None:
        normalize_stimuli = dataset in _NORMALIZED
    scales = {
        _session(area): pixel_statistics(area, movie)
        for area in areas
        if normalize_stimuli and _block(area) == "train"
    }
    for area in areas:
        block, session = _block(area), _session(area)
        counted_in = _counted_in(dataset, area, response) if fr_normalization is None else None
        source = movie_fields(area, movie, response, cache)
        source = replace(
            source,
            scale=scales.get(session),
            fr_normalization=float(counted_in or fr_normalization or 1),
        )
        frames = source.movie.shape[0]
        sides: dict[str, np.ndarray] = {block: np.arange(frames)}
        length = 100 if clip_length is None else clip_length
        if block == "train":
            clips = split_clips(
                area,
                frames,
                length=clip_length,
                number=num_val_clips,
                clips=val_clip_indices,
                seed=seed,
            )
            sides, length = {"train": clips.training, "validation": clips.validation}, clips.length
        for side, order in sides.items():
            data, starts = drawn.side(source, side, order, length)
            data.session_info = session_info(area.parent, area)
            if side not in SIDES:
                data.test_responses_by_trial = by_trial(area, source)
            by_side.setdefault(side, {})[session] = Loader(data, starts, **loading)
    if not by_side["train"]:
        blocks = [name for name in by_side if by_side[name]]
        raise NotInTree("block", "train", blocks, hint="that is where its training movie is")
    return by_side


def multiple_movies_dataloaders(
    neuron_data_dictionary: Mapping[str, Any], movies_dictionary: Any, **options: Any
) -> dict[str, dict[str, Any]]:
    """That library's function of this name, on its containers, with our loaders.

    Parameters
    ----------
    neuron_data_dictionary : mapping of session to ResponsesTrainTestSplit
        Responses (unit, time), in counts or Hz; also dicts of what these hold.
    movies_dictionary : mapping of session to MoviesTrainTestSplit
        Movies (channel, time, y, x); the same sessions and tests.
    **options
        Of `openretina`: ``train_chunk_size``, ``batch_size``, ``seed``, ``clip_length``,
        ``num_val_clips``, ``val_clip_indices``, ``allow_over_boundaries``, and those of
        `torch.utils.data.DataLoader`.

    Returns
    -------
    dict of dict of Loader
        "train", "validation" and each test, by session.

    Raises
    ------
    NotInTree
        If a session or a test has responses but no movie, or a session no responses.
    SchemaError
        If shapes do not fit, or responses are NaN.
    TypeError
        If something else stands in the place of a container.
    """
    both = {"responses": neuron_data_dictionary, "movie": movies_dictionary}
    for what, given in both.items():
        check(given, Mapping, f"{what}: expected containers by session", TypeError)
    if not any(both.values()):
        msg = "expected containers of at least one session, found none"
        raise SchemaError(msg)
    nodes = {"/": xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED, source="open-retina"))}
    for session in dict.fromkeys(name for given in both.values() for name in given):
        for what, given in both.items():
            if session not in given:
                raise NotInTree(f"{what} of session", session, given)
            if _member(given[session], "train") is None:
                msg = f"{what} of session {session!r}: expected a container with `train`"
                check(given[session], (), msg, TypeError)
        answers, shown = neuron_data_dictionary[session], movies_dictionary[session]
        nodes |= _nodes(
            f"train/{session}", _member(shown, "train"), _member(answers, "train"), None
        )
        tests = _member(shown, "test_dict") or {}
        repeats = _member(answers, "test_by_trial_dict") or {}
        for name, responses in (_member(answers, "test_dict") or {}).items():
            if name not in tests:
                raise NotInTree("movie of test", name, tests, where=f"session {session!r}")
            nodes |= _nodes(f"{name}/{session}", tests[name], responses, repeats.get(name))
    by_side = openretina(tree_of(nodes), **options)
    for loaders in by_side.values():
        for session, loader in loaders.items():
            told = _member(neuron_data_dictionary[session], "session_kwargs")
            loader.dataset.session_info = dict(told or {})
    return by_side


def get_movie_dataloader(  # noqa: PLR0913  its own options
    movie: Any,
    responses: Any,
    *,
    split: str,
    scene_length: int,
    chunk_size: int,
    batch_size: int,
    start_indices: Sequence[int] | None = None,
    drop_last: bool = True,
    allow_over_boundaries: bool = True,
    seed: int = 42,
    session_info: Mapping[str, Any] | None = None,
    **loading: Any,
) -> Loader:
    """That library's function of this name: a loader of one movie and responses in memory.

    Parameters
    ----------
    movie : (channel, time, y, x) array or tensor
        What was shown, in grey levels.
    responses : (time, unit) array or tensor, or dict of these
        What the units did, in counts or Hz; of a test also ``{"avg": ..., "by_trial": ...}`` with
        repeats (trial, unit, time).
    split : {"train", "validation", "val", "test"}
        Training chunks begin anywhere, in another order every epoch; others come in order.
    scene_length, chunk_size : int, frames
        Length of a clip and of a chunk.
    batch_size : int
        Chunks per batch.
    start_indices : sequence of int, optional
        Frames at which chunks begin; every chunk in training, every clip in validation, and of a
        test the begin, or every clip without `allow_over_boundaries`.
    drop_last : bool
        In training, leave out a last batch that is smaller.
    allow_over_boundaries : bool
        Whether training chunks may run across clips.
    seed : int
        Of the training starts, which that library draws from numpy's own state.
    session_info : mapping, optional
        What is said of the session and its units (`roi_ids`, `roi_coords`, `group_assignment`).
    **loading
        For `torch.utils.data.DataLoader`.

    Returns
    -------
    Loader
        Its dataset is a `MovieDataset`.

    Raises
    ------
    SchemaError
        If shapes do not fit, or responses are NaN (there, no loader is made).
    ValueError
        On another split, or chunks that do not fit.
    """
    if split not in (*SIDES, "test"):
        msg = f"split={split!r}: expected one of 'train', 'validation', 'val', 'test'"
        raise ValueError(msg)
    both = responses if isinstance(responses, Mapping) else {"avg": responses}
    if "avg" not in both:
        raise NotInTree("responses", "avg", both)
    shown, answers = np.asarray(movie), np.asarray(both["avg"])
    nodes = _nodes(f"{split}/session", shown, answers.T, both.get("by_trial"))
    frames = shown.shape[1]
    area: Any = tree_of(nodes)[f"{split}/session/retina"]
    source = movie_fields(area, "stimulus", schema.RESPONSES, False)
    order, train = np.arange(frames), split == "train"
    if start_indices is None and not train:
        step = frames if split == "test" and allow_over_boundaries else scene_length
        start_indices = range(0, frames - chunk_size + 1, step)
    data = MovieDataset(source, order, chunk_size)
    data.session_info = dict(session_info or {})
    data.test_responses_by_trial = by_trial(area, source)
    starts = MovieStarts(
        data,
        batch_size,
        scene_length,
        seed=seed if train else None,
        over=allow_over_boundaries,
        starts=start_indices,
        drop_last=drop_last,
    )
    return Loader(data, starts, **loading)


def _nodes(path: str, movie: Any, responses: Any, trials: Any) -> dict[str, xr.Dataset]:
    """A session of a block: a movie (channel, time, y, x), responses (unit, time) and repeats."""
    shown, answers = np.asarray(movie), np.asarray(responses)
    if shown.ndim != 4 or answers.ndim != 2:
        msg = (
            f"{path}: expected a movie (channel, time, y, x) and responses of units along time, "
            f"found shapes {shown.shape} and {answers.shape}"
        )
        raise SchemaError(msg)
    frames = shown.shape[1]
    if answers.shape[1] < frames:
        msg = f"{path}: the movie has {many(frames, 'frame')}, the responses {answers.shape[1]}"
        raise SchemaError(msg)
    dims = (schema.TIME, "channel", "y", "x")
    area: dict[str, Any] = {schema.RESPONSES: ((schema.TIME, schema.UNIT), answers[:, :frames].T)}
    if trials is not None:
        repeats = np.asarray(trials)
        units = answers.shape[0]
        if repeats.ndim != 3 or repeats.shape[1] != units or repeats.shape[2] < frames:
            msg = (
                f"{path}: expected repeats (trial, unit, time) of {units} units and {frames} frames, "
                f"found shape {repeats.shape}"
            )
            raise SchemaError(msg)
        area[BY_TRIAL] = ((schema.TRIAL, schema.UNIT, schema.TIME), repeats[..., :frames])
    return {
        path: xr.Dataset({"stimulus": (dims, np.moveaxis(shown, 1, 0))}),
        f"{path}/retina": xr.Dataset(area, {schema.UNIT: np.arange(answers.shape[0])}),
    }


def _member(container: Any, name: str) -> Any:
    """A part of a container, or of a dict in its place; None where it has none."""
    return container.get(name) if isinstance(container, Mapping) else getattr(container, name, None)


def _check_numbers(seed: Any, fr_normalization: Any) -> None:
    """Refuse a seed that draws nothing twice, and a divisor that makes no rates."""
    if not isinstance(seed, int | np.integer):
        msg = f"{option('seed', seed)}: expected a whole number; it draws the validation clips"
        raise ValueError(msg)
    is_number = isinstance(fr_normalization, int | float | np.number)
    if fr_normalization is not None and not (is_number and fr_normalization > 0):
        msg = f"{option('fr_normalization', fr_normalization)}: expected a positive number"
        raise ValueError(msg)


def _one(what: str, names: Sequence[str]) -> str:
    """The one variable of a list."""
    if isinstance(names, str) or len(names) != 1:
        msg = f"{what}: expected a list of one variable, found {names!r}"
        raise ValueError(msg)
    return names[0]


def _block(area: xr.DataTree) -> str:
    """The block that an area is in; "train" in a tree without blocks."""
    parts = area.path.strip("/").split("/")
    return parts[0] if len(parts) > 2 else "train"


def _session(area: xr.DataTree) -> str:
    """The session that an area is of."""
    return area.path.split("/")[-2]


def _counted_in(dataset: str | None, area: xr.DataTree, response: str) -> float | None:
    """Seconds that that library's reader divides counts of a dataset by."""
    counts = gathering.find(area, response).attrs.get("units") == "1"
    return _COUNTED_IN.get(str(dataset)) if counts else None
