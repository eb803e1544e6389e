"""DRIADA files (https://github.com/iabs-neuro/driada): calcium imaging with behaviour, NPZ.

One flat NPZ is one session with one population. Time is the last axis. There is no array of times::

    calcium | activations | neural_data | activity | rates    (neurons, time), in any case
    spikes, asp, reconstructions                              (neurons, time), may be there
    _metadata, _sync_info                                     pickled dicts: fps, names, metrics
    any other array                                           (time,) or (components, time)
    any other scalar or text                                  a fact about the session

A pickled ``Experiment`` is read without DRIADA (`experiments`), with the values that DRIADA computed.
Folders of sessions open too, in the layout of the laboratory that DRIADA comes from (`names`).

Values are those of the file. Unlike DRIADA, this reader clips nothing, adds no noise, deletes no frame,
and accepts features with NaN, bool or constant values. If the file has no spikes, the tree has none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, many, warn
from neuroarrays.files.members import MemberSource
from neuroarrays.files.npz import npz_source
from neuroarrays.files.probe import Probe
from neuroarrays.formats.driada.contents import (
    MASK,
    METADATA,
    Contents,
    contents,
    neural_member,
)
from neuroarrays.formats.driada.contents import sampling_rate as rate_of
from neuroarrays.formats.driada.experiments import (
    ExperimentSource,
    experiment_source,
    is_experiment,
)
from neuroarrays.formats.driada.names import holds, parse_iabs_name, session_files, session_of
from neuroarrays.formats.driada.structs import struct_source
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.sessions import Sessions
from neuroarrays.lazy.arrays import FileArray, LazyArray, wrap
from neuroarrays.lazy.computed import Computed, RegularClock
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Arranged, Taken, transposed

#: The most characters of an attribute.
_LONGEST = 1 << 16
#: Names of an area's variables and coordinates that a feature may not take.
_TAKEN = (
    schema.RESPONSES,
    schema.SPIKE_DATA,
    "responses_by_trial",
    schema.VALID,
    "valid_units",
    schema.WITHHELD,
    "spikes",
    "asp",
    "reconstructions",
    schema.TIME,
    schema.UNIT,
    schema.PRESENTATION,
)


class DriadaReader(Reader):
    """Reads DRIADA NPZ files and pickled experiments as aligned trees."""

    name = "driada"
    description = "DRIADA: calcium imaging with behaviour (NPZ, pickled experiments)"
    url = "https://github.com/iabs-neuro/driada"
    only_area = schema.UNKNOWN_AREA
    kind = schema.ALIGNED

    def recognise(self, probe: Probe) -> bool:
        """Whether a path is an NPZ with a matrix of one of DRIADA's names, or a pickled experiment."""
        if probe.is_folder:
            return holds(probe) or any(map(holds, probe.children))
        if is_experiment(probe) or struct_source(probe) is not None:
            return True
        if probe.container != "zip":
            return False
        members = npz_source(probe).members()
        return any(len(members[name].shape) == 2 for name in neural_member(members))

    def list_sessions(self, probe: Probe) -> Sessions:
        """List the sessions of a folder by its folders, or one by its metadata or file name.

        Parameters
        ----------
        probe : Probe
            The file, the folder of one session, or a folder of these, in the layout of the IABS
            (``NAME/Aligned data/NAME syn data.npz``, ``NAME/Exp NAME.pickle``).
        """
        if not probe.is_folder:
            probe.check()
            return Sessions({schema.node_name(_session_name(_source(probe))): probe})
        sessions = session_files(probe)
        if not sessions:
            raise probe.unknown("folders NAME/Aligned data/NAME syn data.npz", "")
        return sessions

    def open_session(
        self,
        session: Probe,
        name: str,
        request: Request,
        *,
        sampling_rate: float | None = None,
        neural: str | None = None,
        time_axis: int = -1,
        features: Sequence[str] | None = None,
        bad_frames: Sequence[int] | None = None,
    ) -> dict[str, xr.Dataset]:
        """Open a file as a session of an aligned tree.

        Parameters
        ----------
        session : Probe
            Path of the session's file.
        name : str
            Name of the session.
        request : Request
            The areas that the caller wants; a session has one area, called "unknown".
        sampling_rate : float, optional, Hz
            Frames per second (default: the rate in the file). If neither is known, the tree has no
            time coordinate, and a note.
        neural : str, optional
            Name of the neural matrix; it is needed if the file has several that could be it.
        time_axis : {-1, 0}
            Axis of the neural matrix that is time.
        features : list of str, optional
            Names of the features to open (default: all).
        bad_frames : list of int, optional
            Numbers of the frames that are not to be trusted (default: those that the file names).
            They stay in the data and are False in ``valid``.
        """
        if time_axis not in (-1, 1, 0):
            msg = f"time_axis={time_axis!r}; expected -1 (neurons x time) or 0 (time x neurons)"
            raise ValueError(msg)
        file = _source(session)
        wanted = [features] if isinstance(features, str) else features
        content = contents(file, 0 if time_axis == 0 else -1, wanted, neural)
        rate, origin = rate_of(content, sampling_rate, file.path)
        _warn_if_exchanged(file, content)
        attrs = _attributes(content)
        attrs |= {"session_id": name, **{k: v for k, v in parse_iabs_name(name).items() if v}}
        attrs |= {"sampling_rate_source": origin, **({"sampling_rate": rate} if rate else {})}
        frames = file.kept_frames() if isinstance(file, ExperimentSource) else None
        if frames is not None:
            if bad_frames is not None:
                msg = (
                    f"{file.path}: bad_frames= of an experiment whose bad frames DRIADA has deleted "
                    "already; leave it out, or give it with the NPZ that the experiment is from"
                )
                raise ValueError(msg)
            request.notes.append(
                f"{name}: DRIADA deleted the bad frames, {content.times:,} are left; the clock has "
                "their gaps"
            )
            attrs["frames_deleted"] = int(len(file.read(MASK)) - frames.size)
        stated = content.metadata.get("bad_frames")
        if bad_frames is not None and stated is not None:
            note = "bad_frames= was given: those that the file names are not used"
            request.notes.append(f"{name}: {note}")
        bad = _bad_frames(file, content, stated if bad_frames is None else bad_frames)
        node = _area(file, content, rate, bad, frames)
        return {"": xr.Dataset(attrs=attrs), schema.UNKNOWN_AREA: node}


