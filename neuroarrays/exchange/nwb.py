"""Write sessions of recording trees as files of Neurodata Without Borders 2 (NWB)."""

from __future__ import annotations

import json
import os
import re
import uuid
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError, required
from neuroarrays.exchange.one_session import one_session
from neuroarrays.files.source import decoded
from neuroarrays.files.writing import new_hdf5, written
from neuroarrays.formats.nwb import layout

if TYPE_CHECKING:
    from pynwb import NWBFile

#: Attribute of a session -> its name in NWB, if they differ.
_NWB_NAMES = {"experiment_notes": "notes"}
#: Attributes of a session for which NWB has a text.
_TEXTS = (
    "session_id",
    "institution",
    "lab",
    "experiment_description",
    "notes",
    "protocol",
    "pharmacology",
    "surgery",
    "virus",
    "stimulus_notes",
    "data_collection",
    "slices",
)
#: Attributes that are lists in NWB and one text in the tree.
_LISTS = ("experimenter", "keywords", "related_publications")
#: Attribute of a session -> its name in the NWB subject.
_SUBJECT = {
    "subject": "subject_id",
    "species": "species",
    "sex": "sex",
    "age": "age",
    "genotype": "genotype",
    "strain": "strain",
    "subject_description": "description",
    "subject_weight": "weight",
}
#: The sexes of NWB: male, female, other, unknown.
_SEXES = "MFOU"
#: An unknown age in NWB: a range of durations (ISO 8601) that begins at 0 days.
_ANY_AGE = "P0D/"
#: Attributes that may hold the time at which a session began.
_START_ATTRS = ("session_start_time", "start_time_unix", "session_date", "date")
#: Attributes of a session that describe the file it was read from.
_ABOUT_FILE = ("notes", "metadata_in_file", "nwb_version")


