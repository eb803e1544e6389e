"""The members of a DRIADA file: the neural matrix, its companions, features and facts."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError, NotInTree, shorten
from neuroarrays.files.members import MemberSource
from neuroarrays.files.placed import Member

#: Names of the neural matrix, in lower or upper case. If a file has several, the user must choose.
ALIASES = ("calcium", "activations", "neural_data", "activity", "rates")
#: Names of further matrices of the neurons, in lower or upper case, and the name that DRIADA reserves.
COMPANIONS, RESERVED = ("spikes", "asp", "reconstructions"), "sp"
METADATA, SYNC = "_metadata", "_sync_info"
#: The mask of frames that DRIADA deleted from the data of a pickled experiment, as a member.
MASK = "_bad_frames_mask"
#: The most characters of a text that becomes an attribute; a rate in Hz that no camera reaches.
_LONGEST, _FASTEST = 1000, 1e9
#: The most values inside an entry of the metadata.
_STEPS = 200_000


@dataclass
class Contents:
    """The members of a file by role; only sizes, scalars and metadata were read.

    Attributes
    ----------
    neural : str
        Name of the member with the neural matrix.
    units, times : int
        Number of neurons, and number of frames.
    time_first : bool
        Whether the first axis of the neural matrix is time.
    companions : dict of str to str
        Kind of a further matrix ("spikes", "asp", "reconstructions") -> name of its member.
    features : dict of str to bool
        Names of the members along time -> whether time is their first axis.
    attributes : dict
        Scalars and texts of the file.
    metadata : dict
        Metadata of the file: rate, names, metrics.
    not_read : list of str
        Names of the members that are none of these.
    """

    neural: str
    units: int
    times: int
    time_first: bool
    companions: dict[str, str] = field(default_factory=dict)
    features: dict[str, bool] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    not_read: list[str] = field(default_factory=list)


def neural_member(members: Iterable[str]) -> list[str]:
    """Return the members that have a name of the neural matrix."""
    return [name for name in members if name.lower() in ALIASES]


def contents(
    source: MemberSource,
    time_axis: int,
    wanted: Sequence[str] | None = None,
    neural: str | None = None,
) -> Contents:
    """Return the members of a file by role.

    Parameters
    ----------
    source : MemberSource
        An NPZ file, or a pickled experiment.
    time_axis : {-1, 0}
        Axis of the neural matrix that is time; DRIADA's is the last.
    wanted : list of str, optional
        Names of the features to take; the others are left out.
    neural : str, optional
        Name of the neural matrix.

    Raises
    ------
    FormatError
        If there is no neural matrix or more than one, or if lengths differ.
    """
    members = source.members()
    content = _matrix(source, members, time_axis, neural)
    for name, member in members.items():
        lower = name.lower()
        if name == content.neural or lower in (RESERVED, MASK, *ALIASES):
            continue
        if name in (METADATA, SYNC):
            value = source.value(name)
            content.metadata |= value if name == METADATA and isinstance(value, dict) else {}
            content.metadata |= {"sync_info": value} if name == SYNC else {}
        elif lower in COMPANIONS:
            _companion(source, content, name, member)
        elif not member.shape or (math.prod(member.shape) == 1 and content.times > 1):
            value = source.read(name).item() if member.dtype.kind != "O" else None
            is_short = value is not None and len(str(value)) <= _LONGEST
            content.attributes |= {name: value} if is_short else {}
            content.not_read += [] if is_short else [name]
        elif wanted is None or name in wanted:
            _feature(source, content, name, member)
    content.not_read += source.left_out()
    for key in [key for key, value in content.metadata.items() if not _walkable(value)]:
        del content.metadata[key]
        content.not_read.append(f"{METADATA}/{str(key)[:80]}")
    missing = set(wanted or ()) - set(content.features)
    if missing:
        raise FormatError(
            source.path,
            "",
            f"features {shorten(sorted(missing))}",
            f"features {shorten(content.features)}",
        )
    return content


def _walkable(value: Any) -> bool:
    """Whether all of a value can be visited in bounded time, as containers may contain themselves."""
    todo = [value]
    for _ in range(_STEPS):
        if not todo:
            return True
        item = todo.pop()
        if isinstance(item, np.ndarray) and item.dtype == object:
            todo += item.ravel().tolist()
        elif isinstance(item, dict | list | tuple):
            todo += item.values() if isinstance(item, dict) else item
    return False


def _matrix(
    source: MemberSource, members: Mapping[str, Member], time_axis: int, neural: str | None
) -> Contents:
    """Return the contents with the neural matrix alone, after choosing the matrix."""
    matrices = neural_member(members)
    if neural is not None:
        if neural not in members:
            raise NotInTree("array", neural, members, where=source.path)
        matrices = [neural]
    if not matrices:
        raise FormatError(
            source.path,
            "",
            f"a neural matrix called {shorten(ALIASES)}, in any case",
            f"{shorten(members)}",
            "give a mapping and engine='arrays' for other layouts",
        )
    if len(matrices) > 1:
        raise FormatError(
            source.path,
            "",
            "one neural matrix",
            f"{len(matrices)}: {shorten(matrices)}",
            "DRIADA takes one of them by chance; say neural= which",
        )
    return matrix_of(source, matrices[0], time_axis)


def matrix_of(source: MemberSource, name: str, time_axis: int) -> Contents:
    """Return the contents with the neural matrix alone."""
    member = source.members()[name]
    if member.dtype.kind not in "biuf" or len(member.shape) != 2:
        kind = "Python objects" if member.dtype.kind == "O" else str(member.dtype)
        raise FormatError(
            source.path,
            name,
            "a matrix of numbers, neurons x time",
            f"{kind} of shape {member.shape}",
        )
    if 0 in member.shape:
        raise FormatError(
            source.path, name, "at least one neuron and one frame", f"shape {member.shape}"
        )
    first = time_axis == 0
    times, units = member.shape if first else member.shape[::-1]
    return Contents(name, units, times, first)


def _companion(source: MemberSource, content: Contents, name: str, member: Member) -> None:
    """Add a further matrix of the neurons, after checking its shape."""
    expected = source.members()[content.neural].shape
    if member.shape != expected or member.dtype.kind not in "biuf":
        raise FormatError(
            source.path,
            name,
            f"numbers of shape {expected}, as {content.neural}",
            f"{member.dtype} of shape {member.shape}",
        )
    if name.lower() in content.companions:
        raise FormatError(source.path, name, f"one array of {name.lower()}", "two")
    content.companions[name.lower()] = name


def _feature(source: MemberSource, content: Contents, name: str, member: Member) -> None:
    """Add a member as a feature if it is along time."""
    if member.dtype.kind == "O":
        content.not_read.append(name)
        return
    axes = [axis for axis, size in enumerate(member.shape) if size == content.times]
    last = len(member.shape) - 1
    if last in axes and not (content.time_first and 0 in axes):
        content.features[name] = last == 0
    elif 0 in axes:
        content.features[name] = True
    elif member.dtype.kind in "SU" or last > 1:
        content.not_read.append(name)
    else:
        other = content.units if member.shape[-1] == content.units else None
        raise FormatError(
            source.path,
            name,
            f"{content.times:,} samples, as {content.neural} has",
            f"shape {member.shape}",
            f"{content.neural} looks transposed: say time_axis={-1 if content.time_first else 0}"
            if other and other > content.times
            else "name the features to take with features=[...]; this one is left out then",
        )


def sampling_rate(content: Contents, argument: float | None, path: str) -> tuple[float | None, str]:
    """Return the rate in Hz and its source: the argument, the file, or unknown."""
    stated = content.metadata.get("fps", content.attributes.get("fps"))
    rate, origin = (argument, "argument") if argument is not None else (stated, "file")
    if rate is None:
        return None, "unknown"
    good = isinstance(rate, numbers.Real) and not isinstance(rate, bool)
    if not good or not 0 < rate < _FASTEST:
        long = isinstance(rate, int) and abs(rate) > _FASTEST
        raise FormatError(
            path,
            "" if argument is not None else METADATA,
            "a sampling rate above 0 Hz",
            "a larger one than any" if long else f"{rate!r:.80}",
        )
    return float(rate), origin
