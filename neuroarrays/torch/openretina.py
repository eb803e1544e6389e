"""Loaders with the batches of open-retina; see `neuroarrays.torch.dropin`.

`multiple_movies_dataloaders` and `get_movie_dataloader` take the arguments of open-retina's functions
of the same names, so that its training and evaluation need only one changed line of configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import fields, gathering
from neuroarrays.batches.movies import MovieStarts, pixel_statistics
from neuroarrays.batches.validation_clips import split_clips
from neuroarrays.errors import NotInTree, SchemaError, many, option
from neuroarrays.formats.retina.session_info import session_info
from neuroarrays.lazy.trees import tree_of
from neuroarrays.schema.given import check, whole_number, yes_or_no
from neuroarrays.torch.loading import Loader
from neuroarrays.torch.movies import (
    BY_TRIAL,
    SIDES,
    ChunkPlan,
    DataPoint,
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

#: Datasets whose movies the readers of open-retina normalise by default.
_NORMALIZED = ("maheswaranathan_2023", "karamanlis_2024", "goldin_2022")
#: Duration by which the reader of open-retina divides the counts of a dataset, s.
_COUNT_DURATION = {"goldin_2022": 0.3}


def openretina(  # noqa: PLR0913  the options of that library
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
    """Make the loaders of open-retina's `multiple_movies_dataloaders` from a tree.

    Parameters
    ----------
    tree : xr.DataTree
        An aligned tree whose areas are on one clock, or have flashed images. If it has blocks,
        ``train/...`` is the training movie and each other block is a test; without blocks the whole
        movie is for training and validation.
    inputs, targets : sequence of one str
        The movie ``(time, channel, y, x)`` and the responses ``(time, unit_id)``; images have
        `presentation_id` in place of `time`.
    batch_size : int
        Chunks per batch; fewer for whole test movies, as in open-retina.
    seed : int
        Seed of the draw of validation clips and of the starts of training chunks.
    train_chunk_size : int, frames
        Length of a training chunk.
    clip_length : int, frames, optional
        Length of a clip (default: that of the clips that the tree labels by `clip_id`, or 100).
    num_val_clips : int, optional
        Number of validation clips, drawn at random. If neither this nor `val_clip_indices` is
        given, they are the clips that the tree labels `validation` (those published by Hoefling et
        al. 2024), or 10 drawn clips.
    val_clip_indices : sequence of int, optional
        The validation clips, in this order.
    allow_over_boundaries : bool
        Whether training chunks may run across clips.
    normalize_stimuli : bool, optional
        Whether to subtract the mean of all pixels of the session's training movie and to divide by
        their standard deviation (ddof=1). Default: as the reader of open-retina does, which is True
        for maheswaranathan_2023, karamanlis_2024 and goldin_2022.
    fr_normalization : float, optional
        A number to divide the responses by (default: as the reader of open-retina does, which is
        0.3 s for counts of goldin_2022).
    cache : {"auto", True, False}
        As for `TrialDataset`.
    **loading
        Options of `torch.utils.data.DataLoader`.

    Returns
    -------
    dict of dict of Loader
        Loaders of "train", "validation" and each test block, by session; their datasets are of
        `MovieDataset`.

    Raises
    ------
    SchemaError
        If a response is NaN; the message names session and area. open-retina loses such a session
        without an error.
    NotInTree
        If there are blocks, but none is for training; or a clip does not exist.
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
    plan = ChunkPlan(batch_size, train_chunk_size, seed, allow_over_boundaries)
    if normalize_stimuli is None:
        normalize_stimuli = dataset in _NORMALIZED
    scales = {
        _session(area): pixel_statistics(area, movie)
        for area in areas
        if normalize_stimuli and _block(area) == "train"
    }
    for area in areas:
        block, session = _block(area), _session(area)
        divisor = fr_normalization
        if divisor is None:
            divisor = _count_duration(dataset, area, response)
        source = movie_fields(area, movie, response, cache)
        source = replace(source, scale=scales.get(session), fr_normalization=float(divisor))
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
            data, starts = plan.side(source, side, order, length)
            data.session_info = session_info(area.parent, area)
            if side not in SIDES:
                data.test_responses_by_trial = by_trial(area, source)
            by_side.setdefault(side, {})[session] = Loader(data, starts, **loading)
    if not by_side["train"]:
        blocks = [name for name in by_side if by_side[name]]
        raise NotInTree("block", "train", blocks, hint="the training movie must be in it")
    return by_side