def to_nwb(
    tree: xr.DataTree,
    path: str | os.PathLike[str],
    session: str | None = None,
    *,
    session_start_time: datetime | str | None = None,
    identifier: str | None = None,
    session_description: str | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write a session of a recording tree as an NWB 2 file (HDF5). Needs pynwb: ``neuroarrays[nwb]``.

    Spikes of all areas become the table ``units`` with the area as a column. Tables of presentations
    become ``TimeIntervals``, point events ``EventsTable``, signals of imaged neurons
    ``RoiResponseSeries``, and voltages of electrodes ``ElectricalSeries``. Stimuli become templates.
    All other signals become behaviour. Large arrays are read and written in pieces. NWB has no place
    for names of dimensions, most attributes, and some values. They are written as a text in
    ``/scratch``, so that `na.open_datatree` gives the same tree again, under the name of the file.

    Parameters
    ----------
    tree : xr.DataTree
        A recording tree, or a session of one; times in s.
    path : str or path
        The file to write, ``<name>.nwb``.
    session : str, optional
        The name of the session; needed if there are several.
    session_start_time : datetime or str, optional
        The date and time (ISO 8601) at which the session clock is 0; UTC if it has no time zone. By
        default it is taken from an attribute of the session: `session_start_time`,
        `start_time_unix`, `session_date` or `date`.
    identifier : str, optional
        A name that no other NWB file has. The default is the attribute `identifier`, or a new UUID.
    session_description : str, optional
        The default is the attribute `session_description`, or the name of the session.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    list of str
        What was left out of the file, each with its path and the reason. These sentences are in
        `notes` when the file is opened again.

    Raises
    ------
    SchemaError
        If `tree` is not a recording tree, or the start of the session is not known.
    NotInTree
        If there is no such session.
    PathExists, WriteFailed
        If `path` exists, or cannot be written. No partial file is left.
    MissingDependency
        If pynwb is not installed.

    Examples
    --------
    >>> import neuroarrays as na
    >>> na.to_nwb(na.load_sample(), "again.nwb")
    []
    >>> na.open_datatree("again.nwb")["again/adn/spikes"].sizes["unit_id"]
    7
    """
    pynwb = required("pynwb", "nwb", "na.to_nwb")
    node = one_session(tree, session)
    facts = {str(key): value for key, value in node.attrs.items()}
    arguments = {
        "session_start_time": session_start_time,
        "identifier": identifier,
        "session_description": session_description,
    }
    facts |= {key: value for key, value in arguments.items() if value is not None}
    with warnings.catch_warnings():
        # pynwb warns of columns that have the name of an attribute of its objects.
        warnings.filterwarnings("ignore", module="(hdmf|pynwb)")
        file = _file(node.name or "session", facts)
        records, left_out = _add_nodes(file, node)
        file.add_scratch(
            "",
            name=layout.DESCRIPTION_PATH.rpartition("/")[2],
            description="the tree that neuroarrays wrote",
        )
        with (
            written(Path(path), overwrite=overwrite) as new,
            new_hdf5(new) as (output, check),
            pynwb.NWBHDF5IO(file=output, mode="w") as writer,
        ):
            writer.write(file)
            _write_records(output, node, records, left_out)
            check()
    return left_out


def _write_records(
    output: h5py.File, node: xr.DataTree, records: Mapping[str, Any], left_out: list[str]
) -> None:
    """Write, as a text, how the tree was stored and all that NWB has no place for.

    The text also lists the datasets of the file, so that a reader sees if another program changed
    it.
    """
    datasets: list[str] = []

    def add(name: str, member: Any) -> None:
        if isinstance(member, h5py.Dataset):
            datasets.append(name)

    output.visititems(add)
    contents = {
        "version": layout.VERSION,
        layout.ATTRS: {str(k): v for k, v in node.attrs.items() if k not in _ABOUT_FILE},
        layout.NODES: records,
        layout.DATASETS: datasets,
        layout.LEFT_OUT: left_out,
    }
    output[layout.DESCRIPTION_PATH][()] = json.dumps(contents, default=_plain)


def _plain(value: Any) -> Any:
    """A value that JSON can hold."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return decoded(value) if isinstance(value, bytes) else str(value)


def _add_nodes(file: NWBFile, session: xr.DataTree) -> tuple[dict[str, Any], list[str]]:
    """Add the nodes of a session to a file.

    Returns
    -------
    records : dict
        For each node by path: where its variables are, as `formats.nwb.layout` describes.
    left_out : list of str
        What the file does not hold, and why.
    """
    from neuroarrays.exchange.nwb_nodes import Nodes
    from neuroarrays.exchange.nwb_series import SeriesNodes
    from neuroarrays.exchange.nwb_units import UnitNodes

    datasets = {path: node.to_dataset(inherit=False) for path, node in session.subtree_with_keys}
    datasets = {path: node for path, node in datasets.items() if path != "." and node.variables}
    roles = {
        path: schema.role_of(schema.RECORDING, path, node.data_vars, node.sizes, False)
        for path, node in datasets.items()
    }
    nodes = Nodes(file, datasets)
    spikes = {
        path: node
        for path, node in datasets.items()
        if roles[path] == "spikes" and _has_rows("spikes", node)
    }
    observed = datasets.get(schema.OBSERVED)
    if observed is not None and observed.sizes.get(schema.INTERVAL):
        nodes.table(schema.OBSERVED, observed)
    if spikes:
        UnitNodes(nodes).write(spikes)
    series = SeriesNodes(file, nodes, {path.rpartition("/")[0] for path in spikes})
    by_role: dict[str, Callable[[str, xr.Dataset], None]] = {
        "table": nodes.table,
        "events": nodes.events,
        "stimulus": nodes.template,
        "series": series.write,
    }
    for path, node in datasets.items():
        role = roles[path]
        if not _has_rows(role, node):
            nodes.record(path, {})
        elif role in by_role:
            by_role[role](path, node)
    return nodes.records, nodes.left_out


#: Role of a node -> the dimension of its rows or samples.
_ROWS = {
    "table": schema.PRESENTATION,
    "events": schema.EVENT,
    "series": schema.TIME,
    "observed": schema.INTERVAL,
    "spikes": schema.UNIT,
}


def _has_rows(role: str, node: xr.Dataset) -> bool:
    """Whether a node has rows or samples; tools for NWB fail on tables and series without any."""
    return role not in _ROWS or node.sizes.get(_ROWS[role], 0) > 0


# -------------------------------------------------------------------------------- the session


def _file(name: str, facts: Mapping[str, Any]) -> NWBFile:
    """A pynwb file with the attributes of a session and its subject."""
    from pynwb import NWBFile
    from pynwb.file import Subject

    texts = {
        _NWB_NAMES.get(key, key): str(value)
        for key, value in facts.items()
        if isinstance(value, str)
    }
    if "experiment_notes" not in facts:
        texts.pop("notes", None)
    fields: dict[str, Any] = {key: texts[key] for key in _TEXTS if texts.get(key)}
    fields |= {key: texts[key].split("; ") for key in _LISTS if texts.get(key)}
    file = NWBFile(
        session_description=str(facts.get("session_description") or name),
        identifier=str(facts.get("identifier") or uuid.uuid4()),
        session_start_time=_start(name, facts),
        **fields,
    )
    file.subject = Subject(**_subject(texts))
    return file


def _subject(texts: Mapping[str, str]) -> dict[str, str]:
    """The fields of the NWB subject; required ones that are not known get NWB's word for it."""
    subject = {key: texts[name] for name, key in _SUBJECT.items() if texts.get(name)}
    sex = subject.get("sex", "")[:1].upper()
    subject["sex"] = sex if sex and sex in _SEXES else "U"
    if not re.match(r"P\d", subject.get("age", "")):  # a duration of ISO 8601
        subject["age"] = _ANY_AGE
    has_unit = re.match(r"[\d.]+ *[a-zμµ]+$", subject.get("weight", ""))
    if not has_unit:  # A weight without its unit has no meaning.
        subject.pop("weight", None)
    return {"subject_id": "unknown"} | subject


def _start(name: str, facts: Mapping[str, Any]) -> datetime:
    """The date and time at which a session began, with a time zone.

    Raises
    ------
    SchemaError
        If no attribute has it.
    """
    faults = []
    for key in _START_ATTRS:
        value = facts.get(key)
        if value is None:
            continue
        try:
            if isinstance(value, datetime):
                start = value
            elif isinstance(value, str):
                start = datetime.fromisoformat(value.strip())
            else:
                start = datetime.fromtimestamp(float(value), UTC)
        except (TypeError, ValueError, OverflowError, OSError):
            faults.append(f"{key}={value!r:.40}, which is no time of ISO 8601")
            continue
        return start if start.tzinfo else start.replace(tzinfo=UTC)
    found = "; ".join(faults) or f"none of {', '.join(_START_ATTRS)} among its attributes"
    msg = (
        f"{name}: NWB needs the time when a session began, found {found}; give it, for example "
        "session_start_time='2020-07-11T09:30:00+02:00'"
    )
    raise SchemaError(msg)
