"""Which member of a DRIADA file is what: the neural matrix, its companions, features, facts."""

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

#: Names of the neural matrix, in any case; of several in one file none is preferred.
ALIASES = ("calcium", "activations", "neural_data", "activity", "rates")
#: Further matrices of the neurons, in any case, and the name that DRIADA keeps for itself.
COMPANIONS, RESERVED = ("spikes", "asp", "reconstructions"), "sp"
METADATA, SYNC = "_metadata", "_sync_info"
#: Text of the file that becomes an attribute, at most; Hz that no camera has.
_LONGEST, _FASTEST = 1000, 1e9
#: Values inside an entry of the metadata, at most.
_STEPS = 200_000


@dataclass
class Contents:
    """What a file holds, by name; nothing but sizes, scalars and metadata was read.

    Attributes
    ----------
    neural : str
        Member with the neural matrix.
    units, times : int
        Its size.
    time_first : bool
        Whether its first axis is time.
    companions : dict of str to str
        "spikes", "asp", "reconstructions" -> member.
    features : dict of str to bool
        Members along time; True where time is their first axis.
    attributes : dict
        Scalars and texts.
    metadata : dict
        What the file says of itself.
    not_read : list of str
        Members that are neither.
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
    """The members that have a name of the neural matrix."""
    return [name for name in members if name.lower() in ALIASES]


def contents(
    source: MemberSource,
    time_axis: int,
    wanted: Sequence[str] | None = None,
    neural: str | None = None,
) -> Contents:
    """What a file holds.

    Parameters
    ----------
    source : MemberSource
        An NPZ file, or a pickled experiment.
    time_axis : {-1, 0}
        Axis of the neural matrix that is time; DRIADA's is the last.
    wanted : list of str, optional
        Features to take; the others are left out.
    neural : str, optional
        The neural matrix.

    Raises
    ------
    FormatError
        If there is no neural matrix, more than one, or lengths differ.
    """
    members = source.members()
    made = _matrix(source, members, time_axis, neural)
    for name, member in members.items():
        lower = name.lower()
        if name == made.neural or lower in (RESERVED, *ALIASES):
            continue
        if name in (METADATA, SYNC):
            value = source.value(name)
            made.metadata |= value if name == METADATA and isinstance(value, dict) else {}
            made.metadata |= {"sync_info": value} if name == SYNC else {}
        elif lower in COMPANIONS:
            _companion(source, made, name, member)
        elif not member.shape or (math.prod(member.shape) == 1 and made.times > 1):
            value = source.read(name).item() if member.dtype.kind != "O" else None
            kept = value is not None and len(str(value)) <= _LONGEST
            made.attributes |= {name: value} if kept else {}
            made.not_read += [] if kept else [name]
        elif wanted is None or name in wanted:
            _feature(source, made, name, member)
    made.not_read += source.left_out()
    for key in [key for key, value in made.metadata.items() if not _walkable(value)]:
        del made.metadata[key]
        made.not_read.append(f"{METADATA}/{str(key)[:80]}")
    missing = set(wanted or ()) - set(made.features)
    if missing:
        raise FormatError(
            source.path,
            "",
            f"features {shorten(sorted(missing))}",
            f"features {shorten(made.features)}",
        )
    return made


def _walkable(value: Any) -> bool:
    """Whether walking through a value ends soon: it may hold itself, or a list twice that does so."""
    todo = [value]
    for _ in range(_STEPS):
        if not todo:
            return True
        one = todo.pop()
        if isinstance(one, np.ndarray) and one.dtype == object:
            todo += one.ravel().tolist()
        elif isinstance(one, dict | list | tuple):
            todo += one.values() if isinstance(one, dict) else one
    return False


def _matrix(
    source: MemberSource, members: Mapping[str, Member], time_axis: int, neural: str | None
) -> Contents:
    found = neural_member(members)
    if neural is not None:
        if neural not in members:
            raise NotInTree("array", neural, members, where=source.path)
        found = [neural]
    if not found:
        raise FormatError(
            source.path,
            "",
            f"a neural matrix called {shorten(ALIASES)}, in any case",
            f"{shorten(members)}",
            "give a mapping and engine='arrays' for other layouts",
        )
    if len(found) > 1:
        raise FormatError(
            source.path,
            "",
            "one neural matrix",
            f"{len(found)}: {shorten(found)}",
            "DRIADA takes one of them by chance; say neural= which",
        )
    return matrix_of(source, found[0], time_axis)


def matrix_of(source: MemberSource, name: str, time_axis: int) -> Contents:
    """The contents with the neural matrix alone."""
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


def _companion(source: MemberSource, made: Contents, name: str, member: Member) -> None:
    expected = source.members()[made.neural].shape
    if member.shape != expected or member.dtype.kind not in "biuf":
        raise FormatError(
            source.path,
            name,
            f"numbers of shape {expected}, as {made.neural}",
            f"{member.dtype} of shape {member.shape}",
        )
    if name.lower() in made.companions:
        raise FormatError(source.path, name, f"one array of {name.lower()}", "two")
    made.companions[name.lower()] = name


def _feature(source: MemberSource, made: Contents, name: str, member: Member) -> None:
    if member.dtype.kind == "O":
        made.not_read.append(name)
        return
    axes = [axis for axis, size in enumerate(member.shape) if size == made.times]
    last = len(member.shape) - 1
    if last in axes and not (made.time_first and 0 in axes):
        made.features[name] = last == 0
    elif 0 in axes:
        made.features[name] = True
    elif member.dtype.kind in "SU" or last > 1:
        made.not_read.append(name)
    else:
        other = made.units if member.shape[-1] == made.units else None
        raise FormatError(
            source.path,
            name,
            f"{made.times:,} samples, as {made.neural} has",
            f"shape {member.shape}",
            f"{made.neural} looks transposed: say time_axis={-1 if made.time_first else 0}"
            if other and other > made.times
            else "name the features to take with features=[...]; this one is left out then",
        )


def sampling_rate(made: Contents, argument: float | None, path: str) -> tuple[float | None, str]:
    """The rate in Hz and where it is from: the argument, the file, or nowhere."""
    said = made.metadata.get("fps", made.attributes.get("fps"))
    rate, origin = (argument, "argument") if argument is not None else (said, "file")
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
