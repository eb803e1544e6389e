"""Sessions of the International Brain Laboratory and others in ALF, the file names of ONE.

https://int-brain-lab.github.io/ONE/alf_intro.html (MIT); ONE is not imported. A session is a folder
``[lab/Subjects/]subject/date/number`` with files ``[_namespace_]object.attribute[_timescale].extension``
in collections of ``alf``, each in as many revisions as it has::

    alf/probe00/pykilosort/#2024-05-06#/spikes.times.npy, spikes.clusters.npy     (spike,) s, row of clusters
    alf/probe00/pykilosort/clusters.*, clusters.metrics.pqt, channels.*           a row each
    alf/_ibl_trials.table.pqt, trials.intervals.npy, trials.*.npy                 (trial,) s
    alf/_ibl_wheel.position.npy, _ibl_wheel.timestamps.npy                        (sample,) rad, s
    alf/_ibl_leftCamera.dlc.pqt, _ibl_leftCamera.times.npy                        (frame,) pixels, s
    alf/licks.times.npy, alf/_ibl_passiveGabor.table.csv, _ibl_passivePeriods.intervalsTable.csv

Timestamps of two columns are rows of (sample, time). Those of another clock (`_timescale`) are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import shorten
from neuroarrays.files.probe import Probe
from neuroarrays.formats.alf.behaviour import nodes_of
from neuroarrays.formats.alf.datasets import READ, datasets_of, parsed
from neuroarrays.formats.alf.probes import area_nodes, read_sorting, sorted_collections
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.sessions import Sessions

_DATE, _NUMBER = re.compile(r"\d{4}-\d{2}-\d{2}"), re.compile(r"\d{1,3}")
_SUBJECTS = "Subjects"
#: Objects and attributes by which a folder is known: any of them in ``alf``, of the first also elsewhere.
_MARKS = {
    ("spikes", "times"),
    ("trials", "intervals"),
    ("trials", "table"),
    ("wheel", "timestamps"),
}
_OBJECTS = {
    "clusters",
    "licks",
    "wheelMoves",
    "leftCamera",
    "rightCamera",
    "bodyCamera",
    "channels",
}
_OF_SORTINGS = {"spikes", "clusters", "channels", "templates"}


class ALFReader(Reader):
    """Reads sessions in ALF: the folder of one, of a day, of a subject, of a lab."""

    name = "alf"
    description = (
        "IBL and other sessions in ALF, as ONE lays them out: alf/probe00/spikes.times.npy"
    )
    url = "https://int-brain-lab.github.io/ONE"
    several = True

    def recognise(self, probe: Probe) -> bool:
        """Whether it is a session, or a folder of sessions by date and number."""
        return next(_sessions(probe), None) is not None

    def list_sessions(self, probe: Probe) -> Mapping[str, Probe]:
        """Every session that the folder is or has: ``subject_date_number``, else the folder's name."""
        sessions = Sessions()
        for folder in _sessions(probe):
            name = _name(folder)
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
        """Open a session: areas of the brain, trials, behaviour.

        Parameters
        ----------
        session : Probe
            Its folder, or the folder ``alf`` in it.
        name : str
            Of the session.
        request : Request
            What to open of it.
        revision : str, optional
            Of each file the newest revision up to this one ("2024-05-06"); by default the newest.
        sorter : str, optional
            Folder of the sorting to take of each probe. By default "iblsorter", else
            "pykilosort", else that with the shortest path.
        """
        notes: list[str] = []
        datasets = datasets_of(session, revision, notes)
        chosen = sorted_collections(datasets, sorter, notes)
        sortings = [
            read_sorting(probe, collection, datasets, notes) for probe, collection in chosen.items()
        ]
        others, unread = [], []
        for each in datasets:
            probe = each.collection.partition("/")[0]
            if probe not in chosen or (not probe and each.object not in _OF_SORTINGS):
                others.append(each)
            elif each.object not in _OF_SORTINGS or each.object == "templates":
                unread.append(each.file.name)
        notes += [f"not read: {shorten(sorted(set(unread)))}"] if unread else []
        nodes = area_nodes(sortings) | nodes_of(others, notes)
        attrs = {"session_id": name} | _about(session)
        return {"": xr.Dataset(attrs=attrs | ({"notes": notes} if notes else {})), **nodes}


def _is_session(folder: Probe) -> bool:
    """Whether a folder holds files of ALF, in ``alf`` or by themselves."""
    if not folder.is_folder:
        return False
    inside = folder.child("alf")
    if not inside.is_folder:
        names = filter(None, map(parsed, folder.names))
        return any(
            (n["object"], n["attribute"]) in _MARKS and n["extension"] in READ for n in names
        )
    if any(name.startswith(("probe", "task_")) for name in inside.names):
        return True
    known = _OBJECTS | {name for name, _ in _MARKS}
    return any(name["object"] in known for name in filter(None, map(parsed, inside.names)))


def _sessions(probe: Probe) -> Iterator[Probe]:
    """The sessions that a path is, or that are below it, by date and number."""
    if probe.is_list:
        for member in probe.children:
            yield from _sessions(member)
    elif _is_session(probe):
        yield probe
    elif probe.is_folder:
        for folder in _below(probe):
            yield from _sessions(folder)


def _below(folder: Probe) -> list[Probe]:
    """The folders in one that may be sessions, or hold some."""
    names = folder.names
    if _DATE.fullmatch(folder.name):
        return [folder.child(name) for name in names if _NUMBER.fullmatch(name)]
    if dates := [name for name in names if _DATE.fullmatch(name)]:
        return [folder.child(name) for name in dates]
    if _SUBJECTS in names:
        return [folder.child(_SUBJECTS)]
    folders = [child for child in folder.children if child.is_folder]
    if folder.name == _SUBJECTS:
        return folders
    return [child for child in folders if _SUBJECTS in child.names or _is_session(child)]


def _name(session: Probe) -> str:
    """The name of a session: ``subject_date_number``, or that of its folder."""
    about = _about(session)
    parts = [about[key] for key in ("subject", "session_date", "session_number") if key in about]
    return schema.node_name("_".join(parts) if parts else session.name)


def _about(session: Probe) -> dict[str, str]:
    """What the path of a session says of it; {} where it is another."""
    folder = session.location.parent if session.name == "alf" else session.location
    date = folder.parent
    if not (_NUMBER.fullmatch(folder.name) and _DATE.fullmatch(date.name)):
        return {}
    about = {"subject": date.parent.name, "session_date": date.name, "session_number": folder.name}
    subjects = date.parent.parent
    return about | ({"lab": subjects.parent.name} if subjects.name == _SUBJECTS else {})
