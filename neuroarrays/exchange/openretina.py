"""Trees to and from the containers of open-retina (`MoviesTrainTestSplit`, `ResponsesTrainTestSplit`).

Their arrays are (channel, time, y, x), (neuron, time) and (trial, neuron, time), in memory. Flashed
images take the place of time there.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches.movies import frame_dim
from neuroarrays.errors import MissingDependency, SchemaError, option
from neuroarrays.exchange.containers import SEQUENCES, from_openretina
from neuroarrays.formats.door import open_datatree
from neuroarrays.formats.retina import nodes as retina
from neuroarrays.formats.retina.session_info import session_info

__all__ = ["from_openretina", "load_responses", "load_stimuli", "to_openretina"]


def __dir__() -> list[str]:
    return sorted(__all__)


#: Seed of open-retina's draw of validation clips: a default there, not its configuration's.
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
    """The two dictionaries that open-retina's dataloaders take. Reads all values into memory.

    Parameters
    ----------
    tree : xr.DataTree
        An aligned tree with a block `train` and one or more others, which are tests.
    normalize_stimuli : bool
        Subtract the mean of all pixels of a session's train movie and divide by their deviation
        (ddof=1); the movies are then float32, and the two numbers stand in the container.
    leave_out : (int, int), optional
        Length and number of the validation clips, which the two numbers then leave out. The clips
        are those that open-retina draws; it does not leave them out.
    fr_normalization : float
        What responses are divided by, also those by trial; 0.3 s makes rates of the counts of
        goldin_2022, as open-retina does.
    missing : {"raise", "skip"}
        Refuse a session without a movie, or leave it out with a warning; open-retina needs a movie
        for all responses.
    containers : bool
        Its own classes, for which it must be installed; with False, dicts of their arguments.

    Returns
    -------
    movies, responses : dict
        Session -> container. Movies are (channel, time, y, x), responses (neuron, time), those by
        trial (trial, neuron, time). What is said of a session and its units are `session_kwargs`.

    Raises
    ------
    SchemaError
        If a session lacks a test or, unless skipped, its movie; if responses are NaN, a train movie is constant
        and should be normalised, or names of test blocks differ from session to session.
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
    kinds = _containers() if containers else (dict, dict)
    retina.choice("missing", missing, ("raise", "skip"))
    sessions = _sessions(tree, missing)
    movies = _movies(tree, sessions, kinds[0], normalize_stimuli, leave_out)
    return movies, _responses(tree, sessions, kinds[1], fr_normalization)


