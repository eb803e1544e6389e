"""Align one session: each kind of node of a recording goes to its function.

spikes               counted                     `spikes.spike_counts`
events               counted                     `events.event_counts`
amounts of events    summed, if asked for        `events.event_amounts`
series               averaged or interpolated    `interpolation.series_at`
series of units      the same, `responses`       `_responses`
frames of a stimulus the frame that was shown    `frames.frames_shown`
presentations        rows, and labels of areas   `_area`
observed, invalid    masks                       `_Masks`
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.bins import Bins
from neuroarrays.alignment.events import event_amounts, event_counts
from neuroarrays.alignment.frames import frames_shown
from neuroarrays.alignment.interpolation import other_coords, series_at
from neuroarrays.alignment.options import Options
from neuroarrays.alignment.spikes import spike_counts
from neuroarrays.errors import NotInTree
from neuroarrays.lazy.indexes import dataset
from neuroarrays.tree.invalid import invalid_bins
from neuroarrays.tree.masks import unit_validity
from neuroarrays.tree.observed import stated_of_units, valid_bins
from neuroarrays.tree.sessions import SessionNodes

Variables = dict[str, xr.Variable]


def on_bins(
    session: SessionNodes, bins: Bins, table: xr.Dataset | None, options: Options
) -> dict[str, xr.Dataset]:
    """Make the nodes of the aligned tree from one session of a recording.

    Parameters
    ----------
    session : SessionNodes
        Its nodes, sorted by content.
    bins : Bins
        The bins.
    table : Dataset, optional
        The presentations, columns ``(presentation_id,)`` with times in seconds; a row for each
        onset of `bins`.
    options : Options
        The options of `align`.

    Returns
    -------
    dict of str to Dataset
        The nodes by path in the tree: the session, its areas, and below each area behaviour, events
        and presentations, along ``(presentation_id, ...)`` or ``(time, ...)``. Counts have no unit;
        signals have that of the recording.
    """
    coords = _coordinates(bins, table)
    masks = _Masks.of(session, bins)
    series = session.chosen_series(options.series)
    below = {path: _at_bins(node, bins, options) for path, node in series.items()}
    frames = {
        name: frames_shown(node, bins, options.max_gap)
        for name, node in _named_frames(session).items()
    }
    events = event_counts(session.events, bins, options.dtype, options.binarize)
    if events:
        below[schema.EVENTS] = events | masks.valid
    if amounts := event_amounts(session.events, bins, options.method):
        below[schema.AMOUNTS] = amounts
    only_speed = set(below.get(schema.RUNNING, ())) == {"speed"}
    # Speed alone becomes a variable of each area, not a node.
    speed = below.pop(schema.RUNNING) if only_speed else {}
    nodes = {
        path: dataset(variables, other_coords(series[path]) if path in series else None)
        for path, variables in below.items()
    }
    if table is not None:
        nodes[schema.PRESENTATIONS] = table.drop_vars(table.coords)
    attrs = {str(name): value for name, value in session.node.attrs.items()}
    if not session.areas:  # only behaviour, so the session takes the place of an area
        area = frames | masks.valid | speed
        return _area(session.name, area, coords, nodes, attrs)
    groups = {session.name: dataset(frames, coords, attrs)}
    for name, leaves in session.areas.items():
        path = f"{session.name}/{name}"
        variables, units = _units(leaves, bins, options, path)
        variables |= masks.valid | masks.of_units(leaves, units, bins) | speed
        groups |= _area(path, variables, units, nodes)
    return groups


def _coordinates(bins: Bins, table: xr.Dataset | None) -> Variables:
    """The coordinates that all areas of a session share: times of bins, presentation_id."""
    coords = {schema.TIME: bins.axis}
    if table is not None:
        coords[schema.PRESENTATION] = table.variables[schema.PRESENTATION]
    return coords


def _area(
    path: str,
    variables: Variables,
    coords: Variables,
    below: Mapping[str, xr.Dataset],
    attrs: Mapping[str, Any] | None = None,
) -> dict[str, xr.Dataset]:
    """An area and the nodes below it; the columns of its presentations become labels."""
    table = below.get(schema.PRESENTATIONS)
    if table is not None:
        labels = schema.trial_labels(dataset(variables), table)
        coords = coords | {name: label for name, label in labels.items() if name not in coords}
    area = dataset(variables, coords, attrs)
    return {path: area} | {f"{path}/{name}": node for name, node in below.items()}


# ------------------------------------------------------------------------ nodes without units


def _at_bins(node: xr.Dataset, bins: Bins, options: Options) -> Variables:
    """A series in bins."""
    return series_at(
        node,
        bins.onsets,
        bins.centres,
        options.method,
        options.max_gap,
        bins.dims,
        bin_width=bins.width,
    )


def _named_frames(session: SessionNodes) -> dict[str, xr.Dataset]:
    """Frames on a clock by their new names: "stimulus" if there is only one, else their paths."""
    if len(session.frames) == 1:
        return dict.fromkeys([schema.STIMULUS], *session.frames.values())
    return {path.replace("/", "_"): node for path, node in session.frames.items()}


@dataclass(frozen=True)
class _Masks:
    """The masks of a session.

    Attributes
    ----------
    valid : dict of str to variable
        `valid`, (presentation_id, time) or (time,) bool, if a bin does not count.
    invalid : dict of str to (presentation_id, time) or (time,) bool
        Bins that overlap an invalid time, by the name of the probe.
    """

    valid: Variables
    invalid: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, session: SessionNodes, bins: Bins) -> _Masks:
        """Masks from the stops of presentations, the recorded time and the invalid times."""
        begin, end = bins.edges[..., :-1], bins.edges[..., 1:]
        whole = bins.whole()
        recorded = valid_bins(session.node, begin, end)
        invalid = invalid_bins(session.node, begin, end)
        trusted = ~invalid[""] if "" in invalid else None
        known = [mask for mask in (whole, recorded, trusted) if mask is not None]
        if not known:
            return cls({}, invalid)
        values = np.logical_and.reduce(known)
        variable = schema.var("area", schema.VALID, values, bins.dims, tree=schema.ALIGNED)
        return cls({schema.VALID: variable}, invalid)

    def of_units(
        self, leaves: Mapping[str, xr.Dataset], units: Variables, bins: Bins
    ) -> dict[str, xr.Variable]:
        """`valid_units` of an area, if a bin of a unit does not count."""
        observed = stated_of_units(leaves.get(schema.SPIKES))
        variable = unit_validity(self.invalid, observed, units, bins.edges, bins.dims)
        return {} if variable is None else {schema.VALID_UNITS: variable}


# ------------------------------------------------------------------------------ nodes with units


def _units(
    leaves: Mapping[str, xr.Dataset], bins: Bins, options: Options, path: str
) -> tuple[Variables, Variables]:
    """The spikes and signals of an area in bins, and the labels of its units."""
    variables: Variables = {}
    coords: Variables = {}
    signals: dict[str, Variables] = {}
    for leaf, node in leaves.items():
        if leaf == schema.SPIKES:
            counts, labels = spike_counts(node, bins, options.dtype, options.binarize)
            variables[schema.SPIKE_DATA] = counts
        else:
            labels = dict(node.coords.variables)
            along = _at_bins(node, bins, options)
            signals[leaf] = {n: v for n, v in along.items() if schema.UNIT in v.dims}
        coords |= {name: v for name, v in labels.items() if v.dims == (schema.UNIT,)}
    return _responses(signals, options.responses, path) | variables, coords


def _responses(signals: Mapping[str, Variables], wanted: str | None, path: str) -> Variables:
    """The continuous responses (fluorescence, ...) of an area; one becomes `responses`."""
    variables: Variables = {}
    called: dict[str, list[str]] = {}  # by its node, its name and its container in the file
    for leaf, of_leaf in signals.items():
        for name, variable in of_leaf.items():
            if name in variables and leaf.endswith(name):
                name = leaf
            while name in variables:
                name = f"{leaf}_{name}"
            container = str(variable.attrs.get("nwb_path", "")).split("/")[-2:]
            variables[name], called[name] = variable, [leaf, name, *container]
    if not variables:
        return variables
    if wanted is None:
        chosen = min(variables, key=lambda name: _rank("/".join(called[name])))
    else:
        fitting = [name for name in variables if wanted in called[name]]
        if not fitting:
            known = dict.fromkeys(name for names in called.values() for name in names)
            raise NotInTree("series of units", wanted, known, where=f"area {path!r}")
        chosen = fitting[0]
    responses = variables.pop(chosen)
    responses.attrs = responses.attrs | {"signal": chosen}
    return {schema.RESPONSES: responses} | variables


def _rank(name: str) -> tuple[int, str]:
    """Choose the signal for `responses`: dF/F, else fluorescence, else any but neuropil."""
    kinds = ("d(elta)?_?f(_?(over)?_?f)|dff|deltaf", "fluor", "")
    kind = next(i for i, text in enumerate(kinds) if re.search(text, name, re.IGNORECASE))
    return (3 if re.search("neuropil|fneu|background", name, re.IGNORECASE) else kind), name