def multiple_movies_dataloaders(
    neuron_data_dictionary: Mapping[str, Any], movies_dictionary: Any, **options: Any
) -> dict[str, dict[str, Any]]:
    """Make the loaders of open-retina's function of this name from its containers.

    Parameters
    ----------
    neuron_data_dictionary : mapping of session to ResponsesTrainTestSplit
        Responses (unit, time), in counts or Hz. Dicts with the same parts are also accepted.
    movies_dictionary : mapping of session to MoviesTrainTestSplit
        Movies (channel, time, y, x) in any unit, with the same sessions and tests.
    **options
        Options of `openretina`: ``train_chunk_size``, ``batch_size``, ``seed``, ``clip_length``,
        ``num_val_clips``, ``val_clip_indices``, ``allow_over_boundaries``, and those of
        `torch.utils.data.DataLoader`.

    Returns
    -------
    dict of dict of Loader
        Loaders of "train", "validation" and each test, by session.

    Raises
    ------
    NotInTree
        If a session or a test has responses but no movie, or a session has no responses.
    SchemaError
        If shapes do not fit, or a response is NaN.
    TypeError
        If an argument has something else than containers.
    """
    containers = {"responses": neuron_data_dictionary, "movie": movies_dictionary}
    for what, by_session in containers.items():
        check(by_session, Mapping, f"{what}: expected containers by session", TypeError)
    if not any(containers.values()):
        msg = "expected containers of at least one session, found none"
        raise SchemaError(msg)
    nodes = {"/": xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED, source="open-retina"))}
    for session in dict.fromkeys([*neuron_data_dictionary, *movies_dictionary]):
        for what, by_session in containers.items():
            if session not in by_session:
                raise NotInTree(f"{what} of session", session, by_session)
            if _member(by_session[session], "train") is None:
                msg = f"{what} of session {session!r}: expected a container with `train`"
                check(by_session[session], (), msg, TypeError)
        responses, movies = neuron_data_dictionary[session], movies_dictionary[session]
        train = _member(movies, "train"), _member(responses, "train")
        nodes |= _nodes(f"train/{session}", *train, None)
        tests = _member(movies, "test_dict") or {}
        repeats = _member(responses, "test_by_trial_dict") or {}
        for name, mean in (_member(responses, "test_dict") or {}).items():
            if name not in tests:
                raise NotInTree("movie of test", name, tests, where=f"session {session!r}")
            nodes |= _nodes(f"{name}/{session}", tests[name], mean, repeats.get(name))
    by_side = openretina(tree_of(nodes), **options)
    for loaders in by_side.values():
        for session, loader in loaders.items():
            facts = _member(neuron_data_dictionary[session], "session_kwargs")
            loader.dataset.session_info = dict(facts or {})
    return by_side


