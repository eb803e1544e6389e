"""What a SortingAnalyzer knows of its units and spikes, as labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, shorten
from neuroarrays.formats.spikeinterface.sortings import Sorting
from neuroarrays.formats.spikeinterface.stores import Store
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import RegularClock
from neuroarrays.lazy.views import Taken
from neuroarrays.schema import node_name
from neuroarrays.tree.columns import plain_column

#: Extensions with a table of units; the samples of a template.
_TABLES, _SAMPLE = ("quality_metrics", "template_metrics"), "template_sample"
#: The most columns of a property that become labels, and axes of a location.
_COLUMNS, _AXES = 16, ("x", "y", "z")
#: Which templates are taken, the first that is there; what is read of extensions, or says how they were made.
_TEMPLATES = ("average", "median")
_READ = {"metrics", "unit_locations", *_TEMPLATES, "amplitudes", "spike_locations"} | {
    "params", "info", "run_info", "runtime_s",
}  # fmt: skip

Labels = dict[str, xr.Variable]


def labels_of_properties(store: Store, group: str, sorting: Sorting, notes: list[str]) -> Labels:
    """The properties of units: (unit,) labels, of one with several columns `<name>_0`, `<name>_1`, ...

    Raises
    ------
    FormatError
        If one has another number of rows than there are units.
    """
    labels: Labels = {}
    for key in store.children(group):
        try:
            values = store.array(f"{group}/{key}")
        except FormatError as error:
            notes.append(f"property {key} not read: {error.found}")
            continue
        if values is None or not values.shape:
            continue
        _check_rows(store, f"{group}/{key}", values.shape[0], sorting)
        name = node_name(key)
        if len(values.shape) == 1:
            labels[name] = values.variable([schema.UNIT])
        elif len(values.shape) == 2 and values.shape[1] <= _COLUMNS:
            for column in range(values.shape[1]):
                labels[f"{name}_{column}"] = Taken(values, column, 1).variable([schema.UNIT])
        else:
            notes.append(f"property {key} not read: it has the shape {values.shape}")
    return labels


def labels_of_analyzer(store: Store, sorting: Sorting, notes: list[str]) -> Labels:
    """The extensions of an analyzer.

    Parameters
    ----------
    store : Store
        The analyzer.
    sorting : Sorting
        Its units and spikes.
    notes : list of str
        Takes the extensions that are not read, and units without a row.

    Returns
    -------
    dict of str to Variable
        (unit_id,) metrics in the units of spikeinterface, places in um; `template` (unit_id,
        template_sample, channel), uV where the analyzer says so; (spike,) amplitudes and places.

    Raises
    ------
    FormatError
        If one has another number of rows than there are units or spikes.
    """
    labels: Labels = {}
    unread = []
    volts = {"units": "uV"} if store.facts("", "settings").get("return_in_uV") else {}
    for name in store.children("extensions"):
        inside = f"extensions/{name}"
        taken: Labels = {}
        if name in _TABLES:
            taken = _metrics(store, f"{inside}/metrics", sorting, notes)
        elif name == "unit_locations":
            taken = _places(store, f"{inside}/unit_locations", sorting)
        elif name == "templates":
            taken = _templates(store, inside, sorting, volts)
        elif name == "spike_amplitudes":
            amplitudes = store.array(f"{inside}/amplitudes")
            if amplitudes is not None:
                values = sorting.of_spikes(amplitudes)
                taken = {"amplitude": values.variable([schema.SPIKE], volts)}
        elif name == "spike_locations":
            for axis, places in store.fields(f"{inside}/spike_locations").items():
                values = sorting.of_spikes(places)
                taken[f"spike_{axis}"] = values.variable([schema.SPIKE], {"units": "um"})
        labels |= {f"{label}_" if label in labels else label: v for label, v in taken.items()}
        unread += [] if taken else [name]
        more = set(store.children(inside)) - _READ if taken else ()
        unread += [f"{name}/{child}" for child in sorted(more)]
    notes += [f"extensions not read: {shorten(unread)}"] if unread else []
    return labels


def _metrics(store: Store, name: str, sorting: Sorting, notes: list[str]) -> Labels:
    """The columns of a table of units, each row put to its unit."""
    table = store.table(name)
    if table is None:
        return {}
    if table.index.duplicated().any():
        twice = table.index[table.index.duplicated()][0]
        raise FormatError(store.probe.given, name, "each unit once", f"{twice} twice")
    ids = pd.Index([str(unit) for unit in sorting.ids])
    missing, more = ids.difference(table.index), table.index.difference(ids)
    notes += [f"{name}: no row for the units {shorten(missing)}"] if missing.size else []
    notes += [f"{name}: rows of no unit, {shorten(more)}"] if more.size else []
    labels: Labels = {}
    for column in table:
        values = plain_column(table[column].reindex(ids))
        if values.dtype.kind not in "biuf":
            values = np.array(["" if text is None else str(text) for text in values], object)
        labels[node_name(str(column))] = xr.Variable(schema.UNIT, values)
    return labels


def _places(store: Store, name: str, sorting: Sorting) -> Labels:
    """Where the units lie, um."""
    places = store.array(name)
    if places is None or len(places.shape) != 2:
        return {}
    _check_rows(store, name, places.shape[0], sorting)
    return {
        axis: Taken(places, column, 1).variable([schema.UNIT], {"units": "um"})
        for column, axis in enumerate(_AXES[: places.shape[1]])
    }


def _templates(store: Store, inside: str, sorting: Sorting, volts: Mapping[str, str]) -> Labels:
    """The mean waveform of each unit, with the times of its samples and the channels."""
    found = (store.array(f"{inside}/{name}") for name in _TEMPLATES)
    templates: LazyArray | None = next((array for array in found if array is not None), None)
    if templates is None or len(templates.shape) != 3:
        return {}
    _check_rows(store, inside, templates.shape[0], sorting)
    labels = {"template": templates.variable([schema.UNIT, _SAMPLE, schema.CHANNEL], volts)}
    near = store.array("sparsity_mask")
    if near is not None and near.shape == (templates.shape[0], templates.shape[2]):
        labels["sparsity_mask"] = near.variable([schema.UNIT, schema.CHANNEL])
    before = store.facts(inside, "params").get("ms_before")
    if isinstance(before, int | float) and not isinstance(before, bool):
        first = -int(before * sorting.rate / 1000) / sorting.rate
        clock = RegularClock(first, sorting.rate, templates.shape[1])
        labels["template_time"] = clock.variable([_SAMPLE], {"units": "s"})
    ids = store.facts("recording_info", "recording_attributes").get("channel_ids")
    if isinstance(ids, list) and len(ids) == templates.shape[2]:
        labels["channel_id"] = xr.Variable(schema.CHANNEL, plain_column(pd.Series(ids)))
    return labels


def _check_rows(store: Store, name: str, rows: int, sorting: Sorting) -> None:
    if rows != len(sorting.ids):
        expected = f"{len(sorting.ids)} rows, one for each unit"
        raise FormatError(store.probe.given, name, expected, f"{rows}")
