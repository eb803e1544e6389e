"""Trees to and from the containers of open-retina (`MoviesTrainTestSplit`, `ResponsesTrainTestSplit`).

Their arrays are (channel, time, y, x), (neuron, time) and (trial, neuron, time), in memory. Flashed
images take the place of time there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import MissingDependency, SchemaError
from neuroarrays.files.source import plain
from neuroarrays.formats.retina import nodes as retina
from neuroarrays.formats.retina.arrays import floats, pixels
from neuroarrays.lazy.views import Arranged, InMemory, transposed

#: Seed of open-retina's draw of validation clips: a default there, not its configuration's.
VALIDATION_SEED = 42
#: Attributes of a session that the tree has of its own.
_OURS = ("session_id", "stimulus_type", "sampling_rate", "sampling_rate_source", "note", "notes")
#: Columns of a label of units, and values of an attribute.
_MOST = 16


def to_openretina(
    tree: xr.DataTree,
    *,
    normalize_stimuli: bool = False,
    leave_out: tuple[int, int] | None = None,
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
    containers : bool
        Its own classes, for which it must be installed; with False, dicts of their arguments.

    Returns
    -------
    movies, responses : dict
        Session -> container. Movies are (channel, time, y, x), responses (neuron, time), those by
        trial (trial, neuron, time).

    Raises
    ------
    SchemaError
        If a session lacks train, test or stimulus, responses are NaN, a train movie is constant
        and should be normalised, or names of test blocks differ from session to session.
    MissingDependency
        If open-retina is not installed.
    """
    kinds = _containers() if containers else (dict, dict)
    if schema.kind_of(tree) != schema.ALIGNED or retina.TRAIN not in tree.children:
        msg = f"expected an aligned tree with a block 'train', found {list(tree.children)}"
        raise SchemaError(msg)
    tests = [name for name in tree.children if name != retina.TRAIN]
    movies: dict[str, Any] = {}
    responses: dict[str, Any] = {}
    for session in tree[retina.TRAIN].children:
        here = [name for name in tests if session in tree[name].children]
        if not here:
            msg = f"session {session!r} has no test block; open-retina needs one"
            raise SchemaError(msg)
        shown = {name: _movie(tree, name, session) for name in (retina.TRAIN, *here)}
        movie: dict[str, Any] = {
            "stim_id": tree[f"{retina.TRAIN}/{session}"].attrs.get("stimulus_type")
        }
        if normalize_stimuli:
            shown, stats = _normalised(shown, session, leave_out)
            movie |= stats
        movie |= {"train": shown[retina.TRAIN], "test_dict": {n: shown[n] for n in here}}
        movies[session] = kinds[0](**movie)
        responses[session] = kinds[1](**_responses(tree, session, here))
    return movies, responses


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
        What was shown; one for all, or one per session.
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
        movie = movies[session] if isinstance(movies, Mapping) and session in movies else movies
        for block in (retina.TRAIN, *_get(response, "test_dict")):
            part = _part(session, block, movie, response, order)
            part.attrs |= retina.rate_attrs(sampling_rate, None)
            part.time = retina.regular_clock(sampling_rate, min(part.lengths().values()))
            path = f"{schema.node_name(block)}/{schema.node_name(session)}"
            nodes |= retina.part_nodes(path, part, mismatch)
    ordered = dict(sorted(nodes.items(), key=lambda item: not item[0].startswith("train/")))
    root = xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED, source="open-retina"))
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
    if sorted(map(str, shown.dims)) != sorted(("channel", _frame(shown), "y", "x")):
        msg = (
            f"{block}/{session}/stimulus: expected channel, y, x and time or presentation_id, "
            f"found {shown.dims}"
        )
        raise SchemaError(msg)
    return np.asarray(shown.transpose("channel", _frame(shown), "y", "x").values)


def _frame(array: xr.DataArray) -> str:
    """The dimension that is time to open-retina."""
    return schema.TIME if schema.TIME in array.dims else schema.PRESENTATION


