"""A mapping guessed from the names, lengths and values of arrays; what cannot be right is a comment."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping

import numpy as np

from neuroarrays import schema
from neuroarrays.files.source import Source
from neuroarrays.formats.arrays.fields import lazy_of
from neuroarrays.formats.arrays.patterns import Group, file_of, inside, place_of, quoted, shown

#: Entries that are guessed of a kind, values that are looked at, and arrays of a pattern.
_GUESSED, _VALUES, _ARRAYS = 20, 1_000_000, 20
#: Spikes that one unit can have in a second, and steps of a clock that may go backwards.
_FASTEST, _BACKWARDS = 500.0, 0.01
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
_TRIALS = re.compile(r"(trial|trl|rep|repeat|sweep|epoch|presentation|stim)s?[-_. /]*$", re.I)
_TAKEN = (schema.TIME, schema.UNIT, schema.PRESENTATION, "spike_times", "row_size", "unit")


class Guess:
    """Nodes of a mapping, guessed; `lines` gives them as TOML."""

    def __init__(self, source: Source, groups: list[Group]):
        self.source, self.left = source, list(groups)
        self.nodes: dict[str, list[str]] = {}
        self.words: list[str] = []
        self.rows: dict[int, str] = {}
        self.time = self._rate()

    def lines(self) -> list[str]:
        """The nodes as TOML; comments on what could not be guessed."""
        self._spikes()
        self._tables()
        clocks = [g for g in self.left if g.length and g.numbers and _CLOCK.search(g.leaf)]
        clocks = [clock for clock in clocks if self._ticks(clock)]
        for clock in clocks:
            self.left.remove(clock)
        for clock in clocks:
            self._along(clock, [c for c in clocks if c.length == clock.length])
        self._without_clock({clock.length: clock for clock in reversed(clocks)})
        if not self.nodes:
            self.words.append("# nothing in it looks like a signal: name the arrays to open")
        made = []
        for name, entries in self.nodes.items():
            made += [f"[{quoted(name)}]", *entries, ""]
        return [*self.words, *([""] if self.words and made else []), *made[:-1]]

    def _rate(self) -> str:
        """The line that says what the clock is of nodes that have none, from a rate in the file."""
        for group in self.left:
            if not group.many and group.numbers and _RATE.search(group.leaf):
                values = self._values(group) if not group.long else np.empty(0)
                if values.size == 1 and 0 < values[0] < np.inf:
                    return (
                        f"time = {{rate = {float(values[0])!r}}}  # Hz, from {shown(group.pattern)}"
                    )
        return "# time = {rate = 30.0}  # Hz, or the array that holds the times"

    def _values(self, group: Group, name: str = "") -> np.ndarray:
        """The values of a single array, those of its beginning if it is long."""
        array = lazy_of(self.source, name or group.pattern)
        if math.prod(array.shape) > _VALUES:
            axis = int(np.argmax(array.shape))
            key = [slice(None)] * len(array.shape)
            key[axis] = slice(_VALUES * array.shape[axis] // math.prod(array.shape))
            return np.asarray(array._raw(tuple(key)), float).ravel()
        return np.asarray(array.load(), float).ravel()

    def _ticks(self, clock: Group) -> bool:
        """Whether values go forward, as those of a clock do."""
        steps = np.diff(self._values(clock))
        return bool((steps < 0).sum() <= _BACKWARDS * steps.size) and not np.isnan(steps).all()

    def _take(self, groups: Iterable[Group]) -> list[Group]:
        taken = list(groups)
        self.left = [group for group in self.left if group not in taken]
        return taken

    def _node(self, wanted: str, entries: list[str]) -> None:
        name, i = wanted, 2
        while any(n == name or n.startswith(f"{name}/") for n in self.nodes):
            name, i = f"{wanted}_{i}", i + 1
        self.nodes[name] = entries

    # ------------------------------------------------------------------------------- spikes

    def _spikes(self) -> None:
        """Spike times by name, and what says whose they are."""
        trains = [g for g in self.left if self._may_be_spikes(g)]
        if not trains:
            return
        (train,) = self._take(trains[:1])
        seconds = "in seconds? else {array = ..., scale = ...}"
        entries = [f"spike_times = {quoted(train.pattern)}  # {seconds}"]
        labels = self._labels(train)
        whole = [g for g in self.left if g.length and g.info.dtype.kind in "iu" and g.numbers]
        counts = [g for g in whole if not train.many and self._adds_up(g, train.length)]
        wrong = self._impossible(train, labels, counts)
        if wrong:
            self.words.append(f"# {shown(train.pattern)!r} may hold spikes, but {wrong}")
            return
        for key, found in (("unit", labels), ("row_size", [] if labels else counts)):
            entries += [f"{key} = {quoted(g.pattern)}" for g in self._take(found[:1])]
        units = (
            len(train.infos) if train.many else 0 if labels else counts[0].length if counts else 0
        )
        entries += _entries(self._take(g for g in self.left if units > 1 and g.per_row == units))
        self._node("unknown/spikes", entries)

    def _may_be_spikes(self, group: Group) -> bool:
        """By the name of the array; that of its file counts only beside labels."""
        name = inside(group.pattern)
        if not group.numbers or not (group.many or group.length) or _NO_SPIKES.search(name):
            return False
        if any(sum(n > 1 for n in info.shape) > 1 for info in group.infos):
            return False
        by_file = _SPIKES.search(group.pattern) and _CLOCK.search(group.leaf)
        return bool(_SPIKES.search(name) or (by_file and self._labels(group)))

    def _labels(self, train: Group) -> list[Group]:
        """What is as long as the spikes and says whose each is."""
        return [
            g for g in self.left
            if g.numbers and g.info.dtype.kind in "iu" and g is not train and g.length
            and g.length == train.length and _LABELS.search(inside(g.pattern))
            and (file_of(g.pattern) == file_of(train.pattern) or g.pattern.endswith(".npy"))
        ]  # fmt: skip

    def _adds_up(self, group: Group, total: int) -> bool:
        return group.length <= 100_000 and int(self._values(group).sum()) == total

    def _impossible(self, train: Group, labels: list[Group], counts: list[Group]) -> str:
        """Why an array cannot be the spike times of units in seconds; "" if it can."""
        before = train.pattern.partition("*")[0]
        if train.many and _TRIALS.search(before):
            return (
                "there is an array per trial, not per unit: join them, each with its trial's start"
            )
        names = [train.pattern]
        if train.many:
            names = [n for n, i in zip(train.names, train.infos, strict=True) if math.prod(i.shape)]
        for name in names[:_ARRAYS]:
            times = self._values(train, name)
            times = np.sort(times[np.isfinite(times)])
            if times.size < 10 or times[-1] <= times[0]:
                continue
            steps = np.diff(times)
            if not labels and not counts and np.ptp(steps) <= 1e-6 * steps.max():
                return f"it ticks every {steps[0]:g} s: a clock, not spikes"
            units = np.unique(self._values(labels[0])).size if labels else 1
            units = counts[0].length if counts and not labels else units
            rate = times.size / (times[-1] - times[0]) / max(units, 1)
            if rate > _FASTEST:
                return (
                    f"one unit would have {rate:,.0f} spikes/s: they are not in seconds (scale = ...) "
                    "or of several units (unit = the array of labels)"
                )
        return ""

    # -------------------------------------------------------------------------- the others

    def _tables(self) -> None:
        """Tables of presentations: columns side by side, one of which says when they begin."""
        for start in [g for g in self.left if g.length and g.numbers and _START.search(g.leaf)]:
            place = place_of(start.pattern)
            if not place or start not in self.left:
                continue
            columns = self._take(
                g for g in self.left
                if g.pattern.startswith(f"{place}/") and g.per_row == start.length
            )  # fmt: skip
            names = _Names()
            stop = next((g for g in columns if g is not start and _STOP.search(g.leaf)), None)
            entries = [f"start_time = {quoted(start.pattern)}"]
            entries += [f"stop_time = {quoted(stop.pattern)}"] if stop and stop.numbers else []
            names.used |= {"start_time", "stop_time"}
            others = [g for g in columns if g is not start and g is not stop]
            entries += [f"{names.of(g.pattern)} = {quoted(g.pattern)}" for g in others[:_GUESSED]]
            self.rows[start.length] = f"presentations/{_name(place)}"
            self._node(self.rows[start.length], entries)

    def _along(self, clock: Group, alike: list[Group]) -> None:
        """What is as long as a clock: matrices in nodes of units, signals together.

        Of several clocks of one length what lies beside a clock goes with it; what lies beside none
        goes with the first, and says so.
        """
        fits = [
            g for g in self.left
            if g.numbers and not g.many and clock.length in g.info.shape
            and _nearest(g, alike) in (clock, None)
        ]  # fmt: skip
        others = " or ".join(quoted(c.pattern) for c in alike if c is not clock)

        def time(members: list[Group]) -> str:
            unsure = others and any(_nearest(g, alike) is None for g in members)
            return _time(clock) + (f"; or {others}, which is as long" if unsure else "")

        for matrix in self._take([g for g in fits if len(g.long) == 2][:_GUESSED]):
            self._matrix(matrix, time([matrix]), clock.length)
        signals = self._take([g for g in fits if g.length][:_GUESSED])
        if signals:
            self._node(_name(clock.pattern), [time(signals), *_entries(signals)])

    def _matrix(self, group: Group, time: str, length: int) -> None:
        shape = group.info.shape
        kept = [n for n in shape if n > 1]
        dims = '["time", "unit_id"]' if kept[0] == length else '["unit_id", "time"]'
        other = kept[1] if kept[0] == length else kept[0]
        name = _Names().of(group.pattern, matrix=True)
        entry = f"{name} = {{array = {quoted(group.pattern)}, dims = {dims}}}"
        if other in self.rows:
            entry += f"  # unit_id? {self.rows[other]} has as many rows"
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
        before = group.pattern.split("*")[:-1]
        trials = [bool(_TRIALS.search(text)) for text in before]
        lead = ["presentation_id" if one else "unit_id" for one in trials]
        if len(lead) == 2 and len(set(lead)) == 1:
            lead = ["unit_id", "presentation_id"]
        full = math.prod(group.places) == len(group.infos)
        if len({info.shape for info in group.infos}) > 1 or len(lead) > 2 or not full:
            return
        if lead == ["presentation_id"]:
            self.words.append(f"# {shown(group.pattern)!r} holds an array per trial, not per unit: "
                              'it belongs into tree = "aligned", dims = ["presentation_id", "time"]')  # fmt: skip
            return
        name = _Names().of(group.pattern, matrix=True)
        dims = json.dumps([*lead, "time"])
        entry = f"{name} = {{array = {quoted(group.pattern)}, dims = {dims}}}"
        if lead == ["unit_id"] and len(group.infos) in self.rows:
            entry += f"  # unit_id? {self.rows[len(group.infos)]} has as many rows"
        self._node(f"unknown/{name}", [time, entry])


def _nearest(group: Group, clocks: list[Group]) -> Group | None:
    """The clock that an array lies beside, None if it lies beside several or none."""
    if len(clocks) == 1:
        return clocks[0]
    place = place_of(group.pattern)
    depth = [_shared(place.split("/"), place_of(c.pattern).split("/"))
             for c in clocks]  # fmt: skip
    best = max(depth)
    return clocks[depth.index(best)] if best and depth.count(best) == 1 else None


def _shared(one: list[str], other: list[str]) -> int:
    """How many levels two places share."""
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


def _time(clock: Group) -> str:
    """The line of a mapping that says what the clock of a node is."""
    return f"time = {quoted(clock.pattern)}  # in seconds? else {{array = ..., scale = ...}}"


def _entries(groups: list[Group]) -> list[str]:
    names = _Names()
    return [f"{names.of(group.pattern)} = {quoted(group.pattern)}" for group in groups]


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
