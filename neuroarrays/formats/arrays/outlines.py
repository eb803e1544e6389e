"""What a file of arrays holds, and a mapping to start from, as TOML text."""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from neuroarrays import schema
from neuroarrays.files.members import MemberSource
from neuroarrays.files.source import Info, Source
from neuroarrays.formats.arrays.files import arrays_source, listing

#: Arrays that are shown, and entries that are guessed of a kind.
_SHOWN, _GUESSED = 60, 20
_CLOCK = re.compile(r"(^|[_. ])(t|time|times|timestamps?|ftimes|frametimes?)($|[_. ])", re.I)
_RATE = re.compile(
    r"(^|[_. ])(fs|fps|srate|(sampling|sample|frame|imaging)_?(rate|freq)\w*)$", re.I
)
_SPIKES = re.compile(r"spike|spk|_sp_", re.I)
_NO_SPIKES = re.compile(
    r"range|rate|meta|cluster|label|_id|count|template|amplitude|waveform", re.I
)
_LABELS = re.compile(r"cluster|unit|label|neuron|cell", re.I)
_START = re.compile(r"(^|[_. ])(start|onset|on|begin)", re.I)
_STOP = re.compile(r"(^|[_. ])(stop|end|offset|off)", re.I)
_TAKEN = (schema.TIME, schema.UNIT, schema.PRESENTATION, "spike_times", "row_size", "unit")


@dataclass(frozen=True)
class Group:
    """Arrays that one pattern names: "spikes/*/time", or one array by its name.

    `places` counts what each "*" stands for.
    """

    pattern: str
    infos: tuple[Info, ...]
    places: tuple[int, ...] = ()

    @property
    def info(self) -> Info:
        """The first of them."""
        return self.infos[0]

    @property
    def leaf(self) -> str:
        """The last part of the name."""
        return self.pattern.rpartition("/")[2]

    @property
    def numbers(self) -> bool:
        """Whether they hold numbers or truth values."""
        return not self.info.text and self.info.dtype.kind in "biuf"

    @property
    def many(self) -> bool:
        """Whether the pattern names several."""
        return "*" in self.pattern

    @property
    def long(self) -> list[int]:
        """Sizes of the axes of the first that are longer than 1."""
        return [n for n in self.info.shape if n > 1]

    @property
    def length(self) -> int:
        """Length of a single array along one axis; 0 for any other."""
        return self.long[0] if not self.many and len(self.long) == 1 else 0

    @property
    def per_row(self) -> int:
        """How many values there are in all, one after another or one per array; 0 if not so."""
        single = self.many and all(math.prod(info.shape) == 1 for info in self.infos)
        return len(self.infos) if single else self.length


def outline(path: str | os.PathLike[str]) -> str:
    """The arrays of a file or folder, and a mapping to start from.

    Parameters
    ----------
    path : str or path
        A file or folder of arrays.

    Returns
    -------
    str
        TOML: what is inside as comments, then a mapping that opens what could be guessed. Names
        and lengths are looked at, and counts of spikes; what the arrays mean is for you to say.

    Raises
    ------
    FormatError
        If it is not a file or folder of arrays.
    """
    path = os.path.abspath(path)
    source = arrays_source(path)
    infos = listing(source)
    groups = _groups(infos)
    width = min(max((len(group.pattern) for group in groups), default=1), 50)
    lines = [f"# {os.path.basename(path)}: {len(infos):,} array{'s' * (len(infos) != 1)}"]
    lines += [f"#   {g.pattern:<{width}}  {_kind(g.info)}  {_shapes(g)}" for g in groups[:_SHOWN]]
    if len(groups) > _SHOWN:
        lines.append(f"#   ... and {len(groups) - _SHOWN} more")
    left = source.left_out() if isinstance(source, MemberSource) else {}
    lines += [f"#   {name:<{width}}  not read: {kind}" for name, kind in left.items()][:_SHOWN]
    lines += ["", "neuroarrays_mapping = 1", f"file = {_quoted(os.path.basename(path))}",
              'tree = "recording"', ""]  # fmt: skip
    return "\n".join([*lines, *Guess(source, groups).lines()]) + "\n"


def _groups(infos: Mapping[str, Info]) -> list[Group]:
    """Arrays whose names differ in numbers only, as one pattern each; the others by themselves."""
    alike: dict[tuple[str, bool], list[str]] = {}
    for name, info in infos.items():
        alike.setdefault((re.sub(r"\d+", "#", name), info.text), []).append(name)
    found: dict[str, Group] = {}
    in_file = Counter(map(_file, infos))
    for names in alike.values():
        pattern = _pattern(names)
        fits = re.compile(re.escape(pattern).replace(r"\*", "[^/]*"))
        own = len({_file(name) for name in names}) == 1 or all(
            in_file[_file(name)] == 1 for name in names
        )  # files of several arrays each are recordings side by side, not units of one
        if len(names) < 2 or not own or sum(map(bool, map(fits.fullmatch, infos))) != len(names):
            found |= {name: Group(name, (infos[name],)) for name in names}
        else:
            told = re.compile(re.escape(pattern).replace(r"\*", "([^/]*)"))
            stars = zip(*(told.fullmatch(name).groups() for name in names), strict=True)  # type: ignore[union-attr]
            places = tuple(len(set(star)) for star in stars)
            found[names[0]] = Group(pattern, tuple(infos[name] for name in names), places)
    return [found[name] for name in infos if name in found]