def _source(probe: Probe) -> MemberSource:
    """Return the arrays of a file of any of the three kinds."""
    struct = struct_source(probe)
    if struct is not None:
        return struct
    return experiment_source(probe) if is_experiment(probe) else npz_source(probe)


def _session_name(file: MemberSource) -> str:
    """Return the name of a session: that in its metadata, or else that of the file."""
    metadata = file.value(METADATA) if METADATA in file.members() else None
    stated = metadata.get("session_name") if isinstance(metadata, dict) else None
    return stated if isinstance(stated, str) and 0 < len(stated) < 256 else session_of(file.path)


def _area(
    file: MemberSource,
    content: Contents,
    rate: float | None,
    bad: list[int],
    frames: np.ndarray | None = None,
) -> xr.Dataset:
    """Return the node of the area, with responses, companions, features and clock."""
    both = (schema.TIME, schema.UNIT)
    variables = {
        schema.RESPONSES: schema.var(
            "area",
            schema.RESPONSES,
            wrap(_matrix(file, content, content.neural, "f")),
            both,
            schema.ALIGNED,
            stored_as=content.neural,
        ),
    }
    for kind, name in content.companions.items():
        counts = kind == "spikes" and file.members()[name].dtype.kind in "iu"
        label = schema.SPIKE_DATA if counts else kind
        matrix = wrap(_matrix(file, content, name))
        variables[label] = schema.var("area", label, matrix, both, schema.ALIGNED, stored_as=name)
    types = file.feature_types() if isinstance(file, ExperimentSource) else {}
    for name, first in content.features.items():
        array: LazyArray = _array(file, name)
        label = _label(name, array.dtype, variables)
        array = array if first else _time_first(array)
        if array.shape[1:] == (1,):  # one row or column, as MATLAB has signals
            array = Taken(array, 0, 1)
        more = tuple(
            f"{label}_{'component' if i == 0 else f'axis{i + 1}'}"
            for i in range(len(array.shape) - 1)
        )
        variables[label] = xr.Variable(
            (schema.TIME, *more),
            wrap(array),
            ({"stored_as": name} if label != name else {}) | types.get(name, {}),
        )
    if bad:
        trusted = wrap(Computed(_are_trusted, (content.times,), np.dtype(bool), (tuple(bad),)))
        variables[schema.VALID] = schema.var(
            "area", schema.VALID, trusted, (schema.TIME,), schema.ALIGNED
        )
    coords = {schema.UNIT: xr.Variable(schema.UNIT, np.arange(content.units)), **_metrics(content)}
    if rate is not None:
        clock = wrap(RegularClock(0.0, rate, content.times)) if frames is None else frames / rate
        coords[schema.TIME] = xr.Variable(schema.TIME, clock, {"units": "s"})
    return dataset(variables, coords)


def _array(file: MemberSource, name: str, kind: str = "") -> FileArray:
    """Return a member as a lazy array; as floats, which hold its integers exactly, if `kind` is "f"."""
    info = file.info(name)
    assert info is not None
    dtype = info.dtype.newbyteorder("=")
    if kind == "f" and dtype.kind != "f":
        dtype = np.dtype("f4" if dtype.itemsize <= 2 else "f8")
    return FileArray(file, name, info.shape, dtype)


