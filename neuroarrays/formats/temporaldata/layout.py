"""The groups of a file of temporaldata by kind, and checks of their lengths."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.source import Source
from neuroarrays.lazy.arrays import file_array
from neuroarrays.lazy.computed import RegularClock

IRREGULAR, REGULAR = "IrregularTimeSeries", "RegularTimeSeries"
INTERVAL, TABLE, DATA = "Interval", "ArrayDict", "Data"
#: Attributes with the kind of a group, and with its node of the tree as JSON (by `na.to_temporaldata`).
KIND, OURS = "object", "neuroarrays"
#: Keys of this JSON: the dimensions of each variable, and the names of the coordinates.
DIMS, LABELS = "dims", "labels"
#: Members of a series that are not arrays: its domain, and the index of each second.
NOT_ARRAYS = ("domain", "timestamp_indices_1s")
#: Attributes of groups that say how they are stored.
_OF_STORAGE = (KIND, OURS, "absolute_start")
#: Group and name of an attribute -> name in the tree; for all others it is ``<group>_<name>``.
FACTS = {
    ("subject", "id"): "subject",
    ("subject", "species"): "species",
    ("subject", "sex"): "sex",
    ("subject", "age"): "age",
    ("subject", "genotype"): "genotype",
    ("session", "id"): "session_id",
}
#: Kind of group -> the arrays that it must have.
_NEEDED = {IRREGULAR: ("timestamps",), INTERVAL: ("start", "end")}


class Layout:
    """The groups of a file, which are read once.

    Attributes
    ----------
    source : Source
        The source of the file.
    kinds : dict of str to str
        Kind of each group by path: "Interval", ...; groups of the kind Data are left out.
    facts : dict
        Attributes of the session.
    notes : list of str
        What is not read, and why.
    written_here : bool
        Whether `na.to_temporaldata` wrote it.
    """

    def __init__(self, source: Source):
        self.source = source
        self.kinds: dict[str, str] = {}
        self.facts: dict[str, Any] = {}
        self.notes: list[str] = []
        root = self.ours("")
        self.written_here = bool(root)
        self._first: dict[object, str] = {}
        self._walk("")
        self.facts = dict(root["attrs"]) if root else self.facts

    def _walk(self, group: str) -> None:
        """Record the kind of each group below one of Data; a second name of a group is passed over."""
        first = self._first.setdefault(self.source.identity(group or "/"), group)
        if first != group:
            self.notes.append(f"{group} not read: another name of /{first}")
            return
        for key, value in self.source.attrs(group or "/").items():
            name = FACTS.get((group, key), f"{group.replace('/', '_')}_{key}" if group else key)
            if key not in _OF_STORAGE or (key == "absolute_start" and not group and value):
                self.facts.setdefault(schema.node_name(name), value)
        for name in self.source.names(group or "/"):
            path = f"{group}/{name}".strip("/")
            kind = self.source.attr(path, KIND)
            if self.source.info(path) is not None:
                self.notes.append(f"{path} not read: an array of which nothing says the times")
            elif kind == DATA:
                self._walk(path)
            elif kind in (IRREGULAR, REGULAR, INTERVAL, TABLE):
                self.kinds[path] = kind
            else:
                self.notes.append(f"{path} not read: a group that says it is {kind!r}")

    def ours(self, path: str) -> dict[str, Any]:
        """Return what `na.to_temporaldata` stored about a group; {} if it did not write the group.

        Raises
        ------
        FormatError
            If it cannot be understood.
        """
        stated = self.source.attr(path or "/", OURS)
        if stated is None:
            return {}
        try:
            description = dict(json.loads(stated))
            return description if "attrs" in description else {}
        except (TypeError, ValueError) as error:
            where, expected = f"/{path}", f"JSON in the attribute {OURS}"
            raise FormatError(self.source.path, where, expected, str(error)) from error

    def spikes(self) -> list[str]:
        """Return the series that have the unit of each of their times."""
        return [
            path
            for path, kind in self.kinds.items()
            if kind == IRREGULAR and "unit_index" in self.source.names(path)
        ]

    def arrays(self, path: str) -> list[str]:
        """Return the names of the arrays of a group, its times first."""
        names = [name for name in self.source.names(path) if name not in NOT_ARRAYS]
        return sorted(names, key=lambda name: name not in ("timestamps", "start"))

    def size(self, path: str) -> int:
        """Return the length of all arrays of a group.

        Raises
        ------
        FormatError
            If it lacks its times, times are not numbers, or lengths disagree.
        """
        needed = _NEEDED.get(str(self.source.attr(path, KIND)), ())
        for name in needed:
            info = self.source.info(f"{path}/{name}")
            if info is None or len(info.shape) != 1 or info.dtype.kind not in "iuf":
                other = "nothing" if info is None else f"{info.dtype} of shape {info.shape}"
                raise FormatError(self.source.path, f"/{path}/{name}", "(n,) numbers, s", other)
        shapes = {name: self._shape(f"{path}/{name}") for name in self.arrays(path)}
        first = next(iter(shapes), "")
        for name, shape in shapes.items():
            if not shape or shape[0] != shapes[first][0]:
                expected = (
                    f"{shapes[first][0] if shapes[first] else 'several'} rows, as {first} has"
                )
                raise FormatError(self.source.path, f"/{path}/{name}", expected, f"shape {shape}")
        return shapes[first][0] if shapes else 0

    def _shape(self, path: str) -> tuple[int, ...]:
        """Return the shape of an array, after checking its dtype."""
        info = self.source.known(path)
        if info.dtype.kind not in "iufbOSU":
            other = f"values of type {info.dtype}"
            raise FormatError(self.source.path, f"/{path}", "an array of numbers or text", other)
        return info.shape

    def domain(self, path: str) -> list[float]:
        """Return start and end of the domain of a series in s; [] if it has several stretches or none."""
        if self.source.attr(f"{path}/domain", KIND) != INTERVAL or self.size(f"{path}/domain") != 1:
            return []
        ends = [self.source.read(f"{path}/domain/{end}") for end in ("start", "end")]
        return [float(values[0]) for values in ends]

    def check_domain(self, path: str, size: int, domain: list[float]) -> None:
        """Add a note if a regular series has fewer samples than its domain."""
        rate = self.source.attr(path, "sampling_rate")
        if self.kinds[path] != REGULAR or not domain or not isinstance(rate, int | float):
            return
        room = (domain[1] - domain[0]) * rate
        if np.isfinite(room) and size < np.floor(room):
            self.notes.append(f"{path}: {size:,} samples, {np.floor(room):,.0f} in its domain")

    def clock(self, path: str, size: int) -> Any:
        """Return the clock of a series, a (size,) LazyArray in s.

        Raises
        ------
        FormatError
            If a regular series lacks its rate or start.
        """
        if self.kinds[path] == IRREGULAR:
            return file_array(self.source, f"{path}/timestamps")
        rate = self.source.attr(path, "sampling_rate")
        if not isinstance(rate, int | float) or not 0 < rate < np.inf:
            expected = "a positive attribute sampling_rate, Hz"
            raise FormatError(self.source.path, f"/{path}", expected, repr(rate))
        where = f"{path}/domain/start"
        start = self.source.info(where)
        if (
            start is None
            or start.dtype.kind not in "iuf"
            or (size and start.shape[:1] in ((), (0,)))
        ):
            raise FormatError(self.source.path, f"/{where}", "when the series starts, s", "nothing")
        first = float(self.source.read(where, (slice(0, 1, 1),))[0]) if size else 0.0
        return RegularClock(first, float(rate), size)
