"""Convert trees to containers of open-retina: `MoviesTrainTestSplit`, `ResponsesTrainTestSplit`.

Their arrays are (channel, time, y, x), (neuron, time) and (trial, neuron, time), in memory. For
flashed images, the dimension of time holds the images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches.movies import frame_dim
from neuroarrays.errors import MissingDependency, SchemaError, option, warn
from neuroarrays.exchange.openretina_trees import SEQUENCES, from_openretina
from neuroarrays.formats.door import open_datatree
from neuroarrays.formats.retina import nodes as retina
from neuroarrays.formats.retina.session_info import session_info

__all__ = ["from_openretina", "load_responses", "load_stimuli", "to_openretina"]


def __dir__() -> list[str]:
    return sorted(__all__)


#: The default seed with which open-retina draws validation clips.
VALIDATION_SEED = 42


def to_openretina(
    tree: xr.DataTree,
    *,
    normalize_stimuli: bool = False,
    leave_out: tuple[int, int] | None = None,
    fr_normalization: float = 1.0,
    missing: str = "raise",
    containers: bool = True,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Convert a tree to the two dictionaries that open-retina's dataloaders take, in memory.

    Parameters
    ----------
    tree : xr.DataTree
        An aligned tree with a block `train` and one or more others, which are tests.
    normalize_stimuli : bool
        Subtract the mean of all pixels of a session's train movie, and divide by their standard
        deviation (ddof=1). The movies are then float32, and the container holds the two numbers.
    leave_out : (int, int), optional
        Length (frames) and number of the validation clips that are left out of the mean and the
        standard deviation. These are the clips that open-retina draws. open-retina itself does not
        leave them out.
    fr_normalization : float
        A number by which all responses are divided. With 0.3 (s), the spike counts of goldin_2022
        become rates, as in open-retina.
    missing : {"raise", "skip"}
        What to do with a session without a movie, which open-retina cannot use: raise an error, or
        leave it out with a warning.
    containers : bool
        If True, return open-retina's classes, which must be installed. If False, return dicts of
        their arguments.

    Returns
    -------
    movies, responses : dict
        Session -> container. Movies are (channel, time, y, x), responses (neuron, time), responses
        by trial (trial, neuron, time). Labels of a session and its units are in `session_kwargs`.

    Raises
    ------
    SchemaError
        If a session has no test, or no movie and is not skipped; if responses are NaN; or if a
        train movie is constant and `normalize_stimuli` is True.
    MissingDependency
        If open-retina is not installed.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_goldin
    >>> tree = na.open_datatree(write_goldin("goldin"))
    >>> movies, responses = na.openretina.to_openretina(tree, containers=False)
    >>> session = next(iter(movies))
    >>> movies[session]["train"].shape, responses[session]["train"].shape
    ((1, 900, 12, 12), (6, 900))
    """
    movies_class, responses_class = _containers() if containers else (dict, dict)
    retina.choice("missing", missing, ("raise", "skip"))
    sessions = _sessions(tree, missing)
    movies = _movies(tree, sessions, movies_class, normalize_stimuli, leave_out)
    return movies, _responses(tree, sessions, responses_class, fr_normalization)


def load_stimuli(path: Any, *, normalize_stimuli: bool = False, **opening: Any) -> dict[str, Any]:
    """Movies of a dataset for open-retina's configuration, ``data_io.stimuli._target_``.

    Parameters
    ----------
    path : str or path
        As for `open_datatree`.
    normalize_stimuli : bool
        As for `to_openretina`.
    **opening
        Arguments of `open_datatree`: ``engine``, ``sessions``, those of the reader.

    Returns
    -------
    dict
        Session -> MoviesTrainTestSplit.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_goldin
    >>> path = write_goldin("goldin")
    >>> movies = na.openretina.load_stimuli(path)  # doctest: +SKIP
    """
    tree = open_datatree(path, **opening)
    return _movies(tree, _sessions(tree, "raise"), _containers()[0], normalize_stimuli, None)


