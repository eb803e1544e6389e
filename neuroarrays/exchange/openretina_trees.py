"""Convert containers of open-retina to trees; `openretina` converts trees to containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.formats.retina import nodes as retina
from neuroarrays.formats.retina.arrays import floats, pixels
from neuroarrays.formats.retina.clips import clips
from neuroarrays.formats.retina.session_info import put_session_info
from neuroarrays.lazy.trees import tree_of
from neuroarrays.lazy.views import Arranged, InMemory, transposed
from neuroarrays.schema.given import check, described

#: Attribute of a movie with the order of its clips in each scan, (clip, scan).
SEQUENCES = "random_sequences"
#: Dimensions of responses by trial in a tree.
_REPEATS = (schema.TRIAL, schema.TIME, schema.UNIT)


def from_openretina(
    movies: Any,
    responses: Mapping[str, Any],
    *,
    sampling_rate: float | None = None,
    by_trial: Sequence[str] = (schema.TRIAL, schema.UNIT, schema.TIME),
    mismatch: str = "error",
) -> xr.DataTree:
    """Make an aligned tree from containers of open-retina, or from dicts as `to_openretina` makes.

    Parameters
    ----------
    movies : MoviesTrainTestSplit, or mapping of session to these
        The movies, ``(channel, time, y, x)``: one for all sessions, or one for each. A session
        without a movie has no `stimulus`, and its attribute `note` says so. If a movie has
        `random_sequences` and a session has `scan_sequence_idx` (Hoefling et al. 2024), the clips
        are put in the order of the scan, mirrored for a left eye, and labelled by `clip_id`.
    responses : mapping of session to ResponsesTrainTestSplit
        The responses of the neurons, ``(neuron, time)``, in the unit of the dataset.
    sampling_rate : float, optional, Hz
        Frames per second. Without it the tree has no coordinate `time`.
    by_trial : sequence of str
        The dimensions of responses by trial, in their order. Datasets differ in it, and it cannot
        be guessed.
    mismatch : {"error", "cut"}
        What to do if responses and stimulus differ in length: raise an error, or drop the end of
        the longer one.

    Returns
    -------
    xr.DataTree
        An aligned tree with the block `train` and a block for each test.

    Raises
    ------
    FormatError
        If lengths or numbers of units differ, an array has other dimensions, or the orders of clips
        do not fit the movie.
    TypeError
        If an object is not a container.
    ValueError
        If an option has an unknown value, or a test has the name `train`.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_goldin
    >>> tree = na.open_datatree(write_goldin("goldin"))
    >>> movies, responses = na.openretina.to_openretina(tree, containers=False)
    >>> back = na.openretina.from_openretina(movies, responses, sampling_rate=30)
    >>> list(back.children)
    ['train', 'test']
    """
    retina.choice("mismatch", mismatch, ("error", "cut"))
    if sorted(by_trial) != sorted((schema.TRIAL, schema.UNIT, schema.TIME)):
        msg = f"by_trial: expected 'trial', 'unit_id' and 'time' in some order, got {by_trial!r}"
        raise ValueError(msg)
    order = tuple(list(by_trial).index(dim) for dim in _REPEATS)
    check(responses, Mapping, "responses: expected containers by session", TypeError)
    nodes: dict[str, xr.Dataset] = {}
    left_out = [
        f"movies of {name}: no responses, left out"
        for name in _sessions_of_movies(movies)
        if name not in responses
    ]
    for session, response in responses.items():
        movie = _movie_of(movies, session)
        _check_container("responses", session, response)
        if movie is not None:
            _check_container("movies", session, movie)
        tests = [*(_get(response, "test_dict") or ())]
        left_out += [
            f"movie of the test {name} of {session}: no responses, left out"
            for name in _get(movie, "test_dict") or ()
            if name not in tests
        ]
        for block in (retina.TRAIN, *tests):
            part = _part(session, block, movie, response, order)
            part.attrs |= retina.rate_attrs(sampling_rate, None)
            part.time = retina.regular_clock(sampling_rate, min(part.lengths().values()))
            path = f"{schema.node_name(block)}/{schema.node_name(session)}"
            nodes |= retina.part_nodes(path, part, mismatch)
            notes: list[str] = []
            info = dict(_get(response, "session_kwargs") or {})
            if not part.frames and (sequences := _get(movie, SEQUENCES)) is not None:
                info[SEQUENCES] = sequences
            put_session_info(nodes, path, info, notes)
            if notes:
                nodes[path].attrs["notes"] = notes
    ordered = dict(sorted(nodes.items(), key=lambda item: not item[0].startswith("train/")))
    attrs = schema.root_attrs(schema.ALIGNED, source="open-retina")
    if left_out:
        attrs["notes"] = left_out
    root = xr.Dataset(attrs=attrs)
    return tree_of({"/": root} | ordered)


def _get(container: Any, name: str) -> Any:
    """An entry of a dict, or an attribute of an object; None if there is none."""
    return container.get(name) if isinstance(container, Mapping) else getattr(container, name, None)


def _check_container(what: str, session: str, container: Any) -> None:
    """Refuse an object without `train`, and a container with a test of the name `train`."""
    if _get(container, retina.TRAIN) is None:
        msg = (
            f"{what} of session {session!r}: expected a container, or a dict with 'train' and "
            f"'test_dict', found {described(container)}"
        )
        raise TypeError(msg)
    if retina.TRAIN in (_get(container, "test_dict") or ()):
        msg = f"{what} of session {session!r}: a test is called 'train'; give it another name"
        raise ValueError(msg)


def _checked(values: Any, where: str, axes: Sequence[str]) -> InMemory:
    """The values as an array; an error if it does not have one dimension for each of `axes`."""
    array = np.asarray(values)
    if array.ndim != len(axes):
        raise FormatError("containers", where, f"axes {', '.join(axes)}", f"shape {array.shape}")
    return InMemory(array)


def _sessions_of_movies(movies: Any) -> list[str]:
    """The sessions that have movies of their own; none if one movie is for all sessions."""
    return [] if not isinstance(movies, Mapping) or "train" in movies else [*map(str, movies)]


def _movie_of(movies: Any, session: str) -> Any:
    """The movie of a session; None if it has none."""
    if isinstance(movies, Mapping) and "train" not in movies:
        return movies.get(session)
    return movies


def _part(
    session: str, block: str, movie: Any, response: Any, order: tuple[int, ...]
) -> retina.BlockData:
    """The movie and responses of one block of a session.

    `order` has the positions of trial, time and unit among the dimensions of responses by trial.
    """
    part = retina.BlockData("containers", attrs={"session_id": session})
    train = block == retina.TRAIN
    frames = _get(movie, "train") if train else (_get(movie, "test_dict") or {}).get(block)
    info = _get(response, "session_kwargs") or {}
    where = f"{block}/{session}"
    if frames is None:
        part.attrs["note"] = "no movie was given"
    else:
        axes = ("channel", schema.TIME, "y", "x")
        part.stimulus = Arranged(pixels(_checked(frames, f"{where}/stimulus", axes)), (1, 0, 2, 3))
        _put_clips_in_order(part, train, movie, info)
    values = _get(response, "train") if train else _get(response, "test_dict")[block]
    values = _checked(values, f"{where}/responses", (schema.UNIT, schema.TIME))
    part.responses = transposed(floats(values))
    trials = (_get(response, "test_by_trial_dict") or {}).get(block)
    if not train and trials is not None:
        dims = [name for _, name in sorted(zip(order, _REPEATS, strict=True))]
        repeats = _checked(trials, f"{where}/responses_by_trial", dims)
        part.by_trial = Arranged(floats(repeats), order)
    if schema.UNIT in info:
        part.units[schema.UNIT] = info[schema.UNIT]
    if (stimulus := _get(response, "stim_id")) is not None:
        part.attrs["stimulus_type"] = stimulus
    return part


def _put_clips_in_order(
    part: retina.BlockData, train: bool, movie: Any, info: Mapping[str, Any]
) -> None:
    """Put the clips of a movie in the order in which they were shown in a scan."""
    sequences, scan = _get(movie, SEQUENCES), info.get("scan_sequence_idx")
    if sequences is None or scan is None or part.stimulus is None:
        return
    orders, n_frames = np.asarray(sequences), part.stimulus.shape[0]
    session = part.attrs["session_id"]
    clip_ids = np.arange(len(orders) if orders.ndim else 0)
    is_table = orders.ndim == 2 and orders.dtype.kind in "iu"
    if not is_table or (np.sort(orders, axis=0) != clip_ids[:, None]).any():
        raise FormatError(
            part.path,
            f"{session}: random_sequences",
            "(clip, scan) integers, every clip from 0 once for each scan",
            f"{orders.dtype} of shape {orders.shape}",
        )
    n_clip_frames = n_frames // clip_ids.size if train else n_frames
    if scan not in range(orders.shape[1]) or (train and n_frames % clip_ids.size):
        raise FormatError(
            part.path,
            f"{session}: scan_sequence_idx",
            f"one of {orders.shape[1]} scans, and whole clips",
            f"scan {scan!r}, {clip_ids.size} clips in {n_frames} frames",
        )
    order = orders[:, int(scan)].astype(np.int64) if train else np.zeros(1, np.int64)
    if train:
        part.frames["clip_id"] = np.repeat(order, n_clip_frames)
    part.stimulus = clips(part.stimulus, order, n_clip_frames, str(info.get("eye")) == "left")
