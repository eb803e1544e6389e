"""The units of a session in ALF: clusters of the sortings of its probes, by their area of the brain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, shorten
from neuroarrays.formats.alf.datasets import Dataset, readable
from neuroarrays.formats.by_unit import UnitOfSpikes, by_unit
from neuroarrays.lazy.arrays import LazyArray, wrap
from neuroarrays.lazy.computed import Computed, as_dtype
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Joined, Segments
from neuroarrays.tree.columns import plain_column
from neuroarrays.tree.observed import OF_UNITS

#: Sorters whose output is preferred where there are several, as IBL's own loader does.
_SORTERS = ("iblsorter", "pykilosort")
#: Units of numbers of spikes and clusters, where IBL says them.
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
        "probe00", or "" where there is one without a name.
    spikes : UnitOfSpikes
        The cluster of each spike.
    times : LazyArray
        (spike,) s, in the order of the file.
    of_spikes : dict of str to LazyArray
        Other numbers of the spikes, (spike,).
    labels : dict of str to array
        Of the clusters, (cluster,).
    areas : (cluster,) str
        Of each cluster.
    sizes : (cluster,) int64
        Spikes of each cluster.
    """

    probe: str
    spikes: UnitOfSpikes
    times: LazyArray
    sizes: np.ndarray
    areas: np.ndarray
    of_spikes: dict[str, LazyArray] = field(default_factory=dict)
    labels: dict[str, np.ndarray] = field(default_factory=dict)

    def picked(self, values: LazyArray, rows: np.ndarray) -> LazyArray:
        """Values of the spikes of some clusters, cluster after cluster."""
        starts = np.cumsum(self.sizes) - self.sizes
        return Segments(by_unit(values, self.spikes), starts[rows], self.sizes[rows])


