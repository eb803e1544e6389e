"""Guess which arrays are spike trains; `SpikeGuess` is the base of all guesses for a mapping."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import numpy as np

from neuroarrays import schema
from neuroarrays.files.source import Source
from neuroarrays.formats.arrays.fields import lazy_of
from neuroarrays.formats.arrays.patterns import Group, file_of, inside, object_of, quoted, shown

#: The most entries of one kind that are guessed, values that are read, and arrays of a pattern that are
#: read.
GUESSED, _VALUES, _ARRAYS = 20, 1_000_000, 20
#: The most spikes/s that one unit can have.
_FASTEST = 500.0
CLOCK = re.compile(r"(^|[_. ])(t|time|times|timestamps?|ftimes|frametimes?)($|[_. ])", re.I)
_RATE = re.compile(
    r"(^|[_. ])(fs|fps|srate|(sampling|sample|frame|imaging)_?(rate|freq)\w*)$", re.I
)
_SPIKES = re.compile(r"spike|spk|_sp_", re.I)
_NO_SPIKES = re.compile(
    r"range|rate|meta|cluster|label|_id|count|template|amplitude|waveform", re.I
)
_LABELS = re.compile(r"cluster|unit|label|neuron|cell", re.I)
_IDS = re.compile(r"^(cluster|unit)_?ids?$", re.I)
TRIALS = re.compile(r"(trial|trl|rep|repeat|sweep|epoch|presentation|stim)s?[-_. /]*$", re.I)
_TAKEN = (
    schema.TIME,
    schema.UNIT,
    schema.PRESENTATION,
    schema.SPIKE_TIMES,
    schema.ROW_SIZE,
    "unit",
)


class SpikeGuess:
    """Guessed nodes of a mapping; this class guesses those of spikes."""

    def __init__(self, source: Source, groups: list[Group]):
        self.source, self.left = source, list(groups)
        self.nodes: dict[str, list[str]] = {}
        self.words: list[str] = []
        self.rows: dict[int, str] = {}
        self.units: dict[str, int] = {}
        self.time = self._rate()

    def _rate(self) -> str:
        """Return the line `time = ...` for nodes without an array of times, from a rate in the file."""
        for group in self.left:
            if not group.many and group.numbers and _RATE.search(group.leaf):
                values = self._values(group) if not group.long else np.empty(0)
                if values.size == 1 and 0 < values[0] < np.inf:
                    return (
                        f"time = {{rate = {float(values[0])!r}}}  # Hz, from {shown(group.pattern)}"
                    )
        return "# time = {rate = 30.0}  # Hz, or the array that holds the times"

    def _values(self, group: Group, name: str = "") -> np.ndarray:
        """Return the values of a single array, or the first of a long one."""
        array = lazy_of(self.source, name or group.pattern)
        if math.prod(array.shape) > _VALUES:
            axis = int(np.argmax(array.shape))
            key = [slice(None)] * len(array.shape)
            key[axis] = slice(_VALUES * array.shape[axis] // math.prod(array.shape))
            return np.asarray(array._raw(tuple(key)), float).ravel()
        return np.asarray(array.load(), float).ravel()

    def _take(self, groups: Iterable[Group]) -> list[Group]:
        """Remove groups from those that are left, and return them as a list."""
        group_list = list(groups)
        self.left = [group for group in self.left if group not in group_list]
        return group_list

    def _node(self, wanted: str, entries: list[str]) -> None:
        """Add a node with its lines, under another name if its name is in use."""
        name, i = wanted, 2
        while any(n == name or n.startswith(f"{name}/") for n in self.nodes):
            name, i = f"{wanted}_{i}", i + 1
        self.nodes[name] = entries

    def _spikes(self) -> None:
        """Add spike times by name, with the labels that tell the unit of each."""
        trains = [g for g in self.left if self._may_be_spikes(g)]
        if not trains:
            return
        named = [g for g in trains if CLOCK.search(g.leaf)]
        (train,) = self._take((named or trains)[:1])
        seconds = "in seconds? else {array = ..., scale = ...}"
        entries = [f"spike_times = {quoted(train.pattern)}  # {seconds}"]
        labels = self._labels(train)
        whole = [g for g in self.left if g.length and g.info.dtype.kind in "iu" and g.numbers]
        counts = [g for g in whole if not train.many and self._adds_up(g, train.length)]
        wrong = self._impossible(train, labels, counts)
        if wrong:
            self.words.append(f"# {shown(train.pattern)!r} may hold spikes, but {wrong}")
            return
        for key, groups in (("unit", labels), ("row_size", [] if labels else counts)):
            entries += [f"{key} = {quoted(g.pattern)}" for g in self._take(groups[:1])]
        units = (
            len(train.infos) if train.many else 0 if labels else counts[0].length if counts else 0
        )
        listed = [g for g in self.left if labels and self._lists_units(g, labels[0])]
        if labels and not listed and (table := self._table_of_units(labels[0])):
            entries += [f"unit_id = {quoted(table[0].pattern)}"]
            entries += entries_of(self._take(table)[1 : GUESSED + 1])
        entries += entries_of(
            self._take(g for g in self.left if g in listed or (units > 1 and g.per_row == units))
        )
        if labels:
            each = self._take(g for g in self.left if self._of_each_spike(g, train))
            entries += entries_of(each[:GUESSED], 'dims = ["spike"]')
        self._node("unknown/spikes", entries)

    def _lists_units(self, group: Group, labels: Group) -> bool:
        """Whether row i of an array describes unit i of the labels of spikes, as "clusters.depths" does."""
        kind = object_of(labels.pattern)
        rows_of = object_of(group.pattern)
        rows = group.per_row
        if (
            not kind
            or not rows_of
            or labels.leaf.split(".")[1] != rows_of.rpartition("/")[2]
            or not rows
        ):
            return False
        values = self._values(labels)
        return kind.rpartition("/")[0] == rows_of.rpartition("/")[0] and bool(values.max() < rows)

    def _table_of_units(self, labels: Group) -> list[Group]:
        """Return the widest table with all units of the labels: its identifiers, then other columns."""
        widest: list[Group] = []
        for ids in [g for g in self.left if _IDS.search(g.leaf) and g.info.dtype.kind in "iu"]:
            file = file_of(ids.pattern)
            rows = [g for g in self.left if g.length == ids.length and file_of(g.pattern) == file]
            known = self._values(ids)
            whole = file and np.isin(self._values(labels), known).all()
            if whole and np.unique(known).size == known.size and len(rows) > len(widest):
                widest = [ids, *(g for g in rows if g is not ids)]
        return widest

    def _of_each_spike(self, group: Group, train: Group) -> bool:
        """Whether an array has a value for each spike, and belongs to no other object or clock."""
        if not group.numbers or group.length != train.length or CLOCK.search(group.leaf):
            return False
        if object_of(group.pattern) != object_of(train.pattern):
            return False
        alike = [g for g in self.left if g.length == train.length and CLOCK.search(g.leaf)]
        return bool(object_of(group.pattern)) or not alike

    def _may_be_spikes(self, group: Group) -> bool:
        """Whether an array may be spike times, by its name, or by that of its file beside labels."""
        name = inside(group.pattern)
        if not group.numbers or not (group.many or group.length) or _NO_SPIKES.search(name):
            return False
        if object_of(group.pattern) and not CLOCK.search(group.leaf):
            return False  # spikes.depths
        if any(sum(n > 1 for n in info.shape) > 1 for info in group.infos):
            return False
        by_file = _SPIKES.search(group.pattern) and CLOCK.search(group.leaf)
        return bool(_SPIKES.search(name) or (by_file and self._labels(group)))

    def _labels(self, train: Group) -> list[Group]:
        """Return an array that is as long as the spikes and has the unit of each."""
        return [
            g
            for g in self.left
            if g.numbers
            and g.info.dtype.kind in "iu"
            and g is not train
            and g.length
            and g.length == train.length
            and _LABELS.search(inside(g.pattern))
            and (file_of(g.pattern) == file_of(train.pattern) or g.pattern.endswith(".npy"))
        ]

    def _adds_up(self, group: Group, total: int) -> bool:
        return group.length <= 100_000 and int(self._values(group).sum()) == total

    def _impossible(self, train: Group, labels: list[Group], counts: list[Group]) -> str:
        """Return why an array cannot be spike times of units in seconds; "" if it can."""
        before = train.pattern.partition("*")[0]
        if train.many and TRIALS.search(before):
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


def entries_of(groups: list[Group], more: str = "") -> list[str]:
    """Return lines of a mapping, one for each array, all with the properties `more`."""
    names = Names()
    return [
        f"{names.new(g.pattern)} = "
        + (f"{{array = {quoted(g.pattern)}, {more}}}" if more else quoted(g.pattern))
        for g in groups
    ]


class Names:
    """Unique names of variables in one node, none of which the tree uses otherwise."""

    def __init__(self) -> None:
        self.used = set(_TAKEN)

    def new(self, pattern: str, matrix: bool = False) -> str:
        """Return a new name for an array."""
        parent, _, leaf = pattern.rpartition("/")
        name = name_of(pattern)
        if name in self.used and parent and name_of(leaf) == name:
            name = f"{name_of(parent)}_{name}"
        while name in self.used or (matrix and name == "speed"):
            name += "_"
        self.used.add(name)
        return name


def name_of(pattern: str) -> str:
    """Return a bare TOML key from the name of an array: its last meaningful part."""
    for part in reversed(
        re.sub(r"\.(npy|csv|tsv|txt|npz|parquet|mat|h5)(?=/|$)", "", pattern).split("/")
    ):
        name = re.sub(r"[^A-Za-z0-9_]+", "_", part).strip("_")
        if name and not name.isdigit():
            return name
    return "values"