def _file(name: str) -> str:
    """The file in a folder that an array is in; "" in a single file."""
    found = re.match(r".*?\.(npy|csv|tsv|txt|npz|parquet|mat|h5|hdf5|nc|zarr)(?=/|$)", name)
    return found[0] if found else ""


def _pattern(names: list[str]) -> str:
    """The common name, with "*" for the numbers that differ."""
    parts = [re.split(r"(\d+)", name) for name in names]
    return "".join(
        column[0] if len(set(column)) == 1 else "*" for column in zip(*parts, strict=True)
    )


def _kind(info: Info) -> str:
    return "text" if info.text else str(info.dtype)


def _shapes(group: Group) -> str:
    shapes = list(dict.fromkeys(info.shape for info in group.infos))
    count = f"{len(group.infos)} x " if group.many else ""
    return count + (str(shapes[0]) if len(shapes) == 1 else "various shapes")


class Guess:
    """Nodes of a mapping, guessed from names and lengths; `lines` gives them as TOML."""

    def __init__(self, source: Source, groups: list[Group]):
        self.source, self.left = source, list(groups)
        self.nodes: dict[str, list[str]] = {}
        self.time = self._rate()

    def lines(self) -> list[str]:
        """The nodes as TOML; a comment where nothing could be guessed."""
        self._spikes()
        self._tables()
        clocks = [g for g in self.left if g.length and g.numbers and _CLOCK.search(g.leaf)]
        for clock in clocks:
            self.left.remove(clock)
        for clock in clocks:
            self._along(clock)
        self._without_clock({clock.length: clock for clock in reversed(clocks)})
        if not self.nodes:
            return ["# nothing in it looks like a signal: name the arrays to open"]
        made = []
        for name, entries in self.nodes.items():
            made += [f"[{_quoted(name)}]", *entries, ""]
        return made[:-1]

    def _rate(self) -> str:
        """The line that says what the clock is of nodes that have none, from a rate in the file."""
        for group in self.left:
            if not group.many and group.numbers and _RATE.search(group.leaf):
                values = self.source.read(group.pattern) if not group.long else np.empty(0)
                if values.size == 1 and 0 < values.ravel()[0] < np.inf:
                    return f"time = {{rate = {float(values.ravel()[0])!r}}}  # Hz, from {group.pattern}"
        return "# time = {rate = 30.0}  # Hz, or the array that holds the times"

    def _take(self, groups: Iterable[Group]) -> list[Group]:
        taken = list(groups)
        self.left = [group for group in self.left if group not in taken]
        return taken

    def _node(self, wanted: str, entries: list[str]) -> None:
        name, i = wanted, 2
        while any(n == name or n.startswith(f"{name}/") for n in self.nodes):
            name, i = f"{wanted}_{i}", i + 1
        self.nodes[name] = entries

    def _spikes(self) -> None:
        """Spike times by name, and what says whose they are."""
        trains = [
            g for g in self.left
            if g.numbers and _SPIKES.search(g.pattern) and not _NO_SPIKES.search(g.pattern)
            and all(sum(n > 1 for n in i.shape) < 2 for i in g.infos) and (g.many or g.length)
        ]  # fmt: skip
        if not trains:
            return
        (train,) = self._take(trains[:1])
        seconds = "in seconds? else {array = ..., scale = ...}"
        entries = [f"spike_times = {_quoted(train.pattern)}  # {seconds}"]
        whole = [g for g in self.left if g.length and g.info.dtype.kind in "iu" and g.numbers]
        labels = [g for g in whole if g.length == train.length and _LABELS.search(g.pattern)]
        counts = [g for g in whole if not train.many and self._adds_up(g, train.length)]
        for key, found in (("unit", labels), ("row_size", [] if labels else counts)):
            entries += [f"{key} = {_quoted(g.pattern)}" for g in self._take(found[:1])]
        units = (
            len(train.infos) if train.many else 0 if labels else counts[0].length if counts else 0
        )
        entries += _entries(self._take(g for g in self.left if units > 1 and g.per_row == units))
        self._node("unknown/spikes", entries)

    def _adds_up(self, group: Group, total: int) -> bool:
        return group.length <= 100_000 and int(self.source.read(group.pattern).sum()) == total

    def _tables(self) -> None:
        """Tables of presentations: columns side by side, one of which says when they begin."""
        for start in [g for g in self.left if g.length and g.numbers and _START.search(g.leaf)]:
            place = start.pattern.rpartition("/")[0]
            if not place or start not in self.left:
                continue
            columns = self._take(
                g for g in self.left
                if g.pattern.startswith(f"{place}/") and g.per_row == start.length
            )  # fmt: skip
            names = _Names()
            stop = next((g for g in columns if g is not start and _STOP.search(g.leaf)), None)
            entries = [f"start_time = {_quoted(start.pattern)}"]
            entries += [f"stop_time = {_quoted(stop.pattern)}"] if stop and stop.numbers else []
            names.used |= {"start_time", "stop_time"}
            others = [g for g in columns if g is not start and g is not stop]
            entries += [f"{names.of(g.pattern)} = {_quoted(g.pattern)}" for g in others[:_GUESSED]]
            self._node(f"presentations/{_name(place)}", entries)

    def _along(self, clock: Group) -> None:
        """What is as long as a clock: matrices in nodes of units, signals together."""
        time = _time(clock)
        fits = [g for g in self.left if g.numbers and not g.many and clock.length in g.info.shape]
        for matrix in self._take([g for g in fits if len(g.long) == 2][:_GUESSED]):
            self._matrix(matrix, time, clock.length)
        signals = self._take([g for g in fits if g.length][:_GUESSED])
        if signals:
            self._node(_name(clock.pattern), [time, *_entries(signals)])

    def _matrix(self, group: Group, time: str, length: int) -> None:
        shape = group.info.shape
        kept = [n for n in shape if n > 1]
        dims = '["time", "unit_id"]' if kept[0] == length else '["unit_id", "time"]'
        name = _Names().of(group.pattern, matrix=True)
        entry = f"{name} = {{array = {_quoted(group.pattern)}, dims = {dims}}}"
        self._node(f"unknown/{name}", [time, entry])

    def _without_clock(self, clocks: Mapping[int, Group]) -> None:
        """What is left: one array per unit, matrices whose longer axis may be time, series."""
        numbers = [g for g in self.left if g.numbers and 0 not in g.info.shape]
        for matrix in [g for g in numbers if not g.many and len(g.long) == 2][:_GUESSED]:
            self._matrix(matrix, self.time, max(matrix.long))
        for grid in [g for g in numbers if g.many and len(g.long) == 1][:_GUESSED]:
            clock = clocks.get(grid.long[0])
            self._grid(grid, _time(clock) if clock else self.time)
        lengths = list(dict.fromkeys(g.length for g in numbers if g.length))
        for length in lengths[:_GUESSED]:
            members = [g for g in numbers if g.length == length][:_GUESSED]
            self._node("series", [self.time, *_entries(members)])

    def _grid(self, group: Group, time: str) -> None:
        """One array per unit, or per unit and trial, if all have one shape and none is missing."""
        lead = ("unit_id", "presentation_id")[: group.pattern.count("*")]
        full = math.prod(group.places) == len(group.infos)
        if (
            len({info.shape for info in group.infos}) > 1
            or group.pattern.count("*") > 2
            or not full
        ):
            return
        name = _Names().of(group.pattern, matrix=True)
        dims = json.dumps([*lead, "time"])
        entry = f"{name} = {{array = {_quoted(group.pattern)}, dims = {dims}}}"
        self._node(f"unknown/{name}", [time, entry])


