"""Records of the content of a tree: sessions, areas, signals, events, tables and notes.

`tree.contents` makes the records. The catalogue, `describe`, the command and the pictures show
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import xarray as xr


@dataclass(frozen=True)
class NodeRecord:
    """The names and sizes of one node of a tree.

    Attributes
    ----------
    sizes : dict of str to int
        Dimension -> length.
    units : dict of str to str
        Variable -> its physical unit, or "". Coordinates are left out.
    attrs : dict
        Attributes of the node.
    """

    sizes: Mapping[Any, int]
    units: Mapping[str, str]
    attrs: Mapping[Any, Any]

    @classmethod
    def of(cls, dataset: xr.Dataset) -> NodeRecord:
        """The names and sizes of a dataset; nothing is read."""
        units = {str(name): str(dataset.variables[name].attrs.get("units", "")) for name in dataset}
        return cls(dict(dataset.sizes), units, dataset.attrs)


@dataclass(frozen=True)
class AreaRecord:
    """The units of one area.

    Attributes
    ----------
    name, path : str
        Name, and path in the tree.
    n_units : int
        Number of units.
    n_spikes, n_presentations, n_times : int or None
        Lengths along ``spike``, ``presentation_id`` and ``time``; None without the dimension.
    has_pupil : bool or None
        In an aligned tree: whether the area has a node of the pupil.
    units : dict of str to str
        Variables of an aligned area -> their physical units.
    rate : float or None, spikes/s
        Mean firing rate over units; None before it is read, NaN if no unit has one.
    """

    name: str
    path: str
    n_units: int = 0
    n_spikes: int | None = None
    n_presentations: int | None = None
    n_times: int | None = None
    has_pupil: bool | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    rate: float | None = None


@dataclass(frozen=True)
class SignalRecord:
    """A node of signals that share one clock.

    Attributes
    ----------
    path : str
        Path below the session.
    n_times : int
        Number of samples.
    units : dict of str to str
        Variable -> its physical unit.
    rate : float or None, Hz
        Samples per second of recorded time; None before it is read, or if it is not known.
    """

    path: str
    n_times: int
    units: Mapping[str, str]
    rate: float | None = None


@dataclass(frozen=True)
class EventsRecord:
    """Point events.

    Attributes
    ----------
    name : str
        Their name in the session.
    n_events : int or None
        Number of events; None in an aligned tree, which has counts in bins.
    units : dict of str to str
        Variable -> its physical unit.
    """

    name: str
    n_events: int | None
    units: Mapping[str, str]


@dataclass(frozen=True)
class TableRecord:
    """A table of presentations, trials or epochs.

    Attributes
    ----------
    name : str
        Its name in the session.
    n_rows : int
        Number of rows.
    units : dict of str to str
        Column -> its physical unit.
    """

    name: str
    n_rows: int
    units: Mapping[str, str]


@dataclass(frozen=True)
class SessionRecord:
    """What one session holds.

    Attributes
    ----------
    path : str
        Path in the tree.
    areas, signals, events, tables : tuple of records
        In the order of the tree.
    notes : tuple of str
        What the reader left out or guessed.
    observed : tuple of (float, float), s, or None
        Stretches of recorded time on the session clock; None before they are read.
    is_whole : bool
        Whether `observed` is all the recorded time. Before spikes are read, it may be only the time
        that clocks and tables cover.
    """

    path: str
    areas: tuple[AreaRecord, ...] = ()
    signals: tuple[SignalRecord, ...] = ()
    events: tuple[EventsRecord, ...] = ()
    tables: tuple[TableRecord, ...] = ()
    notes: tuple[str, ...] = ()
    observed: tuple[tuple[float, float], ...] | None = None
    is_whole: bool = False

    @property
    def name(self) -> str:
        """Its name."""
        return self.path.rpartition("/")[2]

    @property
    def block(self) -> str:
        """The path of the group of the session, or ""."""
        return self.path.rpartition("/")[0]

    @property
    def seconds(self) -> float | None:
        """The recorded time in s; None before it is read."""
        if self.observed is None:
            return None
        return round(sum(stop - start for start, stop in self.observed), 9)


@dataclass(frozen=True)
class TreeContents:
    """What a tree holds.

    Attributes
    ----------
    kind : {"recording", "aligned"}
        Kind of tree.
    source : str
        Name of the format that the tree was opened from, or "" if it is not known.
    sessions : tuple of SessionRecord
        In the order of the tree.
    """

    kind: str
    source: str
    sessions: tuple[SessionRecord, ...]

    @property
    def areas(self) -> tuple[AreaRecord, ...]:
        """The areas of all sessions."""
        return tuple(area for session in self.sessions for area in session.areas)

    @property
    def n_units(self) -> int:
        """Number of units of all areas."""
        return sum(area.n_units for area in self.areas)

    @property
    def n_spikes(self) -> int:
        """Number of spikes of all areas."""
        return sum(area.n_spikes or 0 for area in self.areas)

    def rows(self) -> list[dict[str, Any]]:
        """The catalogue: a row for each session and area, with area "" if there is none.

        Returns
        -------
        list of dict
            Rows with ``block``, ``session``, ``area`` (str) and ``units`` (int), and, if known,
            ``has_pupil`` (bool), ``spikes``, ``presentations`` and ``times`` (int). For a
            recording, ``presentations`` is a dict from the name of each table to its length.
        """
        rows = []
        for session in self.sessions:
            tables = {table.name: table.n_rows for table in session.tables}
            for area in session.areas or (AreaRecord("", ""),):
                row: dict[str, Any] = {
                    "block": session.block,
                    "session": session.name,
                    "area": area.name,
                    "units": area.n_units,
                    "has_pupil": area.has_pupil,
                    "spikes": area.n_spikes,
                    "presentations": tables or area.n_presentations,
                    "times": area.n_times,
                }
                rows.append({name: value for name, value in row.items() if value is not None})
        return rows
