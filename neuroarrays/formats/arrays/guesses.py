"""Guess a mapping from names, lengths and values of arrays; impossible lines become comments."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

import numpy as np

from neuroarrays import schema
from neuroarrays.formats.arrays.guessed_spikes import (
    CLOCK,
    GUESSED,
    TRIALS,
    Names,
    SpikeGuess,
    entries_of,
    name_of,
)
from neuroarrays.formats.arrays.patterns import Group, object_of, place_of, quoted, shown

#: Fraction of the steps of a clock that may go backwards.
_BACKWARDS = 0.01
#: The most columns of a table with a row for each trace, and how many times longer than wide it is.
_FEW, _TALL = 16, 2
_START = re.compile(r"(^|[_. ])(start|onset|on|begin)", re.I)
_STOP = re.compile(r"(^|[_. ])(stop|end|offset|off)", re.I)


class Guess(SpikeGuess):
    """Guessed nodes of a mapping; `lines` returns them as TOML."""

    def lines(self) -> list[str]:
        """Return the nodes as TOML, with comments on arrays that could not be guessed."""
        self._spikes()
        self._tables()
        clocks = [g for g in self.left if g.length and g.numbers and CLOCK.search(g.leaf)]
        clocks = [clock for clock in clocks if self._ticks(clock)]
        for clock in clocks:
            self.left.remove(clock)
        for clock in clocks:
            self._along(clock, [c for c in clocks if c.length == clock.length])
        self._without_clock({clock.length: clock for clock in reversed(clocks)})
        if not self.nodes:
            self.words.append("# nothing in it looks like a signal: name the arrays to open")
        written = []
        for name, entries in self.nodes.items():
            written += [f"[{quoted(name)}]", *entries, ""]
        return [*self.words, *([""] if self.words and written else []), *written[:-1]]

    def _ticks(self, clock: Group) -> bool:
        """Whether values increase, as those of a clock do."""
        steps = np.diff(self._values(clock))
        return bool((steps < 0).sum() <= _BACKWARDS * steps.size) and not np.isnan(steps).all()

    def _tables(self) -> None:
        """Add tables of presentations: neighbouring columns, one of which has the start times."""
        for pair in [g for g in self.left if g.info.shape[1:] == (2,)]:
            if object_of(pair.pattern) and pair.leaf.split(".")[1] == "intervals":
                self._intervals(pair)
        for start in [g for g in self.left if g.length and g.numbers and _START.search(g.leaf)]:
            table = place_of(start.pattern)
            if not table or start not in self.left:
                continue
            columns = self._take(
                g
                for g in self.left
                if g.pattern.startswith(f"{table}/") and g.per_row == start.length
            )
            names = Names()
            stop = next((g for g in columns if g is not start and _STOP.search(g.leaf)), None)
            entries = [f"start_time = {quoted(start.pattern)}"]
            entries += [f"stop_time = {quoted(stop.pattern)}"] if stop and stop.numbers else []
            names.used |= {schema.START_TIME, schema.STOP_TIME}
            others = [g for g in columns if g is not start and g is not stop]
            entries += [f"{names.new(g.pattern)} = {quoted(g.pattern)}" for g in others[:GUESSED]]
            self.rows[start.length] = f"presentations/{name_of(table)}"
            self._node(self.rows[start.length], entries)

    def _intervals(self, pair: Group) -> None:
        """Add a table of ALF: starts and stops, and other columns with the same rows."""
        alf_object, rows = object_of(pair.pattern), pair.info.shape[0]
        names = Names()
        names.used |= {schema.START_TIME, schema.STOP_TIME}
        entries = [
            f"{name} = {{array = {quoted(pair.pattern)}, column = {column}}}"
            for column, name in enumerate((schema.START_TIME, schema.STOP_TIME))
        ]
        columns = self._take(
            g
            for g in self.left
            if g is pair or (object_of(g.pattern) == alf_object and g.per_row == rows)
        )
        others = [g for g in columns if g is not pair][:GUESSED]
        entries += [f"{names.new(g.pattern)} = {quoted(g.pattern)}" for g in others]
        self.rows[rows] = f"presentations/{name_of(alf_object)}"
        self._node(self.rows[rows], entries)

    def _along(self, clock: Group, alike: list[Group]) -> None:
        """Add arrays as long as a clock: matrices as nodes of units, signals together.

        If several clocks have one length, an array in the same group or folder as a clock belongs to
        it. Any other array belongs to the first clock, with a comment.
        """
        fits = [
            g
            for g in self.left
            if g.numbers
            and not g.many
            and clock.length in g.info.shape
            and _nearest(g, alike) in (clock, None)
            and object_of(g.pattern) in ("", object_of(clock.pattern))
        ]
        others = " or ".join(quoted(c.pattern) for c in alike if c is not clock)

        def time(members: list[Group]) -> str:
            unsure = others and any(_nearest(g, alike) is None for g in members)
            return _time(clock) + (f"; or {others}, which is as long" if unsure else "")

        for matrix in self._take([g for g in fits if len(g.long) == 2][:GUESSED]):
            self._matrix(matrix, time([matrix]), clock.length)
        signals = self._take([g for g in fits if g.length][:GUESSED])
        alf_object = object_of(clock.pattern)
        if (
            not fits and alf_object
        ):  # such as licks.times: point events, the times of no other array
            entry = f"event_time = {quoted(clock.pattern)}  # in seconds? else {{array = ..., scale = ...}}"
            self._node(f"events/{name_of(alf_object)}", [entry])
        if signals:
            self._node(name_of(clock.pattern), [time(signals), *entries_of(signals)])

    def _matrix(self, group: Group, time: str, length: int) -> None:
        """Add a matrix as a node of units on a clock."""
        shape = group.info.shape
        lengths = [n for n in shape if n > 1]
        dims = '["time", "unit_id"]' if lengths[0] == length else '["unit_id", "time"]'
        other = lengths[1] if lengths[0] == length else lengths[0]
        name = Names().new(group.pattern, matrix=True)
        entry = f"{name} = {{array = {quoted(group.pattern)}, dims = {dims}}}"
        if other in self.rows:
            entry += f"  # unit_id? {self.rows[other]} has as many rows"
        self._node(f"unknown/{name}", [time, entry])
        self.units.setdefault(list(self.nodes)[-1], other)

    def _without_clock(self, clocks: Mapping[int, Group]) -> None:
        """Add the rest: one array per unit, matrices whose longer axis may be time, series."""
        numbers = [g for g in self.left if g.numbers and 0 not in g.info.shape]
        matrices = [g for g in numbers if not g.many and len(g.long) == 2]
        traces = [g for g in matrices if min(g.long) * _TALL <= max(g.long)]
        lists = [g for g in matrices if self._describes_units(g, traces)]
        for matrix in [g for g in matrices if g not in lists][:GUESSED]:
            self._matrix(matrix, self.time, max(matrix.long))
        for columns in lists[:GUESSED]:
            self._columns(columns)
        for grid in [g for g in numbers if g.many and len(g.long) == 1][:GUESSED]:
            clock = clocks.get(grid.long[0])
            self._grid(grid, _time(clock) if clock else self.time)
        lengths = list(dict.fromkeys(g.length for g in numbers if g.length))
        for length in lengths[:GUESSED]:
            members = [g for g in numbers if g.length == length][:GUESSED]
            self._node("series", [self.time, *entries_of(members)])

    def _describes_units(self, group: Group, traces: list[Group]) -> bool:
        """Whether a small matrix has a row for each trace, as `iscell` of suite2p, and is not a series."""
        rows, columns = group.info.shape[0], math.prod(group.info.shape[1:])
        return columns <= _FEW and any(
            g is not group
            and min(g.long) == rows
            and max(g.long) > columns
            and place_of(g.pattern) == place_of(group.pattern)
            for g in traces
        )

    def _columns(self, group: Group) -> None:
        """Add the columns of such a matrix as labels of the units of a node with as many traces."""
        rows = group.info.shape[0]
        node = next(name for name, of in self.units.items() if of == rows)
        name = name_of(group.pattern)
        for column in range(group.info.shape[1]):
            entry = f'{{array = {quoted(group.pattern)}, column = {column}, dims = ["unit_id"]}}'
            self.nodes[node].append(f"{name}{f'_{column}' * (column > 0)} = {entry}")

    def _grid(self, group: Group, time: str) -> None:
        """Add one array per unit, or per unit and trial, if all have one shape and none is missing."""
        before = group.pattern.split("*")[:-1]
        trials = [bool(TRIALS.search(text)) for text in before]
        lead = [schema.PRESENTATION if is_trial else schema.UNIT for is_trial in trials]
        if len(lead) == 2 and len(set(lead)) == 1:
            lead = [schema.UNIT, schema.PRESENTATION]
        full = math.prod(group.places) == len(group.infos)
        if len({info.shape for info in group.infos}) > 1 or len(lead) > 2 or not full:
            return
        if lead == [schema.PRESENTATION]:
            self.words.append(
                f"# {shown(group.pattern)!r} holds an array per trial, not per unit: "
                'it belongs into tree = "aligned", dims = ["presentation_id", "time"]'
            )
            return
        name = Names().new(group.pattern, matrix=True)
        dims = json.dumps([*lead, schema.TIME])
        entry = f"{name} = {{array = {quoted(group.pattern)}, dims = {dims}}}"
        if lead == [schema.UNIT] and len(group.infos) in self.rows:
            entry += f"  # unit_id? {self.rows[len(group.infos)]} has as many rows"
        self._node(f"unknown/{name}", [time, entry])


def _nearest(group: Group, clocks: list[Group]) -> Group | None:
    """Return the only clock beside an array, or None."""
    if len(clocks) == 1:
        return clocks[0]
    folder = place_of(group.pattern)
    depth = [_shared(folder.split("/"), place_of(c.pattern).split("/")) for c in clocks]
    best = max(depth)
    return clocks[depth.index(best)] if best and depth.count(best) == 1 else None


def _shared(levels: list[str], other: list[str]) -> int:
    """Return how many levels two paths share."""
    return next(
        (i for i, (a, b) in enumerate(zip(levels, other, strict=False)) if a != b),
        min(len(levels), len(other)),
    )


def _time(clock: Group) -> str:
    """Return the line of a mapping with the clock of a node."""
    return f"time = {quoted(clock.pattern)}  # in seconds? else {{array = ..., scale = ...}}"