def load_responses(path: Any, *, fr_normalization: float = 1.0, **opening: Any) -> dict[str, Any]:
    """Responses of a dataset for open-retina's configuration, ``data_io.responses._target_``.

    Parameters
    ----------
    path : str or path
        As for `open_datatree`.
    fr_normalization : float
        As for `to_openretina`.
    **opening
        Arguments of `open_datatree`: ``engine``, ``sessions``, those of the reader, such as ``response``.

    Returns
    -------
    dict
        Session -> ResponsesTrainTestSplit.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_goldin
    >>> path = write_goldin("goldin")
    >>> responses = na.openretina.load_responses(path, response="rate")  # doctest: +SKIP
    """
    tree = open_datatree(path, **opening)
    return _responses(tree, _sessions(tree, "raise"), _containers()[1], fr_normalization)


def _containers() -> tuple[Any, Any]:
    """open-retina's classes for movies and for responses."""
    try:
        from openretina.data_io.base import MoviesTrainTestSplit, ResponsesTrainTestSplit
    except ModuleNotFoundError as error:
        purpose = "making open-retina's containers (dicts with containers=False)"
        raise MissingDependency("openretina", "", purpose) from error
    return MoviesTrainTestSplit, ResponsesTrainTestSplit


def _movie(tree: xr.DataTree, block: str, session: str) -> np.ndarray:
    """The movie of a block and session, (channel, time, y, x)."""
    node: Any = tree[f"{block}/{session}"]
    if schema.STIMULUS not in node.data_vars:
        note = f" ({node.attrs['note']})" if node.attrs.get("note") else ""
        msg = f"{block}/{session} has no stimulus, which open-retina needs{note}"
        raise SchemaError(msg)
    movie = node[schema.STIMULUS]
    dims = (schema.CHANNEL, frame_dim(movie), "y", "x")
    if sorted(map(str, movie.dims)) != sorted(dims):
        msg = (
            f"{block}/{session}/stimulus: expected channel, y, x and time or presentation_id, "
            f"found {movie.dims}"
        )
        raise SchemaError(msg)
    return np.asarray(movie.transpose(*dims).values)


def _sessions(tree: xr.DataTree, missing: str) -> dict[str, list[str]]:
    """The sessions to convert, with the names of the tests of each."""
    if schema.kind_of(tree) != schema.ALIGNED or retina.TRAIN not in tree.children:
        msg = f"expected an aligned tree with a block 'train', found {list(tree.children)}"
        raise SchemaError(msg)
    tests = [name for name in tree.children if name != retina.TRAIN]
    tests_of, left_out = {}, []
    for session in tree[retina.TRAIN].children:
        tests_here = [name for name in tests if session in tree[name].children]
        paths = [f"{name}/{session}" for name in (retina.TRAIN, *tests_here)]
        if missing == "skip" and not all(schema.STIMULUS in tree[path] for path in paths):
            left_out.append(session)
            continue
        if not tests_here:
            msg = f"session {session!r} has no test block; open-retina needs one"
            raise SchemaError(msg)
        tests_of[session] = tests_here
    if left_out:
        msg = f"sessions without a movie are left out: {', '.join(left_out)}"
        warn(msg)
    if not tests_of:
        msg = "no session has a movie, which open-retina needs"
        raise SchemaError(msg)
    return tests_of


def _movies(
    tree: xr.DataTree,
    sessions: Mapping[str, list[str]],
    kind: Any,
    normalize_stimuli: bool,
    leave_out: tuple[int, int] | None,
) -> dict[str, Any]:
    """A `MoviesTrainTestSplit` for each session."""
    movies = {}
    for session, tests in sessions.items():
        node: Any = tree[f"{retina.TRAIN}/{session}"]
        by_block = {name: _movie(tree, name, session) for name in (retina.TRAIN, *tests)}
        arguments: dict[str, Any] = {
            "stim_id": node.attrs.get("stimulus_type"),
            SEQUENCES: session_info(node, node[retina.RETINA]).get(SEQUENCES),
        }
        if normalize_stimuli:
            by_block, statistics = _normalised(by_block, session, leave_out)
            arguments |= statistics
        test_movies = {name: by_block[name] for name in tests}
        arguments |= {"train": by_block[retina.TRAIN], "test_dict": test_movies}
        movies[session] = kind(**arguments)
    return movies


