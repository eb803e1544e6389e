"""Containers of open-retina as trees; `openretina` makes containers of trees."""

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

#: Of a movie: the order of its clips in each scan, (clip, scan).
SEQUENCES = "random_sequences"
#: Axes of responses by trial in a tree.
_REPEATS = (schema.TRIAL, schema.TIME, schema.UNIT)


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
        If lengths or numbers of units differ, an array has other axes, or the orders of clips do
        not fit the movie.
    TypeError
        If something else stands in the place of a container.
    ValueError
        If an option is none, or a test is called `train`.

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
        for name in _named(movies)
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
            told = dict(_get(response, "session_kwargs") or {})
            if not part.frames and (sequences := _get(movie, SEQUENCES)) is not None:
                told[SEQUENCES] = sequences
            put_session_info(nodes, path, told, notes)
            if notes:
                nodes[path].attrs["notes"] = notes
    ordered = dict(sorted(nodes.items(), key=lambda item: not item[0].startswith("train/")))
    attrs = schema.root_attrs(schema.ALIGNED, source="open-retina")
    if left_out:
        attrs["notes"] = left_out
    root = xr.Dataset(attrs=attrs)
    return tree_of({"/": root} | ordered)


def _get(container: Any, name: str) -> Any:
    return container.get(name) if isinstance(container, Mapping) else getattr(container, name, None)


def _check_container(what: str, session: str, container: Any) -> None:
    """Refuse what has no `train`, and a test of that name, which would take its place."""
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
    """An array with these axes."""
    array = np.asarray(values)
    if array.ndim != len(axes):
        raise FormatError("containers", where, f"axes {', '.join(axes)}", f"shape {array.shape}")
    return InMemory(array)


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
    where = f"{block}/{session}"
    if shown is None:
        part.attrs["note"] = "no movie was given"
    else:
        axes = ("channel", schema.TIME, "y", "x")
        part.stimulus = Arranged(pixels(_checked(shown, f"{where}/stimulus", axes)), (1, 0, 2, 3))
        _in_order_of_the_scan(part, train, movie, told)
    values = _get(response, "train") if train else _get(response, "test_dict")[block]
    values = _checked(values, f"{where}/responses", (schema.UNIT, schema.TIME))
    part.responses = transposed(floats(values))
    trials = (_get(response, "test_by_trial_dict") or {}).get(block)
    if not train and trials is not None:
        named = [name for _, name in sorted(zip(order, _REPEATS, strict=True))]
        repeats = _checked(trials, f"{where}/responses_by_trial", named)
        part.by_trial = Arranged(floats(repeats), order)
    if schema.UNIT in told:
        part.units[schema.UNIT] = told[schema.UNIT]
    if (stimulus := _get(response, "stim_id")) is not None:
        part.attrs["stimulus_type"] = stimulus
    return part


def _in_order_of_the_scan(
    part: retina.BlockData, train: bool, movie: Any, told: Mapping[str, Any]
) -> None:
    """Put the clips of a movie in the order in which a scan saw them."""
    sequences, scan = _get(movie, SEQUENCES), told.get("scan_sequence_idx")
    if sequences is None or scan is None or part.stimulus is None:
        return
    orders, frames = np.asarray(sequences), part.stimulus.shape[0]
    session = part.attrs["session_id"]
    every = np.arange(len(orders) if orders.ndim else 0)
    whole = orders.ndim == 2 and orders.dtype.kind in "iu"
    if not whole or (np.sort(orders, axis=0) != every[:, None]).any():
        raise FormatError(
            part.path,
            f"{session}: random_sequences",
            "(clip, scan) integers, every clip from 0 once for each scan",
            f"{orders.dtype} of shape {orders.shape}",
        )
    step = frames // every.size if train else frames
    if scan not in range(orders.shape[1]) or (train and frames % every.size):
        raise FormatError(
            part.path,
            f"{session}: scan_sequence_idx",
            f"one of {orders.shape[1]} scans, and whole clips",
            f"scan {scan!r}, {every.size} clips in {frames} frames",
        )
    order = orders[:, int(scan)].astype(np.int64) if train else np.zeros(1, np.int64)
    if train:
        part.frames["clip_id"] = np.repeat(order, step)
    part.stimulus = clips(part.stimulus, order, step, str(told.get("eye")) == "left")
