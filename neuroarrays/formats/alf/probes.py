"""The units of an ALF session: the clusters of the sortings of its probes, by brain area."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, shorten
from neuroarrays.formats.alf.datasets import ALFFile, readable
from neuroarrays.formats.by_unit import UnitOfSpikes, by_unit
from neuroarrays.formats.labels import label_column
from neuroarrays.lazy.arrays import LazyArray, wrap
from neuroarrays.lazy.computed import as_dtype, missing
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Joined, Segments
from neuroarrays.tree.observed import OF_UNITS

#: Sorters whose output is preferred if there are several, as in IBL's own loader.
_SORTERS = ("iblsorter", "pykilosort")
#: Units of measurement of spike and cluster attributes that IBL documents.
_UNITS = {"depths": "um", "amps": "V", "mlapdv": "um", "localCoordinates": "um"}
#: Names that a label may not have.
_RESERVED = {
    schema.SPIKE,
    schema.UNIT,
    schema.INTERVAL,
    schema.SPIKE_TIMES,
    schema.ROW_SIZE,
    *OF_UNITS,
}
#: Where the place in the brain of clusters or channels stands: acronyms, then numbers of structures.
_ACRONYMS = ("brainLocationAcronyms_ccf_2017", "brainAcronyms", "acronym", "allen_ontology")
_STRUCTURES = ("brainLocationIds_ccf_2017", "brainLocationIds")


@dataclass
class Sorting:
    """The sorting of a probe.

    Attributes
    ----------
    probe : str
        Name of the probe, such as "probe00", or "" if it has none.
    spikes : UnitOfSpikes
        The cluster of each spike.
    times : (spike,) LazyArray, s
        Spike times, in the order of the file.
    of_spikes : dict of str to (spike,) LazyArray
        Other values of each spike.
    labels : dict of str to (cluster,) array
        Labels of the clusters.
    areas : (cluster,) str
        Brain area of each cluster.
    sizes : (cluster,) int64
        Number of spikes of each cluster.
    """

    probe: str
    spikes: UnitOfSpikes
    times: LazyArray
    sizes: np.ndarray
    areas: np.ndarray
    of_spikes: dict[str, LazyArray] = field(default_factory=dict)
    labels: dict[str, np.ndarray] = field(default_factory=dict)

    def picked(self, values: LazyArray, rows: np.ndarray) -> LazyArray:
        """Return values of the spikes of some clusters, cluster after cluster."""
        starts = np.cumsum(self.sizes) - self.sizes
        return Segments(by_unit(values, self.spikes), starts[rows], self.sizes[rows])


def sorted_collections(
    datasets: Iterable[ALFFile], sorter: str | None, notes: list[str]
) -> dict[str, str]:
    """Return the probes that have spikes, and the collection (folder) of the sorting of each.

    Raises
    ------
    FormatError
        If a probe has no sorting by `sorter`.
    """
    with_spikes = dict.fromkeys(
        alf_file.collection
        for alf_file in datasets
        if alf_file.object == "spikes" and alf_file.label in ("times", "clusters")
    )
    by_probe: dict[str, list[str]] = {}
    for collection in with_spikes:
        probe = collection.partition("/")[0]
        if "" in with_spikes and not probe.startswith("probe"):
            probe = ""  # ``alf/ks2`` beside ``alf/spikes.*``: another sorting of the one probe
        by_probe.setdefault(probe, []).append(collection)
    chosen: dict[str, str] = {}
    for probe, collections in sorted(by_probe.items()):
        order = [sorter] if sorter else list(_SORTERS)
        named = [c for name in order for c in collections if name in c.split("/")]
        if sorter and not named:
            expected = f"a collection of the sorter {sorter!r}"
            raise FormatError(probe or ".", "spikes", expected, shorten(collections))
        chosen[probe] = named[0] if named else min(collections, key=len)
        others = [c for c in collections if c != chosen[probe]]
        if others:
            notes.append(f"spikes of {chosen[probe] or probe} taken, not of {shorten(others)}")
    return chosen


def read_sorting(
    probe: str, collection: str, datasets: Sequence[ALFFile], notes: list[str]
) -> Sorting:
    """Read the spikes and clusters of a probe.

    Raises
    ------
    FormatError
        If times or clusters of spikes are missing, or lengths differ.
    """
    inside = [alf_file for alf_file in datasets if alf_file.collection == collection]
    spikes = {alf_file.label: alf_file for alf_file in inside if alf_file.object == "spikes"}
    for name, other in (("times", "clusters"), ("clusters", "times")):
        if name not in spikes:
            beside = spikes[other].file
            expected = f"spikes.{name}.npy beside it"
            raise FormatError(beside.as_given, "", expected, "nothing of that name")
    clusters = {alf_file.label: alf_file for alf_file in inside if alf_file.object == "clusters"}
    source = spikes["clusters"].file.source
    of_spikes = UnitOfSpikes(source, spikes["clusters"].file.stem)
    values = _of_spikes(spikes, of_spikes.spikes, notes)
    labels, count = _labels_of_clusters(clusters, notes)
    stored = of_spikes.labels()
    if count is None:
        count = int(stored.max()) + 1 if stored.size else 0
    wrong = stored[(stored < 0) | (stored >= count)]
    if wrong.size:
        expected = f"clusters from 0 to {count - 1}, as clusters.* have rows"
        raise FormatError(spikes["clusters"].file.as_given, "", expected, f"a spike of {wrong[0]}")
    sizes = np.bincount(stored, minlength=count).astype(np.int64)
    labels |= _labels_of_channels(labels, collection, datasets, notes)
    areas = _areas(labels, count)
    times = values.pop("times")
    return Sorting(probe, of_spikes, times, sizes, areas, values, labels)


def _of_spikes(spikes: Mapping[str, ALFFile], count: int, notes: list[str]) -> dict[str, LazyArray]:
    """Return the values of spikes, (spike,) each, as `<attribute>_0`, ... for files of several columns.

    Raises
    ------
    FormatError
        If the times are not numbers along one axis, or a file has another number of rows.
    """
    values: dict[str, LazyArray] = {}
    for name, alf_file in spikes.items():
        if name == "clusters":
            continue
        columns = readable(alf_file, notes)
        stored = columns.get(name)
        if name == "times" and (stored is None or stored.dtype.kind not in "iuf"):
            other = "nothing of the kind" if stored is None else f"values of dtype {stored.dtype}"
            raise FormatError(alf_file.file.as_given, "", "times along one axis, s", other)
        for label, array in columns.items():
            if array.shape != (count,):
                expected = f"{count:,} values, one for each of spikes.clusters"
                hint = "of two revisions?"
                raise FormatError(
                    alf_file.file.as_given, "", expected, f"shape {array.shape}", hint
                )
            if array.dtype.kind in "biuf":
                values[label] = array
            else:
                notes.append(f"not read: {label} of {alf_file.file.name}, no numbers")
    return values


def _labels_of_clusters(
    clusters: Mapping[str, ALFFile], notes: list[str]
) -> tuple[dict[str, np.ndarray], int | None]:
    """Return the labels of the clusters, and the number of clusters, or None if no file tells it."""
    labels: dict[str, np.ndarray] = {}
    count: int | None = None
    for name, alf_file in clusters.items():
        if name == "metrics":
            continue
        columns = {label: array.load() for label, array in readable(alf_file, notes).items()}
        rows = {values.shape[0] for values in columns.values()}
        count = next(iter(rows)) if count is None and rows else count
        if rows - {count}:
            expected = f"{count} rows, as the other files of clusters"
            raise FormatError(alf_file.file.as_given, "", expected, shorten(sorted(rows)))
        labels |= columns
    if "metrics" in clusters:
        labels |= _metrics(clusters["metrics"], labels, count, notes)
    return labels, count


def _metrics(
    alf_file: ALFFile, known: Mapping[str, Any], count: int | None, notes: list[str]
) -> dict[str, np.ndarray]:
    """Return the columns of clusters.metrics, (cluster,) each, with each row at its cluster."""
    import pandas as pd

    table = pd.DataFrame({name: array.load() for name, array in readable(alf_file, notes).items()})
    if "cluster_id" in table:
        ids = table.pop("cluster_id")
        # False for NaN
        whole = ids % 1 == 0 if ids.dtype.kind in "iuf" else np.zeros(len(ids), bool)
        if not whole.all():
            wrong = f"{ids[~whole].iloc[0]!r}"
            raise FormatError(
                alf_file.file.as_given, "cluster_id", "whole numbers of clusters", wrong
            )
        if ids.duplicated().any():
            twice = ids[ids.duplicated()].iloc[0]
            raise FormatError(
                alf_file.file.as_given, "cluster_id", "each cluster once", f"{twice} twice"
            )
        rows = range(count if count is not None else int(ids.max(initial=-1)) + 1)
        file = alf_file.file.name
        if without_row := sorted(set(rows) - set(ids)):
            notes.append(f"{file}: no row for the clusters {shorten(without_row)}")
        if others := sorted({int(cluster) for cluster in ids} - set(rows)):
            notes.append(f"{file}: rows of no cluster, {shorten(others)}")
        table = table.set_index(pd.Index(ids)).reindex(rows)
    elif count is not None and len(table) != count:
        raise FormatError(
            alf_file.file.as_given, "", f"{count} rows, or a cluster_id", f"{len(table)}"
        )
    return {str(name): label_column(table[name]) for name in table if name not in known}


def _labels_of_channels(
    labels: Mapping[str, np.ndarray], collection: str, datasets: Sequence[ALFFile], notes: list[str]
) -> dict[str, np.ndarray]:
    """Return the labels of the channel of each cluster, from the channels of its sorting or probe."""
    rows = labels.get("channels", labels.get("peakChannel"))
    if rows is None or rows.dtype.kind not in "iuf":
        notes.append(
            f"{collection or 'alf'}: no clusters.channels, so the positions of clusters are unknown"
        )
        return {}
    columns: dict[str, np.ndarray] = {}
    folder = collection
    while True:
        for alf_file in datasets:
            is_channels = alf_file.collection == folder and alf_file.object == "channels"
            if is_channels and alf_file.label not in columns:
                for name, array in readable(alf_file, notes).items():
                    values = array.load()
                    # False for NaN
                    is_row = (rows >= 0) & (rows < values.shape[0]) & (rows % 1 == 0)
                    if not is_row.all():
                        expected = f"the rows of clusters.channels, such as {rows[~is_row][0]}"
                        raise FormatError(
                            alf_file.file.as_given, "", expected, f"{values.shape[0]} rows"
                        )
                    columns.setdefault(name, values[rows.astype(np.int64)])
        if not folder:
            break
        folder = folder.rpartition("/")[0]
    if not columns:
        notes.append(f"{collection}: no channels, so the positions of clusters are unknown")
    return {name: values for name, values in columns.items() if name not in labels}


def _areas(labels: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """Return the acronym of the brain structure of each cluster: (cluster,) str."""
    acronyms = next((labels[name] for name in _ACRONYMS if name in labels), None)
    if acronyms is None:
        numbers = next((labels[name] for name in _STRUCTURES if name in labels), None)
        if numbers is None:
            return np.full(count, schema.UNKNOWN_AREA, object)
        acronym_of = _structures()
        is_number = np.isfinite(numbers)
        # Numbers of structures on the left side are negative.
        ids = np.abs(np.where(is_number, numbers, 0).astype(np.int64)).tolist()
        acronyms = _texts(
            acronym_of.get(number, f"ccf_{number}") if known else ""
            for number, known in zip(ids, is_number, strict=True)
        )
    return _texts(
        schema.node_name(str(name)) if str(name) else schema.UNKNOWN_AREA for name in acronyms
    )


def _texts(texts: Iterable[str]) -> np.ndarray:
    """Return texts as an object array, (n,)."""
    values = list(texts)
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _structures() -> dict[int, str]:
    """Read the acronyms of structures of the Allen atlas of 2017 by their numbers.

    The table comes from `iblatlas` (MIT licence): columns `id`, `acronym` of allen_structure_tree.csv.
    """
    text = resources.files(__package__).joinpath("structures.csv").read_text("utf-8")
    lines = (line.partition(",") for line in text.splitlines()[1:])
    return {int(number): acronym for number, _, acronym in lines}


def area_nodes(sortings: Sequence[Sorting]) -> dict[str, xr.Dataset]:
    """Return a node of spikes for each area, with the units of all probes in it."""
    nodes: dict[str, xr.Dataset] = {}
    firsts = np.cumsum([0, *(sorting.sizes.size for sorting in sortings)])
    for area in sorted({area for sorting in sortings for area in sorting.areas}):
        all_parts = [(sorting, np.flatnonzero(sorting.areas == area)) for sorting in sortings]
        ids = [first + rows for first, (_, rows) in zip(firsts, all_parts, strict=False)]
        parts = [(sorting, rows) for sorting, rows in all_parts if rows.size]
        times = _joined(
            [
                sorting.picked(as_dtype(sorting.times, np.dtype("f8")), rows)
                for sorting, rows in parts
            ]
        )
        sizes = np.concatenate([sorting.sizes[rows] for sorting, rows in parts])
        variables = {
            schema.SPIKE_TIMES: schema.var("spikes", schema.SPIKE_TIMES, wrap(times)),
            schema.ROW_SIZE: schema.var(
                "spikes", schema.ROW_SIZE, sizes, sample_dimension=schema.SPIKE
            ),
        }
        coords: dict[str, xr.Variable] = {
            schema.UNIT: xr.Variable(schema.UNIT, np.concatenate(ids))
        }
        probes = _texts(sorting.probe for sorting, rows in parts for _ in rows)
        coords["probe"] = xr.Variable(schema.UNIT, probes)
        coords["cluster"] = xr.Variable(schema.UNIT, np.concatenate([rows for _, rows in parts]))
        for name in {name: None for sorting, _ in parts for name in sorting.labels}:
            label = f"{name}_" if name in _RESERVED or name in coords else name
            unit = _UNITS.get(name.partition("_")[0])
            values = [
                sorting.labels[name][rows] if name in sorting.labels else np.full(rows.size, np.nan)
                for sorting, rows in parts
            ]
            attrs = {"units": unit} if unit else {}
            coords[label] = xr.Variable(schema.UNIT, _joined_labels(values), attrs)
        for name in {name: None for sorting, _ in parts for name in sorting.of_spikes}:
            array = _joined([_spike_values(sorting, name, rows) for sorting, rows in parts])
            attrs = {"units": _UNITS[name]} if name in _UNITS else {}
            coords[f"spike_{name}"] = array.variable([schema.SPIKE], attrs)
        nodes[f"{area}/{schema.SPIKES}"] = dataset(variables, coords)
    return nodes


def _spike_values(sorting: Sorting, name: str, rows: np.ndarray) -> LazyArray:
    """Return values of the spikes of some clusters, or NaN if the sorting has no such values."""
    if name in sorting.of_spikes:
        return sorting.picked(sorting.of_spikes[name], rows)
    return missing((int(sorting.sizes[rows].sum()),))


def _joined(arrays: list[LazyArray]) -> LazyArray:
    """Concatenate lazy arrays along their first axis."""
    return arrays[0] if len(arrays) == 1 else Joined(tuple(arrays))


def _joined_labels(parts: list[np.ndarray]) -> np.ndarray:
    """Concatenate labels of several probes; as text, with "" for NaN, if one of them has text."""
    if any(part.dtype.kind in "OU" for part in parts):
        return _texts("" if value != value else str(value) for part in parts for value in part)
    return np.concatenate(parts)