def _responses(
    tree: xr.DataTree, sessions: Mapping[str, list[str]], kind: Any, divisor: float
) -> dict[str, Any]:
    """A `ResponsesTrainTestSplit` for each session."""
    if not divisor > 0:
        msg = f"fr_normalization: expected a positive number, got {divisor}"
        raise ValueError(msg)
    responses = {}
    for session, tests in sessions.items():
        by_block, by_trial = {}, {}
        for block in (retina.TRAIN, *tests):
            area: Any = tree[f"{block}/{session}/{retina.RETINA}"]
            by_block[block] = _arranged(area[schema.RESPONSES], (schema.UNIT,), divisor)
            if np.isnan(by_block[block]).any():
                msg = (
                    f"{block}/{session}/{retina.RETINA}/responses has NaN; open-retina would leave "
                    "the session out without an error: select units or times first"
                )
                raise SchemaError(msg)
            if block != retina.TRAIN and "responses_by_trial" in area.data_vars:
                repeats = area["responses_by_trial"]
                by_trial[block] = _arranged(repeats, (schema.TRIAL, schema.UNIT), divisor)
        node: Any = tree[f"{retina.TRAIN}/{session}"]
        info = session_info(node, node[retina.RETINA])
        info.pop(SEQUENCES, None)
        responses[session] = kind(
            train=by_block[retina.TRAIN],
            test_dict={name: by_block[name] for name in tests},
            test_by_trial_dict=by_trial,
            stim_id=node.attrs.get("stimulus_type"),
            session_kwargs=info,
        )
    return responses


def _arranged(array: xr.DataArray, dims: tuple[str, ...], divisor: float) -> np.ndarray:
    """The values of an array with the dimensions `dims` and then time, divided by a number."""
    values = array.transpose(*dims, frame_dim(array)).values
    return values if divisor == 1 else values / divisor


def _normalised(
    movies: dict[str, np.ndarray], session: str, leave_out: tuple[int, int] | None
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Subtract the mean of the train movie from all movies, and divide by its deviation.

    Returns
    -------
    movies : dict of str to (channel, time, y, x) float32
        The movies by block.
    statistics : dict of str to float
        The mean and the standard deviation.
    """
    train = movies[retina.TRAIN]
    counts = np.ones(train.shape[1], bool)
    if leave_out is not None:
        length, n_clips = _clip_counts(leave_out, train.shape[1])
        draw = np.random.RandomState(VALIDATION_SEED)  # It draws the same clips as open-retina.
        for clip in draw.choice(train.shape[1] // length, n_clips, replace=False):
            counts[clip * length : (clip + 1) * length] = False
    values = train[:, counts]
    mean = float(values.mean(dtype=np.float64))
    deviation = float(values.std(dtype=np.float64, ddof=1)) if values.size > 1 else 0.0
    if not deviation > 0:
        msg = f"train/{session}/stimulus is constant, it cannot be normalised"
        raise SchemaError(msg)
    normalised = {
        name: (movie.astype(np.float32) - np.float32(mean)) / np.float32(deviation)
        for name, movie in movies.items()
    }
    return normalised, {"norm_mean": mean, "norm_std": deviation}


def _clip_counts(leave_out: Any, frames: int) -> tuple[int, int]:
    """The frames of a clip, and the number of clips to leave out, which are checked."""
    pair = np.asarray(leave_out)
    fits = pair.shape == (2,) and pair.dtype.kind in "iu" and pair[0] > 0
    if not fits or not 0 <= pair[1] < frames // pair[0]:
        msg = (
            f"{option('leave_out', leave_out)}: expected the length of a clip and a number of clips, "
            f"fewer than there are in {frames} frames"
        )
        raise ValueError(msg)
    return int(pair[0]), int(pair[1])