def sorted_collections(
    datasets: Iterable[Dataset], sorter: str | None, notes: list[str]
) -> dict[str, str]:
    """The probes that have spikes, and the collection that those are taken from.

    Raises
    ------
    FormatError
        If a probe has none of the sorter that is asked for.
    """
    with_spikes = dict.fromkeys(
        each.collection
        for each in datasets
        if each.object == "spikes" and each.label in ("times", "clusters")
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
            found = shorten(collections)
            raise FormatError(
                probe or ".", "spikes", f"a collection of the sorter {sorter!r}", found
            )
        chosen[probe] = named[0] if named else min(collections, key=len)
        others = [c for c in collections if c != chosen[probe]]
        if others:
            notes.append(f"spikes of {chosen[probe] or probe} taken, not of {shorten(others)}")
    return chosen


def read_sorting(
    probe: str, collection: str, datasets: Sequence[Dataset], notes: list[str]
) -> Sorting:
    """The spikes and clusters of a probe.

    Raises
    ------
    FormatError
        If times or clusters of spikes are missing, or lengths disagree.
    """
    inside = [each for each in datasets if each.collection == collection]
    spikes = {each.label: each for each in inside if each.object == "spikes"}
    for name, other in (("times", "clusters"), ("clusters", "times")):
        if name not in spikes:
            beside = spikes[other].file
            expected = f"spikes.{name}.npy beside it"
            raise FormatError(beside.given, "", expected, "nothing of that name")
    clusters = {each.label: each for each in inside if each.object == "clusters"}
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
        raise FormatError(spikes["clusters"].file.given, "", expected, f"a spike of {wrong[0]}")
    sizes = np.bincount(stored, minlength=count).astype(np.int64)
    labels |= _labels_of_channels(labels, collection, datasets, notes)
    areas = _areas(labels, count)
    times = values.pop("times")
    return Sorting(probe, of_spikes, times, sizes, areas, values, labels)


def _of_spikes(spikes: Mapping[str, Dataset], count: int, notes: list[str]) -> dict[str, LazyArray]:
    """The numbers of spikes, (spike,) each; of files with several columns `<attribute>_0`, `<attribute>_1`, ...

    Raises
    ------
    FormatError
        If the times are no numbers along one axis, or one has another number of rows.
    """
    values: dict[str, LazyArray] = {}
    for name, each in spikes.items():
        if name == "clusters":
            continue
        columns = readable(each, notes)
        stored = columns.get(name)
        if name == "times" and (stored is None or stored.dtype.kind not in "iuf"):
            found = "nothing of the kind" if stored is None else f"values of dtype {stored.dtype}"
            raise FormatError(each.file.given, "", "times along one axis, s", found)
        for label, array in columns.items():
            if array.shape != (count,):
                expected = f"{count:,} values, one for each of spikes.clusters"
                hint = "of two revisions?"
                raise FormatError(each.file.given, "", expected, f"shape {array.shape}", hint)
            if array.dtype.kind in "biuf":
                values[label] = array
            else:
                notes.append(f"not read: {label} of {each.file.name}, no numbers")
    return values


def _labels_of_clusters(
    clusters: Mapping[str, Dataset], notes: list[str]
) -> tuple[dict[str, np.ndarray], int | None]:
    """The columns of the clusters, and how many these are; None if nothing says so."""
    labels: dict[str, np.ndarray] = {}
    count: int | None = None
    for name, each in clusters.items():
        if name == "metrics":
            continue
        columns = {label: array.load() for label, array in readable(each, notes).items()}
        rows = {values.shape[0] for values in columns.values()}
        count = next(iter(rows)) if count is None and rows else count
        if rows - {count}:
            expected = f"{count} rows, as the other files of clusters"
            raise FormatError(each.file.given, "", expected, shorten(sorted(rows)))
        labels |= columns
    if "metrics" in clusters:
        labels |= _metrics(clusters["metrics"], labels, count, notes)
    return labels, count


def _metrics(
    each: Dataset, known: Mapping[str, Any], count: int | None, notes: list[str]
) -> dict[str, np.ndarray]:
    """The columns of clusters.metrics, each row put to its cluster."""
    import pandas as pd

    table = pd.DataFrame({name: array.load() for name, array in readable(each, notes).items()})
    if "cluster_id" in table:
        ids = table.pop("cluster_id")
        whole = ids % 1 == 0 if ids.dtype.kind in "iuf" else np.zeros(len(ids), bool)  # NaN is not
        if not whole.all():
            wrong = f"{ids[~whole].iloc[0]!r}"
            raise FormatError(each.file.given, "cluster_id", "whole numbers of clusters", wrong)
        if ids.duplicated().any():
            twice = ids[ids.duplicated()].iloc[0]
            raise FormatError(each.file.given, "cluster_id", "each cluster once", f"{twice} twice")
        rows = range(count if count is not None else int(ids.max(initial=-1)) + 1)
        missing = sorted(set(rows) - set(ids))
        notes += (
            [f"{each.file.name}: no row for the clusters {shorten(missing)}"] if missing else []
        )
        more = sorted({int(cluster) for cluster in ids} - set(rows))
        notes += [f"{each.file.name}: rows of no cluster, {shorten(more)}"] if more else []
        table = table.set_index(pd.Index(ids)).reindex(rows)
    elif count is not None and len(table) != count:
        raise FormatError(each.file.given, "", f"{count} rows, or a cluster_id", f"{len(table)}")
    columns = {str(name): plain_column(table[name]) for name in table if name not in known}
    return {
        name: values
        if values.dtype.kind in "biuf"
        else np.array(["" if text is None else str(text) for text in values], object)
        for name, values in columns.items()
    }


def _labels_of_channels(
    labels: Mapping[str, np.ndarray], collection: str, datasets: Sequence[Dataset], notes: list[str]
) -> dict[str, np.ndarray]:
    """What is known of the channel of each cluster: of the sorting, else of its probe."""
    rows = labels.get("channels", labels.get("peakChannel"))
    if rows is None or rows.dtype.kind not in "iuf":
        notes.append(
            f"{collection or 'alf'}: no clusters.channels, so nothing is known of the places of clusters"
        )
        return {}
    columns: dict[str, np.ndarray] = {}
    where = collection
    while True:
        for each in datasets:
            if each.collection == where and each.object == "channels" and each.label not in columns:
                for name, array in readable(each, notes).items():
                    values = array.load()
                    there = (rows >= 0) & (rows < values.shape[0]) & (rows % 1 == 0)  # NaN is not
                    if not there.all():
                        expected = (
                            f"rows that clusters.channels number, {rows[~there][0]} one of them"
                        )
                        raise FormatError(each.file.given, "", expected, f"{values.shape[0]} rows")
                    columns.setdefault(name, values[rows.astype(np.int64)])
        if not where:
            break
        where = where.rpartition("/")[0]
    if not columns:
        notes.append(f"{collection}: no channels, so nothing is known of the places of clusters")
    return {name: values for name, values in columns.items() if name not in labels}


def _areas(labels: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """The acronym of the structure of the brain that each cluster is in: (cluster,) str."""
    acronyms = next((labels[name] for name in _ACRONYMS if name in labels), None)
    if acronyms is None:
        numbers = next((labels[name] for name in _STRUCTURES if name in labels), None)
        if numbers is None:
            return np.full(count, schema.UNKNOWN_AREA, object)
        known = _structures()
        is_number = np.isfinite(numbers)
        whole = np.where(is_number, numbers, 0).astype(np.int64)
        wanted = zip(np.abs(whole).tolist(), is_number, strict=True)  # of the left side negative
        found = [known.get(number, f"ccf_{number}") if has else "" for number, has in wanted]
        acronyms = np.array([*found, None], object)[:-1]
    names = [schema.node_name(str(name)) if str(name) else schema.UNKNOWN_AREA for name in acronyms]
    return np.array([*names, None], object)[:-1]


def _structures() -> dict[int, str]:
    """Acronyms of structures of the Allen atlas of 2017 by their numbers.

    The table is of `iblatlas` (MIT licence): columns `id` and `acronym` of allen_structure_tree.csv.
    """
    text = resources.files(__package__).joinpath("structures.csv").read_text("utf-8")
    lines = (line.partition(",") for line in text.splitlines()[1:])
    return {int(number): acronym for number, _, acronym in lines}


def area_nodes(sortings: Sequence[Sorting]) -> dict[str, xr.Dataset]:
    """A node of spikes for each area, with the units of all probes in it."""
    nodes: dict[str, xr.Dataset] = {}
    firsts = np.cumsum([0, *(each.sizes.size for each in sortings)])
    for area in sorted({area for each in sortings for area in each.areas}):
        parts = [(each, np.flatnonzero(each.areas == area)) for each in sortings]
        ids = [first + rows for first, (_, rows) in zip(firsts, parts, strict=False)]
        there = [(each, rows) for each, rows in parts if rows.size]
        times = _joined([each.picked(as_dtype(each.times, np.dtype("f8")), r) for each, r in there])
        sizes = np.concatenate([each.sizes[rows] for each, rows in there])
        variables = {
            schema.SPIKE_TIMES: schema.var("spikes", schema.SPIKE_TIMES, wrap(times)),
            schema.ROW_SIZE: schema.var(
                "spikes", schema.ROW_SIZE, sizes, sample_dimension=schema.SPIKE
            ),
        }
        coords: dict[str, xr.Variable] = {
            schema.UNIT: xr.Variable(schema.UNIT, np.concatenate(ids))
        }
        coords["probe"] = xr.Variable(
            schema.UNIT, _of_each([each.probe for each, _ in there], there)
        )
        coords["cluster"] = xr.Variable(schema.UNIT, np.concatenate([rows for _, rows in there]))
        for name in {name: None for each, _ in there for name in each.labels}:
            label = f"{name}_" if name in _RESERVED or name in coords else name
            unit = _UNITS.get(name.partition("_")[0])
            values = [_or_nothing(each.labels.get(name), rows) for each, rows in there]
            attrs = {"units": unit} if unit else {}
            coords[label] = xr.Variable(schema.UNIT, _together(values), attrs)
        for name in {name: None for each, _ in there for name in each.of_spikes}:
            array = _joined([_picked(each, name, rows) for each, rows in there])
            attrs = {"units": _UNITS[name]} if name in _UNITS else {}
            coords[f"spike_{name}"] = array.variable([schema.SPIKE], attrs)
        nodes[f"{area}/{schema.SPIKES}"] = dataset(variables, coords)
    return nodes


def _picked(sorting: Sorting, name: str, rows: np.ndarray) -> LazyArray:
    """Values of the spikes of some clusters; NaN where the probe has none."""
    if name in sorting.of_spikes:
        return sorting.picked(sorting.of_spikes[name], rows)
    return Computed(_nothing, (int(sorting.sizes[rows].sum()),), np.dtype("f4"))


def _nothing(spikes: np.ndarray) -> np.ndarray:
    return np.full(spikes.size, np.nan, np.float32)


def _joined(arrays: list[LazyArray]) -> LazyArray:
    return arrays[0] if len(arrays) == 1 else Joined(tuple(arrays))


def _of_each(names: list[str], there: list[tuple[Sorting, np.ndarray]]) -> np.ndarray:
    repeated = [name for name, (_, rows) in zip(names, there, strict=True) for _ in rows]
    return np.array([*repeated, None], object)[:-1]


def _or_nothing(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
    return np.full(rows.size, np.nan) if values is None else values[rows]


def _together(parts: list[np.ndarray]) -> np.ndarray:
    """Labels of several probes; text where one of them has text, "" where another has none."""
    if any(part.dtype.kind in "OU" for part in parts):
        texts = ["" if value != value else str(value) for part in parts for value in part]
        return np.array([*texts, None], object)[:-1]
    return np.concatenate(parts)
