"""Invalid times as masks, for the whole session and for some of its units.

A session may have a table ``presentations/invalid_times``, which is named as in NWB. Its rows go
from `start_time` to `stop_time` and are half-open, as in all tables: a bin that begins at a stop is
valid. The column `applies_to` tells what is invalid. An empty text stands for everything. Any other
text is the name of a probe, and stands for the units whose label `probe` has this name.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroarrays import schema

INVALID_TIMES = "invalid_times"
#: The `reason` of an invalid time that `restrict` cut out of the tree.
RESTRICTED = "cut away by restrict"
_PROBE = "probe"


def invalid_bins(session: xr.DataTree, begin: np.ndarray, end: np.ndarray) -> dict[str, np.ndarray]:
    """Mark the bins that overlap an invalid time.

    Parameters
    ----------
    session : DataTree node
        A session of a recording tree.
    begin, end : (...,) float64, s
        Edges of half-open bins on the session clock.

    Returns
    -------
    dict of str to (...,) bool
        True where a bin is invalid, by the name of the probe, "" for everything. Names without an
        invalid bin are left out.
    """
    masks: dict[str, np.ndarray] = {}
    for start, stop, name, _ in _rows(session):
        # A row of no length makes one bin invalid.
        invalid = (end > start) & ((begin < stop) | (begin == start))
        if invalid.any():
            masks[name] = masks[name] | invalid if name in masks else invalid
    return masks


def invalid_times(session: xr.DataTree | None, units: xr.Dataset) -> list[np.ndarray]:
    """The invalid times of each unit.

    Parameters
    ----------
    session : DataTree node or None
        A session of a recording tree.
    units : Dataset
        A node of the session with labels along ``(unit_id,)``; its times are in seconds.

    Returns
    -------
    list of (n, 2) float64, s
        Starts and stops on the session clock, as in the table: they may overlap.
    """
    n_units = units.sizes.get(schema.UNIT, 1)
    probes = np.atleast_1d(units[_PROBE].values).tolist() if _PROBE in units else [None] * n_units
    rows = [] if session is None else _rows(session)
    by_probe: dict[object, np.ndarray] = {}
    for probe in set(probes):
        spans = [(start, stop) for start, stop, name, _ in rows if name in ("", probe)]
        by_probe[probe] = np.array(spans, float).reshape(-1, 2)
    return [by_probe[probe] for probe in probes]


def cut_away(session: xr.DataTree) -> np.ndarray:
    """The times that `restrict` cut out of a session.

    Parameters
    ----------
    session : DataTree node
        A session of a recording tree.

    Returns
    -------
    (n, 2) float64, s
        Starts and stops on the session clock; they may overlap.
    """
    spans = [(start, stop) for start, stop, _, reason in _rows(session) if reason == RESTRICTED]
    return np.array(spans, float).reshape(-1, 2)


def _rows(session: xr.DataTree) -> list[tuple[float, float, str, str]]:
    """Start (s), stop (s), name of the probe and reason of each invalid time of a session."""
    tables = session.children.get(schema.PRESENTATIONS)
    if tables is None or INVALID_TIMES not in tables.children:
        return []
    table = tables.children[INVALID_TIMES].to_dataset()
    if not {schema.START_TIME, schema.STOP_TIME} <= set(table.data_vars):
        return []
    start, stop = table[schema.START_TIME].values, table[schema.STOP_TIME].values
    scope, reason = (
        table[name].values if name in table else np.full(start.size, "", object)
        for name in ("applies_to", "reason")
    )
    return list(zip(start.tolist(), stop.tolist(), scope.tolist(), reason.tolist(), strict=True))