def load_stimuli(path: Any, *, normalize_stimuli: bool = False, **opening: Any) -> dict[str, Any]:
    """Movies of a dataset for open-retina's configuration, ``data_io.stimuli._target_``.

    Parameters
    ----------
    path : str or path
        As for `open_datatree`.
    normalize_stimuli : bool
        As for `to_openretina`.
    **opening
        Of `open_datatree`: ``engine``, ``sessions``, the reader's own.

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
        Of `open_datatree`: ``engine``, ``sessions``, the reader's own, such as ``response``.

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
    try:
        from openretina.data_io.base import MoviesTrainTestSplit, ResponsesTrainTestSplit
    except ModuleNotFoundError as error:
        purpose = "making open-retina's containers (dicts with containers=False)"
        raise MissingDependency("openretina", "", purpose) from error
    return MoviesTrainTestSplit, ResponsesTrainTestSplit


def _movie(tree: xr.DataTree, block: str, session: str) -> np.ndarray:
    node: Any = tree[f"{block}/{session}"]
    if "stimulus" not in node.data_vars:
        note = node.attrs.get("note", "")
        msg = f"{block}/{session} has no stimulus, which open-retina needs" + f" ({note})" * bool(
            note
        )
        raise SchemaError(msg)
    shown = node["stimulus"]
    if sorted(map(str, shown.dims)) != sorted(("channel", frame_dim(shown), "y", "x")):
        msg = (
            f"{block}/{session}/stimulus: expected channel, y, x and time or presentation_id, "
            f"found {shown.dims}"
        )
        raise SchemaError(msg)
    return np.asarray(shown.transpose("channel", frame_dim(shown), "y", "x").values)


def _sessions(tree: xr.DataTree, missing: str) -> dict[str, list[str]]:
    """Sessions to take, and the names of the tests of each."""
    if schema.kind_of(tree) != schema.ALIGNED or retina.TRAIN not in tree.children:
        msg = f"expected an aligned tree with a block 'train', found {list(tree.children)}"
        raise SchemaError(msg)
    tests = [name for name in tree.children if name != retina.TRAIN]
    taken, left_out = {}, []
    for session in tree[retina.TRAIN].children:
        here = [name for name in tests if session in tree[name].children]
        shown = [f"{name}/{session}" for name in (retina.TRAIN, *here)]
        if missing == "skip" and not all("stimulus" in tree[path] for path in shown):
            left_out.append(session)
            continue
        if not here:
            msg = f"session {session!r} has no test block; open-retina needs one"
            raise SchemaError(msg)
        taken[session] = here
    if left_out:
        msg = f"left out, since nothing says what was shown: {', '.join(left_out)}"
        warnings.warn(msg, stacklevel=3)
    if not taken:
        msg = "no session has a movie, which open-retina needs"
        raise SchemaError(msg)
    return taken


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
        shown = {name: _movie(tree, name, session) for name in (retina.TRAIN, *tests)}
        movie: dict[str, Any] = {
            "stim_id": node.attrs.get("stimulus_type"),
            SEQUENCES: session_info(node, node[retina.RETINA]).get(SEQUENCES),
        }
        if normalize_stimuli:
            shown, stats = _normalised(shown, session, leave_out)
            movie |= stats
        movie |= {"train": shown[retina.TRAIN], "test_dict": {n: shown[n] for n in tests}}
        movies[session] = kind(**movie)
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
        told = session_info(node, node[retina.RETINA])
        told.pop(SEQUENCES, None)
        responses[session] = kind(
            train=by_block[retina.TRAIN],
            test_dict={name: by_block[name] for name in tests},
            test_by_trial_dict=by_trial,
            stim_id=node.attrs.get("stimulus_type"),
            session_kwargs=told,
        )
    return responses


def _arranged(array: xr.DataArray, dims: tuple[str, ...], divisor: float) -> np.ndarray:
    """The values of an array with time last, over a number."""
    values = array.transpose(*dims, frame_dim(array)).values
    return values if divisor == 1 else values / divisor


def _normalised(
    shown: dict[str, np.ndarray], session: str, leave_out: tuple[int, int] | None
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Movies less the mean of the train movie, over its deviation."""
    train = shown[retina.TRAIN]
    kept = np.ones(train.shape[1], bool)
    if leave_out is not None:
        length, count = _clip_counts(leave_out, train.shape[1])
        draw = np.random.RandomState(VALIDATION_SEED)  # the clips drawn there
        for clip in draw.choice(train.shape[1] // length, count, replace=False):
            kept[clip * length : (clip + 1) * length] = False
    values = train[:, kept]
    mean = float(values.mean(dtype=np.float64))
    deviation = float(values.std(dtype=np.float64, ddof=1)) if values.size > 1 else 0.0
    if not deviation > 0:
        msg = f"train/{session}/stimulus is constant, it cannot be normalised"
        raise SchemaError(msg)
    movies = {
        name: (movie.astype(np.float32) - np.float32(mean)) / np.float32(deviation)
        for name, movie in shown.items()
    }
    return movies, {"norm_mean": mean, "norm_std": deviation}


def _clip_counts(leave_out: Any, frames: int) -> tuple[int, int]:
    """Frames of a clip and the number of clips to leave out, which there are."""
    pair = np.asarray(leave_out)
    fits = pair.shape == (2,) and pair.dtype.kind in "iu" and pair[0] > 0
    if not fits or not 0 <= pair[1] < frames // pair[0]:
        msg = (
            f"{option('leave_out', leave_out)}: expected the length of a clip and a number of clips, "
            f"fewer than there are in {frames} frames"
        )
        raise ValueError(msg)
    return int(pair[0]), int(pair[1])