def get_movie_dataloader(  # noqa: PLR0913  the options of that library
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
    """Make the loader of open-retina's function of this name from a movie and responses in memory.

    Parameters
    ----------
    movie : (channel, time, y, x) array or tensor
        The movie, in grey levels.
    responses : (time, unit) array or tensor, or dict of these
        The responses, in counts or Hz; for a test also ``{"avg": ..., "by_trial": ...}`` with the
        repeats (trial, unit, time).
    split : {"train", "validation", "val", "test"}
        Training chunks begin anywhere, in another order in each epoch; others come in order.
    scene_length, chunk_size : int, frames
        Length of a clip and of a chunk.
    batch_size : int
        Chunks per batch.
    start_indices : sequence of int, optional
        First frames of chunks. Default: one chunk after another in training, the start of each clip
        in validation, and the start of the movie in a test, or of each clip if
        `allow_over_boundaries` is False.
    drop_last : bool
        If True, a last training batch that is not full is left out.
    allow_over_boundaries : bool
        Whether training chunks may run across clips.
    seed : int
        Seed of the training starts, which open-retina draws from the global state of numpy.
    session_info : mapping, optional
        Facts about the session and its units (`roi_ids`, `roi_coords`, `group_assignment`).
    **loading
        Options of `torch.utils.data.DataLoader`.

    Returns
    -------
    Loader
        A loader whose dataset is a `MovieDataset`.

    Raises
    ------
    SchemaError
        If shapes do not fit, or a response is NaN.
    ValueError
        If the split is unknown, or chunks do not fit.
    """
    if split not in (*SIDES, "test"):
        msg = f"split={split!r}: expected one of 'train', 'validation', 'val', 'test'"
        raise ValueError(msg)
    parts = responses if isinstance(responses, Mapping) else {"avg": responses}
    if "avg" not in parts:
        raise NotInTree("responses", "avg", parts)
    nodes = _nodes(f"{split}/session", movie, np.asarray(parts["avg"]).T, parts.get("by_trial"))
    frames = np.asarray(movie).shape[1]
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
    """Return the nodes of one session in a block, at `path`.

    `movie` is (channel, time, y, x), `responses` (unit, time), `trials` (trial, unit, time) or None.
    """
    movie, responses = np.asarray(movie), np.asarray(responses)
    if movie.ndim != 4 or responses.ndim != 2:
        msg = (
            f"{path}: expected a movie (channel, time, y, x) and responses of units along time, "
            f"found shapes {movie.shape} and {responses.shape}"
        )
        raise SchemaError(msg)
    frames, units = movie.shape[1], responses.shape[0]
    if responses.shape[1] < frames:
        msg = f"{path}: the movie has {many(frames, 'frame')}, the responses {responses.shape[1]}"
        raise SchemaError(msg)
    dims = (schema.TIME, schema.CHANNEL, "y", "x")
    area: dict[str, Any] = {schema.RESPONSES: ((schema.TIME, schema.UNIT), responses[:, :frames].T)}
    if trials is not None:
        repeats = np.asarray(trials)
        if repeats.ndim != 3 or repeats.shape[1] != units or repeats.shape[2] < frames:
            msg = (
                f"{path}: expected repeats (trial, unit, time) of {units} units and {frames} frames, "
                f"found shape {repeats.shape}"
            )
            raise SchemaError(msg)
        area[BY_TRIAL] = ((schema.TRIAL, schema.UNIT, schema.TIME), repeats[..., :frames])
    return {
        path: xr.Dataset({schema.STIMULUS: (dims, np.moveaxis(movie, 1, 0))}),
        f"{path}/retina": xr.Dataset(area, {schema.UNIT: np.arange(units)}),
    }


def _member(container: Any, name: str) -> Any:
    """Return a part of a container, or of a dict in its place; None if it has no such part."""
    return container.get(name) if isinstance(container, Mapping) else getattr(container, name, None)


def _check_numbers(seed: Any, fr_normalization: Any) -> None:
    """Check that the seed is a whole number, and the divisor of responses is positive."""
    if not isinstance(seed, int | np.integer):
        msg = f"{option('seed', seed)}: expected a whole number; it draws the validation clips"
        raise ValueError(msg)
    is_number = isinstance(fr_normalization, int | float | np.number)
    if fr_normalization is not None and not (is_number and fr_normalization > 0):
        msg = f"{option('fr_normalization', fr_normalization)}: expected a positive number"
        raise ValueError(msg)


def _one(what: str, names: Sequence[str]) -> str:
    """Return the only variable of a list."""
    if isinstance(names, str) or len(names) != 1:
        msg = f"{what}: expected a list of one variable, found {names!r}"
        raise ValueError(msg)
    return names[0]


def _block(area: xr.DataTree) -> str:
    """Return the name of the block of an area; "train" in a tree without blocks."""
    parts = area.path.strip("/").split("/")
    return parts[0] if len(parts) > 2 else "train"


def _session(area: xr.DataTree) -> str:
    """Return the name of the session of an area."""
    return area.path.split("/")[-2]


def _count_duration(dataset: str | None, area: xr.DataTree, response: str) -> float:
    """Return the duration in s that open-retina's reader divides counts of a dataset by, or 1."""
    are_counts = gathering.find(area, response).attrs.get("units") == "1"
    return _COUNT_DURATION.get(str(dataset), 1.0) if are_counts else 1.0
