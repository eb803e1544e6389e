"""The extensions and properties of a SortingAnalyzer, as labels of its units and spikes."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, shorten
from neuroarrays.formats.labels import label_column
from neuroarrays.formats.spikeinterface.sortings import Sorting
from neuroarrays.formats.spikeinterface.stores import Store
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import RegularClock
from neuroarrays.lazy.views import Taken
from neuroarrays.schema import node_name
from neuroarrays.tree.columns import plain_column

#: Extensions with a table of units; the dimension of the samples of a template.
_TABLES, _SAMPLE = ("quality_metrics", "template_metrics"), "template_sample"
#: The most columns of a property that become labels; the axes of a location.
_COLUMNS, _AXES = 16, ("x", "y", "z")
#: Kinds of templates, of which the first that exists is read.
_TEMPLATES = ("average", "median")
#: Members of extensions that are read, or that tell how the extension was computed.
_READ = {"metrics", "unit_locations", *_TEMPLATES, "amplitudes", "spike_locations"} | {
    "params", "info", "run_info", "runtime_s",
}  # fmt: skip

Labels = dict[str, xr.Variable]


def labels_of_properties(store: Store, group: str, sorting: Sorting, notes: list[str]) -> Labels:
    """Return the properties of units as labels, (unit,) each.

    A property of several columns becomes `<name>_0`, `<name>_1`, ...

    Raises
    ------
    FormatError
        If a property has another number of rows than there are units.
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
    """Return the extensions of an analyzer as labels.

    Parameters
    ----------
    store : Store
        The analyzer.
    sorting : Sorting
        The units and spikes of the analyzer.
    notes : list of str
        Notes are added about extensions that are not read, and units without a row.

    Returns
    -------
    dict of str to Variable
        Metrics (unit_id,), in the units of measurement of spikeinterface; locations (unit_id,) in
        um; `template` (unit_id, template_sample, channel), in uV if the analyzer tells it;
        amplitudes (spike,) and locations (spike,) in um.

    Raises
    ------
    FormatError
        If an extension has another number of rows than there are units or spikes.
    """
    labels: Labels = {}
    unread = []
    volts = {"units": "uV"} if store.facts("", "settings").get("return_in_uV") else {}
    for name in store.children("extensions"):
        group = f"extensions/{name}"
        extension: Labels = {}
        if name in _TABLES:
            extension = _metrics(store, f"{group}/metrics", sorting, notes)
        elif name == "unit_locations":
            extension = _locations(store, f"{group}/unit_locations", sorting)
        elif name == "templates":
            extension = _templates(store, group, sorting, volts)
        elif name == "spike_amplitudes":
            amplitudes = store.array(f"{group}/amplitudes")
            if amplitudes is not None:
                values = sorting.of_spikes(amplitudes)
                extension = {"amplitude": values.variable([schema.SPIKE], volts)}
        elif name == "spike_locations":
            for axis, locations in store.fields(f"{group}/spike_locations").items():
                values = sorting.of_spikes(locations)
                extension[f"spike_{axis}"] = values.variable([schema.SPIKE], {"units": "um"})
        labels |= {f"{label}_" if label in labels else label: v for label, v in extension.items()}
        if extension:
            others = sorted(set(store.children(group)) - _READ)
            unread += [f"{name}/{child}" for child in others]
        else:
            unread.append(name)
    notes += [f"extensions not read: {shorten(unread)}"] if unread else []
    return labels


def _metrics(store: Store, name: str, sorting: Sorting, notes: list[str]) -> Labels:
    """Return the columns of a table of units as labels, with each row at its unit."""
    table = store.table(name)
    if table is None:
        return {}
    if table.index.duplicated().any():
        twice = table.index[table.index.duplicated()][0]
        raise FormatError(store.probe.as_given, name, "each unit once", f"{twice} twice")
    ids = pd.Index([str(unit) for unit in sorting.ids])
    without_row, others = ids.difference(table.index), table.index.difference(ids)
    notes += [f"{name}: no row for the units {shorten(without_row)}"] if without_row.size else []
    notes += [f"{name}: rows of no unit, {shorten(others)}"] if others.size else []
    return {
        node_name(str(column)): xr.Variable(schema.UNIT, label_column(table[column].reindex(ids)))
        for column in table
    }


def _locations(store: Store, name: str, sorting: Sorting) -> Labels:
    """Return the locations of the units as labels x, y and z, in um."""
    locations = store.array(name)
    if locations is None or len(locations.shape) != 2:
        return {}
    _check_rows(store, name, locations.shape[0], sorting)
    return {
        axis: Taken(locations, column, 1).variable([schema.UNIT], {"units": "um"})
        for column, axis in enumerate(_AXES[: locations.shape[1]])
    }


def _templates(store: Store, group: str, sorting: Sorting, volts: Mapping[str, str]) -> Labels:
    """Return the mean waveform of each unit, with the times of its samples and the channels."""
    arrays = (store.array(f"{group}/{name}") for name in _TEMPLATES)
    templates: LazyArray | None = next((array for array in arrays if array is not None), None)
    if templates is None or len(templates.shape) != 3:
        return {}
    _check_rows(store, group, templates.shape[0], sorting)
    labels = {"template": templates.variable([schema.UNIT, _SAMPLE, schema.CHANNEL], volts)}
    sparsity = store.array("sparsity_mask")
    if sparsity is not None and sparsity.shape == (templates.shape[0], templates.shape[2]):
        labels["sparsity_mask"] = sparsity.variable([schema.UNIT, schema.CHANNEL])
    before = store.facts(group, "params").get("ms_before")
    if isinstance(before, int | float) and not isinstance(before, bool):
        first = -int(before * sorting.rate / 1000) / sorting.rate
        clock = RegularClock(first, sorting.rate, templates.shape[1])
        labels["template_time"] = clock.variable([_SAMPLE], {"units": "s"})
    ids = store.facts("recording_info", "recording_attributes").get("channel_ids")
    if isinstance(ids, list) and len(ids) == templates.shape[2]:
        labels["channel_id"] = xr.Variable(schema.CHANNEL, plain_column(pd.Series(ids)))
    return labels


def _check_rows(store: Store, name: str, rows: int, sorting: Sorting) -> None:
    """Raise an error if an array does not have a row for each unit."""
    if rows != len(sorting.ids):
        expected = f"{len(sorting.ids)} rows, one for each unit"
        raise FormatError(store.probe.as_given, name, expected, f"{rows}")
