"""Recordings that spikeinterface saved: a SortingAnalyzer with its extensions, or a sorting alone.

https://spikeinterface.readthedocs.io (MIT); it is not imported. A SortingAnalyzer is a folder, or a Zarr
store in which groups and attributes have the names of the files::

    spikeinterface_info.json         object: "SortingAnalyzer", version
    sorting/numpysorting_info.json   unit_ids, sampling_frequency, num_segments
    sorting/spikes.npy               (spike,) records: sample_index, unit_index, segment_index
    sorting/properties/*.npy         (unit, ...) labels
    recording_info/recording_attributes.json    num_samples of each segment, channel_ids
    extensions/quality_metrics/metrics.csv, template_metrics/metrics.csv     a row for each unit
    extensions/unit_locations/unit_locations.npy     (unit, 2 or 3) um
    extensions/templates/average.npy, params.json    (unit, sample, channel); ms_before
    extensions/spike_amplitudes/amplitudes.npy, spike_locations/spike_locations.npy     (spike,)

A sorting alone is the folder ``sorting`` of these (`NumpyFolder`), a Zarr store of it, a folder with
``sorting_cached.npz`` (`NpzFolder`), or such an NPZ file (`NpzSorting`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.files.probe import Probe
from neuroarrays.formats.by_unit import by_unit
from neuroarrays.formats.clocks import seconds
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.spikeinterface.extensions import labels_of_analyzer, labels_of_properties
from neuroarrays.formats.spikeinterface.sortings import read_sorting
from neuroarrays.formats.spikeinterface.stores import Store
from neuroarrays.lazy.arrays import wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.tree.observed import OF_UNITS, add_observed

_NPZ = ("unit_ids", "num_segment", "sampling_frequency")
#: Names in a node of spikes that no label may have.
_RESERVED = {
    schema.SPIKE,
    schema.UNIT,
    schema.INTERVAL,
    schema.SPIKE_TIMES,
    schema.ROW_SIZE,
    *OF_UNITS,
}


class SpikeInterfaceReader(Reader):
    """Reads a SortingAnalyzer or a sorting that spikeinterface saved; a folder of these is one tree."""

    name = "spikeinterface"
    description = "spikeinterface: SortingAnalyzer (folder or Zarr), saved sortings"
    url = "https://spikeinterface.readthedocs.io"
    only_area = schema.UNKNOWN_AREA

    def recognise(self, probe: Probe) -> bool:
        """Whether a path is an analyzer, by its own description, or has the members of a sorting."""
        if probe.container == "zip":
            return set(_NPZ) <= {name.removesuffix(".npy") for name in probe.names}
        return is_analyzer(Store(probe)) or _is_sorting(probe)

    def open_session(
        self, session: Probe, name: str, request: Request, *, segment: int = 0
    ) -> dict[str, xr.Dataset]:
        """Open an analyzer or sorting as a session of a recording tree with the area "unknown".

        Parameters
        ----------
        session : Probe
            The folder, Zarr store or NPZ file.
        name : str
            Name of the session.
        request : Request
            The areas that the caller wants.
        segment : int, default 0
            Number of the segment of the recording. Each segment has its own clock, from 0 s on.
        """
        store, notes = Store(session), list[str]()
        analyzer = is_analyzer(store)
        group = "sorting" if analyzer else ""
        sorting = read_sorting(session, group, segment)
        sizes = sorting.rows.sizes()
        if sorting.segments > 1:
            notes.append(f"segment {segment} of {sorting.segments}; segment= opens another")
        ids = _numbers(sorting.ids)
        labels: dict[str, xr.Variable] = {}
        if ids.tolist() != list(sorting.ids):
            labels["unit_name"] = xr.Variable(schema.UNIT, np.array(sorting.ids, object))
        if session.container != "zip":
            properties = f"{group}/properties".lstrip("/")
            labels = labels_of_properties(store, properties, sorting, notes) | labels
        for label, values in labels_of_analyzer(store, sorting, notes).items() if analyzer else ():
            labels[f"{label}_" if label in labels else label] = values
        times = wrap(by_unit(seconds(sorting.samples, sorting.rate), sorting.rows))
        variables = {
            schema.SPIKE_TIMES: schema.var("spikes", schema.SPIKE_TIMES, times),
            schema.ROW_SIZE: schema.var(
                "spikes", schema.ROW_SIZE, sizes, sample_dimension=schema.SPIKE
            ),
        }
        coords = {schema.UNIT: xr.Variable(schema.UNIT, ids)} | {
            f"{label}_" if label in _RESERVED else label: values for label, values in labels.items()
        }
        recording = store.facts("recording_info", "recording_attributes") if analyzer else {}
        attrs = {"session_id": name, "sampling_rate": sorting.rate}
        attrs |= {
            key: recording[key] for key in ("num_channels", "is_filtered") if key in recording
        }
        nodes = {
            "": xr.Dataset(attrs=attrs | ({"notes": notes} if notes else {})),
            f"{schema.UNKNOWN_AREA}/{schema.SPIKES}": dataset(variables, coords),
        }
        samples = recording.get("num_samples")
        if not isinstance(samples, list) or len(samples) != sorting.segments:
            return nodes
        if not all(type(number) is int for number in samples):
            return nodes
        return add_observed(nodes, rows=(np.zeros(1), np.array([samples[segment] / sorting.rate])))


def is_analyzer(store: Store) -> bool:
    """Whether a folder or Zarr store is a SortingAnalyzer, by its own description or its members."""
    probe = store.probe
    if not probe.is_folder and not store.is_zarr:
        return False
    if store.facts("", "spikeinterface_info").get("object") == "SortingAnalyzer":
        return True
    return probe.has("sorting") and probe.has("recording_info")


def _is_sorting(probe: Probe) -> bool:
    """Whether a folder or Zarr store has the members of a saved sorting."""
    if probe.container == "zarr":
        return probe.has("spikes/unit_index") and "sampling_frequency" in probe.attrs
    saved = ("numpysorting_info.json", "sorting_cached.npz")
    return probe.is_folder and any(map(probe.has, saved))


def _numbers(ids: tuple[Any, ...]) -> np.ndarray:
    """Return unit ids as whole numbers, (unit,) int64; numbers as text ("7") count as numbers.

    If an id is not a whole number, units are numbered from 0 on.
    """
    numbers = [int(unit) for unit in ids if str(unit).isdecimal() and str(int(unit)) == str(unit)]
    are_numbers = len(numbers) == len(ids) and max(numbers, default=0) < 1 << 63
    return np.array(numbers if are_numbers else range(len(ids)), np.int64)