def _time(clock: Group) -> str:
    """The line of a mapping that says what the clock of a node is."""
    return f"time = {_quoted(clock.pattern)}  # in seconds? else {{array = ..., scale = ...}}"


def _entries(groups: list[Group]) -> list[str]:
    names = _Names()
    return [f"{names.of(group.pattern)} = {_quoted(group.pattern)}" for group in groups]


class _Names:
    """Names of variables in one node, each once, none that the tree uses otherwise."""

    def __init__(self) -> None:
        self.used = set(_TAKEN)

    def of(self, pattern: str, matrix: bool = False) -> str:
        """A name for an array."""
        parent, _, leaf = pattern.rpartition("/")
        name = _name(pattern)
        if name in self.used and parent and _name(leaf) == name:
            name = f"{_name(parent)}_{name}"
        while name in self.used or (matrix and name == "speed"):
            name += "_"
        self.used.add(name)
        return name


def _name(pattern: str) -> str:
    """A bare TOML key from the name of an array: its last part that says something."""
    for part in reversed(
        re.sub(r"\.(npy|csv|tsv|txt|npz|parquet|mat|h5)(?=/|$)", "", pattern).split("/")
    ):
        name = re.sub(r"[^A-Za-z0-9_]+", "_", part).strip("_")
        if name and not name.isdigit():
            return name
    return "values"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
