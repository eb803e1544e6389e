"""Trees to and from the containers of open-retina (`MoviesTrainTestSplit`, `ResponsesTrainTestSplit`).

Their arrays are (channel, time, y, x), (neuron, time) and (trial, neuron, time), in memory. Flashed
images take the place of time there.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches.movies import frame_dim
from neuroarrays.errors import FormatError, MissingDependency, SchemaError
from neuroarrays.formats.door import open_datatree
from neuroarrays.formats.retina import nodes as retina
from neuroarrays.formats.retina.arrays import floats, pixels
from neuroarrays.formats.retina.clips import clips
from neuroarrays.formats.retina.session_info import put_session_info, session_info
from neuroarrays.lazy.views import Arranged, InMemory, transposed

#: Seed of open-retina's draw of validation clips: a default there, not its configuration's.
VALIDATION_SEED = 42
_SEQUENCES = "random_sequences"


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
    """
    tree = open_datatree(path, **opening)
    return _responses(tree, _sessions(tree, "raise"), _containers()[1], fr_normalization)


def from_openretina(
    movies: Any,
    responses: Mapping[str, Any],
    *,
    sampling_rate: float | None = None,
    by_trial: Sequence[str] = (schema.TRIAL, schema.UNIT, schema.TIME),
    mismatch: str = "error",
) -> xr.DataTree:
    """A tree of open-retina's containers, or of dicts as `to_openretina` makes them.

    Parameters
    ----------
    movies : MoviesTrainTestSplit, or mapping of session to these
        What was shown; one for all, or one per session. A session without one opens without
        `stimulus`, and its attribute `note` says so. Where a movie has `random_sequences` and a
        session its `scan_sequence_idx` (Hoefling et al. 2024), the clips stand in the order of the
        scan, mirrored for a left eye, and are labelled by `clip_id`.
    responses : mapping of session to ResponsesTrainTestSplit
        What the neurons did.
    sampling_rate : float, optional, Hz
        Frames per second; without it there is no `time`.
    by_trial : sequence of str
        The axes of responses by trial, which differ from dataset to dataset there. They are
        declared, never guessed.
    mismatch : {"error", "cut"}
        Where responses and stimulus differ in length: refuse, or drop the end of the longer.

    Returns
    -------
    xr.DataTree
        Blocks `train` and the names of the tests.

    Raises
    ------
    FormatError
        If lengths or numbers of units differ.
    """
    retina.choice("mismatch", mismatch, ("error", "cut"))
    if sorted(by_trial) != sorted((schema.TRIAL, schema.UNIT, schema.TIME)):
        msg = f"by_trial: expected 'trial', 'unit_id' and 'time' in some order, got {by_trial!r}"
        raise ValueError(msg)
    order = tuple(list(by_trial).index(d) for d in (schema.TRIAL, schema.TIME, schema.UNIT))
    nodes: dict[str, xr.Dataset] = {}
    for session, response in responses.items():
        movie = _movie_of(movies, session)
        for block in (retina.TRAIN, *_get(response, "test_dict")):
            part = _part(session, block, movie, response, order)
            part.attrs |= retina.rate_attrs(sampling_rate, None)
            part.time = retina.regular_clock(sampling_rate, min(part.lengths().values()))
            path = f"{schema.node_name(block)}/{schema.node_name(session)}"
            nodes |= retina.part_nodes(path, part, mismatch)
            notes: list[str] = []
            told = dict(_get(response, "session_kwargs") or {})
            if not part.frames and (sequences := _get(movie, _SEQUENCES)) is not None:
                told[_SEQUENCES] = sequences
            put_session_info(nodes, path, told, notes)
            if notes:
                nodes[path].attrs["notes"] = notes
    ordered = dict(sorted(nodes.items(), key=lambda item: not item[0].startswith("train/")))
    attrs = schema.root_attrs(schema.ALIGNED, source="open-retina")
    if left_out := [name for name in _named(movies) if name not in responses]:
        attrs["notes"] = [f"movies of {name}: no responses, left out" for name in left_out]
    root = xr.Dataset(attrs=attrs)
    return xr.DataTree.from_dict({"/": root} | ordered)


def _containers() -> tuple[Any, Any]:
    try:
        from openretina.data_io.base import MoviesTrainTestSplit, ResponsesTrainTestSplit
    except ModuleNotFoundError as error:
        purpose = "making open-retina's containers (pip install openretina; or containers=False)"
        raise MissingDependency("openretina", "torch", purpose) from error
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
            _SEQUENCES: session_info(node, node[retina.RETINA]).get(_SEQUENCES),
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
        told.pop(_SEQUENCES, None)
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
        length, count = leave_out
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


def _get(container: Any, name: str) -> Any:
    return container.get(name) if isinstance(container, Mapping) else getattr(container, name, None)


def _named(movies: Any) -> list[str]:
    """The sessions that have movies of their own; none where one movie is for all."""
    return [] if not isinstance(movies, Mapping) or "train" in movies else [*map(str, movies)]


def _movie_of(movies: Any, session: str) -> Any:
    """The movie of a session; None where there is none."""
    if isinstance(movies, Mapping) and "train" not in movies:
        return movies.get(session)
    return movies


def _part(
    session: str, block: str, movie: Any, response: Any, order: tuple[int, ...]
) -> retina.BlockData:
    part = retina.BlockData("containers", attrs={"session_id": session})
    train = block == retina.TRAIN
    shown = _get(movie, "train") if train else (_get(movie, "test_dict") or {}).get(block)
    told = _get(response, "session_kwargs") or {}
    if shown is None:
        part.attrs["note"] = "no movie was given"
    else:
        part.stimulus = Arranged(pixels(InMemory(np.asarray(shown))), (1, 0, 2, 3))
        _in_order_of_the_scan(part, train, movie, told)
    values = _get(response, "train") if train else _get(response, "test_dict")[block]
    part.responses = transposed(floats(InMemory(np.asarray(values))))
    trials = (_get(response, "test_by_trial_dict") or {}).get(block)
    if not train and trials is not None:
        part.by_trial = Arranged(floats(InMemory(np.asarray(trials))), order)
    if schema.UNIT in told:
        part.units[schema.UNIT] = told[schema.UNIT]
    if (stimulus := _get(response, "stim_id")) is not None:
        part.attrs["stimulus_type"] = stimulus
    return part


def _in_order_of_the_scan(
    part: retina.BlockData, train: bool, movie: Any, told: Mapping[str, Any]
) -> None:
    """Put the clips of a movie in the order in which a scan saw them."""
    sequences, scan = _get(movie, _SEQUENCES), told.get("scan_sequence_idx")
    if sequences is None or scan is None or part.stimulus is None:
        return
    orders, frames, number = np.asarray(sequences, np.int64), part.stimulus.shape[0], int(scan)
    step = frames // orders.shape[0] if train else frames
    if not 0 <= number < orders.shape[1] or (train and frames % orders.shape[0]):
        raise FormatError(
            part.path,
            f"{part.attrs['session_id']}: scan_sequence_idx",
            f"one of {orders.shape[1]} scans, and whole clips",
            f"scan {scan}, {orders.shape[0]} clips in {frames} frames",
        )
    order = orders[:, number] if train else np.zeros(1, np.int64)
    if train:
        part.frames["clip_id"] = np.repeat(order, step)
    part.stimulus = clips(part.stimulus, order, step, str(told.get("eye")) == "left")