def _responses(tree: xr.DataTree, session: str, tests: list[str]) -> dict[str, Any]:
    """The arguments of a `ResponsesTrainTestSplit`."""
    areas: dict[str, Any] = {
        name: tree[f"{name}/{session}/{retina.RETINA}"] for name in (retina.TRAIN, *tests)
    }
    by_block = {}
    for name, area in areas.items():
        values = area[schema.RESPONSES]
        by_block[name] = values.transpose(schema.UNIT, _frame(values)).values
        if np.isnan(by_block[name]).any():
            msg = (
                f"{name}/{session}/{retina.RETINA}/responses has NaN; open-retina would leave the "
                "session out without an error: select units or times first"
            )
            raise SchemaError(msg)
    by_trial = {
        name: area["responses_by_trial"]
        for name, area in areas.items()
        if name != retina.TRAIN and "responses_by_trial" in area.data_vars
    }
    trials = {
        name: values.transpose(schema.TRIAL, schema.UNIT, _frame(values)).values
        for name, values in by_trial.items()
    }
    first = areas[retina.TRAIN]
    labels = {
        str(name): label.values
        for name, label in first.to_dataset(inherit=False).coords.items()
        if label.dims == (schema.UNIT,)
    }
    return {
        "train": by_block[retina.TRAIN],
        "test_dict": {name: by_block[name] for name in tests},
        "test_by_trial_dict": trials,
        "stim_id": tree[f"{retina.TRAIN}/{session}"].attrs.get("stimulus_type"),
        "session_kwargs": _of_session(tree[f"{retina.TRAIN}/{session}"]) | labels,
    }


def _of_session(node: Any) -> dict[str, Any]:
    """What is said of a session as a whole, such as the eye: attributes that are no one's else."""
    attrs = {str(name): value for name, value in node.attrs.items() if name not in _OURS}
    return {k: v for k, v in attrs.items() if isinstance(v, str | int | float | np.generic)}


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


def _part(
    session: str, block: str, movie: Any, response: Any, order: tuple[int, ...]
) -> retina.BlockData:
    part = retina.BlockData("containers", attrs={"session_id": session})
    train = block == retina.TRAIN
    movies = _get(movie, "test_dict") or {}
    shown = _get(movie, "train") if train else movies.get(block)
    if shown is not None:
        part.stimulus = Arranged(pixels(InMemory(np.asarray(shown))), (1, 0, 2, 3))
    values = _get(response, "train") if train else _get(response, "test_dict")[block]
    part.responses = transposed(floats(InMemory(np.asarray(values))))
    trials = (_get(response, "test_by_trial_dict") or {}).get(block)
    if not train and trials is not None:
        part.by_trial = Arranged(floats(InMemory(np.asarray(trials))), order)
    if (stimulus := _get(response, "stim_id")) is not None:
        part.attrs["stimulus_type"] = stimulus
    for name, value in (_get(response, "session_kwargs") or {}).items():
        _say(part, str(name), value)
    return part


def _say(part: retina.BlockData, name: str, value: Any) -> None:
    """Store a value as labels of the units or as an attribute of the session, else as a note."""
    n_units = part.responses.shape[1]  # type: ignore[union-attr]
    try:
        values = np.asarray(value)
    except ValueError:  # lists of different lengths
        values = np.empty(len(value), object)
    of_units = values.shape[:1] == (n_units,)
    if of_units and values.ndim == 1:
        part.units[name] = values
    elif of_units and values.ndim == 2 and values.shape[1] <= _MOST:
        part.units |= {f"{name}_{i}": column for i, column in enumerate(values.T)}
    elif values.dtype.kind in "biufU" and values.ndim < 2 and values.size <= _MOST:
        part.attrs.setdefault(name, plain(values))
    elif value is not None:
        note = f"session_kwargs[{name!r}]: not in the tree ({values.dtype} of shape {values.shape})"
        part.attrs["notes"] = [*part.attrs.get("notes", []), note]
