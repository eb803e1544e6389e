"""Sessions of the International Brain Laboratory and others in ALF, the file names of ONE.

https://int-brain-lab.github.io/ONE/alf_intro.html (MIT); ONE is not imported. A session is a folder
``[lab/Subjects/]subject/date/number`` with files ``[_namespace_]object.attribute[_timescale].extension``
in collections of ``alf``. A file may have several revisions, each in a folder ``#revision#``::

    alf/probe00/pykilosort/#2024-05-06#/spikes.times.npy, spikes.clusters.npy     (spike,) s, row of clusters
    alf/probe00/pykilosort/clusters.*, clusters.metrics.pqt, channels.*           a row each
    alf/_ibl_trials.table.pqt, trials.intervals.npy, trials.*.npy                 (trial,) s
    alf/_ibl_wheel.position.npy, _ibl_wheel.timestamps.npy                        (sample,) rad, s
    alf/_ibl_leftCamera.dlc.pqt, _ibl_leftCamera.times.npy                        (frame,) pixels, s
    alf/licks.times.npy, alf/_ibl_passiveGabor.table.csv, _ibl_passivePeriods.intervalsTable.csv

Timestamps of two columns are rows of (sample, time). Those of another clock (`_timescale`) are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

from neuroarrays.errors import shorten
from neuroarrays.files.probe import Probe
from neuroarrays.formats.alf.behaviour import nodes_of
from neuroarrays.formats.alf.datasets import datasets_of
from neuroarrays.formats.alf.finding import about, name_of, sessions_in
from neuroarrays.formats.alf.probes import area_nodes, read_sorting, sorted_collections
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.sessions import Sessions

#: Objects of a sorting. They are read, except "templates".
_OF_SORTINGS = {"spikes", "clusters", "channels", "templates"}


class ALFReader(Reader):
    """Reads sessions in ALF: the folder of a session, a day, a subject or a lab."""

    name = "alf"
    description = "ALF: sessions of IBL and others, with the file names of ONE"
    url = "https://int-brain-lab.github.io/ONE"
    several = True

    def recognise(self, probe: Probe) -> bool:
        """Whether a path is a session, or a folder of sessions by date and number."""
        return next(sessions_in(probe), None) is not None

    def list_sessions(self, probe: Probe) -> Mapping[str, Probe]:
        """List all sessions of a folder as ``subject_date_number``, or by the names of their folders."""
        sessions = Sessions()
        for folder in sessions_in(probe):
            name = name_of(folder)
            while name in sessions:
                name += "_"
            sessions[name] = folder
        return sessions

    def open_session(
        self,
        session: Probe,
        name: str,
        request: Request,
        *,
        revision: str | None = None,
        sorter: str | None = None,
    ) -> dict[str, xr.Dataset]:
        """Open a session with its brain areas, trials and behaviour.

        Parameters
        ----------
        session : Probe
            Folder of the session, or the folder ``alf`` in it.
        name : str
            Name of the session.
        request : Request
            The areas that the caller wants.
        revision : str, optional
            Each file is read in its newest revision up to this one, such as "2024-05-06" (default:
            the newest).
        sorter : str, optional
            Folder of the sorting to read of each probe (default: "iblsorter", else "pykilosort", else
            the one with the shortest path).
        """
        notes: list[str] = []
        datasets = datasets_of(session, revision, notes)
        chosen = sorted_collections(datasets, sorter, notes)
        sortings = [
            read_sorting(probe, collection, datasets, notes) for probe, collection in chosen.items()
        ]
        others, unread = [], []
        for alf_file in datasets:
            probe = alf_file.collection.partition("/")[0]
            if probe not in chosen or (not probe and alf_file.object not in _OF_SORTINGS):
                others.append(alf_file)
            elif alf_file.object not in _OF_SORTINGS or alf_file.object == "templates":
                unread.append(alf_file.file.name)
        notes += [f"not read: {shorten(sorted(set(unread)))}"] if unread else []
        nodes = area_nodes(sortings) | nodes_of(others, notes)
        attrs = {"session_id": name} | about(session)
        return {"": xr.Dataset(attrs=attrs | ({"notes": notes} if notes else {})), **nodes}