def _matrix(file: MemberSource, content: Contents, name: str, kind: str = "") -> LazyArray:
    """Return a matrix of the neurons with time as its first axis."""
    array = _array(file, name, kind)
    return array if content.time_first else transposed(array)


def _time_first(array: LazyArray) -> LazyArray:
    """Return an array with time, which is its last axis, as its first."""
    if len(array.shape) == 2:
        return transposed(array)
    last = len(array.shape) - 1
    return Arranged(array, (last, *range(last)))


def _label(name: str, dtype: np.dtype, variables: dict[str, xr.Variable]) -> str:
    """Return the name of a feature in the tree, changed if the tree uses it for something else."""
    label = schema.node_name(name)
    if label in _TAKEN or (label == "speed" and dtype.kind != "f"):
        label += "_feature"
    while label in variables:
        label += "_"
    return label


def _metrics(content: Contents) -> dict[str, xr.Variable]:
    """Return the metrics of the neurons that have one number or text for each neuron."""
    table = content.metadata.get("metrics_df")
    coords = {}
    for name, column in table.items() if isinstance(table, dict) else ():
        values = (
            np.asarray(column)
            if isinstance(column, list | np.ndarray) and _are_plain(column)
            else None
        )
        if values is not None and values.shape == (content.units,) and values.dtype.kind in "biufU":
            coords[schema.node_name(str(name))] = xr.Variable(schema.UNIT, values)
    return {k: v for k, v in coords.items() if k not in _TAKEN}


def _are_plain(column: Any) -> bool:
    """Whether all entries of a column are numbers or text."""
    return all(isinstance(v, int | float | str | bool | np.generic) for v in column)


def _attributes(content: Contents) -> dict[str, Any]:
    """Return scalars and texts of the file, and the rest of its metadata as one text (JSON)."""
    attrs: dict[str, Any] = dict(content.attributes)
    rest, not_read = {}, list(content.not_read)
    for key, value in content.metadata.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if isinstance(plain, int | float | str) and key not in attrs and _is_storable(plain):
            attrs[str(key)] = plain
        elif key != "bad_frames" and not (key == "metrics_df" and isinstance(value, dict)):
            try:
                text = json.dumps(value, default=_plain)
            except (TypeError, ValueError, RecursionError):
                text = ""  # the value has numbers, cycles or keys that JSON cannot have
            if 0 < len(text) <= _LONGEST:
                rest[str(key)] = json.loads(text)
            else:
                not_read.append(f"{METADATA}/{str(key)[:80]}")
    attrs |= {"metadata": json.dumps(rest)} if rest else {}
    attrs |= {"not_read": not_read} if not_read else {}
    return {key: value for key, value in attrs.items() if value == value}


def _is_storable(value: int | float | str) -> bool:
    """Whether a file can store a value as an attribute."""
    if isinstance(value, str):
        return len(value) <= _LONGEST
    return isinstance(value, float) or -(1 << 63) <= value < 1 << 63


def _plain(value: Any) -> Any:
    """Return a value of the metadata as one that JSON can store."""
    if isinstance(value, np.ndarray):
        return value.tolist() if value.size <= 1000 else f"{value.dtype} {value.shape}"
    return value.item() if isinstance(value, np.generic) else str(value)[:200]


def _bad_frames(file: MemberSource, content: Contents, stated: Any) -> list[int]:
    """Return the numbers of frames not to be trusted, sorted and without repeats; [] if there are none."""
    if stated is None:
        return []
    try:
        values = np.unique(np.asarray(stated))
    except (TypeError, ValueError) as error:
        raise FormatError(file.path, "bad_frames", "a list of frames", str(error)) from error
    if values.dtype == bool:
        raise FormatError(
            file.path,
            "bad_frames",
            f"frames from 0 to {content.times - 1}",
            f"a mask of shape {np.shape(stated)}",
            "give np.flatnonzero(mask)",
        )
    if values.size and (
        values.dtype.kind not in "iu" or values[0] < 0 or values[-1] >= content.times
    ):
        raise FormatError(
            file.path,
            "bad_frames",
            f"frames from 0 to {content.times - 1}",
            f"{values[0]} to {values[-1]}",
        )
    return [int(v) for v in values]


def _warn_if_exchanged(file: MemberSource, content: Contents) -> None:
    """Warn of a matrix whose axes seem to be exchanged."""
    if not content.features and content.units > content.times:
        warn(
            f"{file.path}: {content.neural} has {many(content.units, 'neuron')} and {many(content.times, 'frame')}; "
            f"if these are exchanged, say time_axis={-1 if content.time_first else 0}",
        )


def _are_trusted(frames: np.ndarray, bad: tuple[int, ...]) -> np.ndarray:
    """Return whether frames can be trusted, (frame,) bool."""
    return np.isin(frames, bad, invert=True)
