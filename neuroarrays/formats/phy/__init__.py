"""The output of Kilosort 2 to 4, also curated in phy: a folder of npy files and tables of clusters.

https://phy.readthedocs.io/en/latest/sorting_user_guide. In the folder::

    params.py                    sample_rate, n_channels_dat, dat_path, dtype, offset; read as text, never run
    spike_times.npy              (spike,) samples of the recording, in the order of time
    spike_clusters.npy           (spike,) cluster of each spike, as curated
    spike_templates.npy          (spike,) template of each spike, as sorted
    amplitudes.npy               (spike,) scale of its template
    spike_times_sec_adj.npy      (spike,) s, on the clock that TPrime maps to
    cluster_*.tsv                cluster_id, and a column: group, KSLabel, ...; cluster_info.tsv has them all
    templates.npy                (template, sample, channel), whitened; templates_ind.npy has their channels
    whitening_mat_inv.npy        (channel, channel)
    channel_map.npy, channel_positions.npy, channel_shanks.npy     (channel,) (channel, 2) um (channel,)

A unit is a cluster that has spikes. Merging clusters in phy makes a new cluster. The merged clusters
have no spikes any more, and their rows in the tables are passed over.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import shorten
from neuroarrays.files.probe import Probe
from neuroarrays.formats.by_unit import by_unit
from neuroarrays.formats.npy import source_of
from neuroarrays.formats.phy.clusters import (
    TIMES,
    Clusters,
    labels_of_peaks,
    times_of,
)
from neuroarrays.formats.phy.texts import cluster_labels, read_params
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.lazy.arrays import wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.tree.observed import OF_UNITS, add_observed

CLUSTERS, TEMPLATES = "spike_clusters.npy", "spike_templates.npy"
#: Files with times in seconds on another clock, which TPrime and pipelines that use it write.
SYNCHRONISED = ("spike_times_sec_adj.npy", "spike_seconds_adj.npy")
#: Further files that are read if they exist.
_READ = {
    "params.py", "amplitudes.npy", "templates.npy", "templates_ind.npy", "template_ind.npy",
    "whitening_mat_inv.npy", "channel_map.npy", "channel_positions.npy", "channel_shanks.npy",
    *SYNCHRONISED,
}  # fmt: skip
#: Names in a node of spikes that no column of a table may have.
_RESERVED = {schema.SPIKE, schema.INTERVAL, *OF_UNITS}


class PhyReader(Reader):
    """Reads the folder of a sorting by Kilosort, curated in phy or not, or a folder of these as one tree."""

    name = "phy"
    description = "Kilosort 2-4 and phy: a folder of spike_times.npy, spike_clusters.npy, params.py"
    url = "https://phy.readthedocs.io"
    only_area = schema.UNKNOWN_AREA

    def recognise(self, probe: Probe) -> bool:
        """Whether a folder has spike times and templates, or spike times, clusters and params.py.

        Spike times and clusters without params.py may be in any unit, which a mapping has to tell
        (`engine="arrays"`).
        """
        clustered = probe.has(CLUSTERS) and probe.has("params.py")
        return probe.is_folder and probe.has(TIMES) and (clustered or probe.has(TEMPLATES))

    def open_session(
        self,
        session: Probe,
        name: str,
        request: Request,
        *,
        sampling_rate: float | None = None,
        times_from: str | None = None,
    ) -> dict[str, xr.Dataset]:
        """Open a folder as a session of a recording tree with the area "unknown".

        Parameters
        ----------
        session : Probe
            Path of the session's folder.
        name : str
            Name of the session.
        request : Request
            The areas that the caller wants.
        sampling_rate : float, optional, Hz
            Sampling rate of spike_times.npy (default: the rate in params.py).
        times_from : str, optional
            File of the folder with the spike times: "spike_times.npy" has samples, any other file
            seconds (default: spike_times_sec_adj.npy, with times on another clock, or else
            spike_times.npy).
        """
        params = read_params(session.child("params.py"))
        if sampling_rate is not None:
            params = replace(params, sampling_rate=sampling_rate)
        source = source_of(session.child(CLUSTERS if session.has(CLUSTERS) else TEMPLATES))
        clusters = Clusters(source, source.name)
        file = times_from or next(filter(session.has, SYNCHRONISED), TIMES)
        times = by_unit(times_of(session, file, params, clusters), clusters)
        ids, sizes = clusters.units()
        notes = list(params.notes)
        columns, tables = cluster_labels(session, ids, notes)
        unread = [
            child.name
            for child in session.children
            if child.suffix in (".npy", ".tsv", ".csv") and child.name not in _READ | tables
            and child.name not in (TIMES, CLUSTERS, TEMPLATES, file)
        ]  # fmt: skip
        notes += [f"not read: {shorten(unread)}"] if unread else []
        variables = {
            schema.SPIKE_TIMES: schema.var(
                "spikes", schema.SPIKE_TIMES, wrap(times), stored_as=file
            ),
            schema.ROW_SIZE: schema.var(
                "spikes", schema.ROW_SIZE, sizes, sample_dimension=schema.SPIKE
            ),
        }
        coords = {schema.UNIT: xr.Variable(schema.UNIT, ids)}
        for label, stored in (("amplitude", "amplitudes.npy"), ("template", TEMPLATES)):
            if session.has(stored):
                values = by_unit(clusters.values(session.child(stored)), clusters)
                coords[label] = values.variable([schema.SPIKE])
        coords |= labels_of_peaks(session, clusters, ids.size)
        reserved = coords.keys() | variables.keys() | _RESERVED
        for column, labels in columns.items():
            label = f"{column}_" if column in reserved else column
            coords[label] = xr.Variable(schema.UNIT, labels)
        attrs = {"session_id": name, **params.attrs()} | ({"notes": notes} if notes else {})
        nodes = {
            "": xr.Dataset(attrs=attrs),
            f"{schema.UNKNOWN_AREA}/{schema.SPIKES}": dataset(variables, coords),
        }
        stop = params.duration(session) if file == TIMES else None
        if stop is None:
            return nodes
        return add_observed(nodes, rows=(np.zeros(1), np.array([stop])))
