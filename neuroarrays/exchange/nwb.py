"""Recordings as files of Neurodata Without Borders 2, which open here again."""

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
from neuroarrays.errors import MissingDependency, SchemaError
from neuroarrays.exchange.one_session import one_session
from neuroarrays.files.writing import new_hdf5, written
from neuroarrays.formats.nwb import layout

if TYPE_CHECKING:
    from pynwb import NWBFile

#: Facts of a session by the names that NWB has for them, where these differ.
_CALLED = {"experiment_notes": "notes"}
_FACTS = (
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
#: Those that are lists, which the tree has as one text.
_LISTS = ("experimenter", "keywords", "related_publications")
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
#: Male, female, other, unknown; and an age of which nothing is known: from no days on.
_SEXES, _ANY_AGE = "MFOU", "P0D/"
#: Attributes that may say when a session began.
_BEGAN = ("session_start_time", "start_time_unix", "session_date", "date")
#: Attributes of a session that are about the file it came from.
_OF_FILE = ("notes", "metadata_in_file", "nwb_version")


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

    Spikes of all areas become the table ``units`` with the area as a column, tables of presentations
    become ``TimeIntervals``, point events ``EventsTable``, signals of imaged neurons
    ``RoiResponseSeries``, voltages of electrodes ``ElectricalSeries``, other signals behaviour, and
    pictures templates. Large arrays are read and written piece by piece. What NWB has no place for
    (names of dimensions, attributes, a few values) stands beside it as a text in ``/scratch``, so that
    `na.open_datatree` gives the same tree again, under the name of the file.

    Parameters
    ----------
    tree : xr.DataTree
        A recording tree, or a session of one; times in s.
    path : str or path
        The file, ``<name>.nwb``.
    session : str, optional
        The session's name; needed where there are several.
    session_start_time : datetime or str, optional
        When the session began, ISO 8601: what times count from. Else an attribute of the session
        (`session_start_time`, `start_time_unix`, `session_date`, `date`). Without a time zone, UTC.
    identifier : str, optional
        A name of this file that no other has. Else the attribute `identifier`, else a new UUID.
    session_description : str, optional
        Else the attribute `session_description`, else the name of the session.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    list of str
        What the file does not hold, each with its place and the reason; `notes` say it when the file
        is opened.

    Raises
    ------
    SchemaError
        If it is no recording tree, or nothing says when the session began.
    NotInTree
        If there is no such session.
    PathExists, WriteFailed
        If there is something at `path`, or it cannot be written: nothing of it is left then.
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
    try:
        from pynwb import NWBHDF5IO
    except ImportError as error:
        raise MissingDependency("pynwb", "nwb", "na.to_nwb") from error
    node = one_session(tree, session)
    facts = {str(key): value for key, value in node.attrs.items()}
    stated = {
        "session_start_time": session_start_time,
        "identifier": identifier,
        "session_description": session_description,
    }
    facts |= {key: value for key, value in stated.items() if value is not None}
    with warnings.catch_warnings():  # names of columns that are attributes of pynwb's objects, too
        warnings.filterwarnings("ignore", module="(hdmf|pynwb)")
        file = _file(node.name or "session", facts)
        told, left_out = _nodes(file, node)
        file.add_scratch(
            "", name=layout.TOLD.rpartition("/")[2], description="the tree that neuroarrays wrote"
        )
        with (
            written(Path(path), overwrite=overwrite) as new,
            new_hdf5(new) as (output, check),
            NWBHDF5IO(file=output, mode="w") as writer,
        ):
            writer.write(file)
            _tell(output, node, told, left_out)
            check()
    return left_out


def _tell(
    output: h5py.File, node: xr.DataTree, nodes: Mapping[str, Any], left_out: list[str]
) -> None:
    """Write the text of what NWB has no place for, which names all datasets that were written."""
    datasets: list[str] = []
    output.visititems(
        lambda name, thing: datasets.append(name) if isinstance(thing, h5py.Dataset) else None
    )
    told = {
        "version": layout.VERSION,
        layout.ATTRS: {str(k): v for k, v in node.attrs.items() if k not in _OF_FILE},
        layout.NODES: nodes,
        layout.DATASETS: datasets,
        layout.LEFT_OUT: left_out,
    }
    output[layout.TOLD][()] = json.dumps(told, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _nodes(file: NWBFile, session: xr.DataTree) -> tuple[dict[str, Any], list[str]]:
    """Put the nodes of a session into a file; what is told of them, and what is left out."""
    from neuroarrays.exchange.nwb_nodes import Nodes
    from neuroarrays.exchange.nwb_series import SeriesNodes
    from neuroarrays.exchange.nwb_units import UnitNodes

    every = {path: node.to_dataset(inherit=False) for path, node in session.subtree_with_keys}
    every = {path: node for path, node in every.items() if path != "." and node.variables}
    roles = {
        path: schema.role_of(schema.RECORDING, path, node.data_vars, node.sizes, False)
        for path, node in every.items()
    }
    nodes = Nodes(file, every)
    spikes = {
        path: node
        for path, node in every.items()
        if roles[path] == "spikes" and _has_rows("spikes", node)
    }
    observed = every.get(schema.OBSERVED)
    if observed is not None and observed.sizes.get(schema.INTERVAL):
        nodes.table(schema.OBSERVED, every[schema.OBSERVED])
    if spikes:
        UnitNodes(nodes).write(spikes)
    series = SeriesNodes(file, nodes, {path.rpartition("/")[0] for path in spikes})
    by_role: dict[str, Callable[[str, xr.Dataset], None]] = {
        "table": nodes.table,
        "events": nodes.events,
        "stimulus": nodes.template,
        "series": series.write,
    }
    for path, node in every.items():
        role = roles[path]
        if not _has_rows(role, node):
            nodes.tell(path, {})
        elif role in by_role:
            by_role[role](path, node)
    return nodes.told, nodes.left_out


#: The dimension that the rows of a table, or the samples of a series, are along.
_ROWS = {
    "table": schema.PRESENTATION,
    "events": schema.EVENT,
    "series": schema.TIME,
    "observed": schema.INTERVAL,
    "spikes": schema.UNIT,
}


def _has_rows(role: str, node: xr.Dataset) -> bool:
    """Whether there is anything to write: tools for NWB fail on tables and series of no rows."""
    return role not in _ROWS or node.sizes.get(_ROWS[role], 0) > 0


# -------------------------------------------------------------------------------- the session


def _file(name: str, facts: Mapping[str, Any]) -> NWBFile:
    """A file with what is said of session and subject."""
    from pynwb import NWBFile
    from pynwb.file import Subject

    texts = {
        _CALLED.get(key, key): str(value) for key, value in facts.items() if isinstance(value, str)
    }
    if "experiment_notes" not in facts:
        texts.pop("notes", None)
    more: dict[str, Any] = {key: texts[key] for key in _FACTS if texts.get(key)}
    more |= {key: texts[key].split("; ") for key in _LISTS if texts.get(key)}
    file = NWBFile(
        session_description=str(facts.get("session_description") or name),
        identifier=str(facts.get("identifier") or uuid.uuid4()),
        session_start_time=_start(name, facts),
        **more,
    )
    file.subject = Subject(**_subject(texts))
    return file


def _subject(texts: Mapping[str, str]) -> dict[str, str]:
    """What NWB says of an animal; what it asks for and nobody says is its word for not known."""
    subject = {key: texts[name] for name, key in _SUBJECT.items() if texts.get(name)}
    sex = subject.get("sex", "")[:1].upper()
    subject["sex"] = sex if sex and sex in _SEXES else "U"
    if not re.match(r"P\d", subject.get("age", "")):  # a duration of ISO 8601
        subject["age"] = _ANY_AGE
    if not re.match(
        r"[\d.]+ *[a-zμµ]+$", subject.get("weight", "")
    ):  # without a unit it means nothing
        subject.pop("weight", None)
    return {"subject_id": "unknown"} | subject


def _start(name: str, facts: Mapping[str, Any]) -> datetime:
    """When a session began.

    Raises
    ------
    SchemaError
        If nothing says it.
    """
    tried = []
    for key in _BEGAN:
        value = facts.get(key)
        if value is None:
            continue
        try:
            if isinstance(value, datetime):
                began = value
            elif isinstance(value, str):
                began = datetime.fromisoformat(value.strip())
            else:
                began = datetime.fromtimestamp(float(value), UTC)
        except (TypeError, ValueError, OverflowError, OSError):
            tried.append(f"{key}={value!r:.40}, which is no time of ISO 8601")
            continue
        return began if began.tzinfo else began.replace(tzinfo=UTC)
    found = "; ".join(tried) or f"none of {', '.join(_BEGAN)} among its attributes"
    msg = (
        f"{name}: NWB needs the time when a session began, found {found}; say it, "
        "e.g. session_start_time='2020-07-11T09:30:00+02:00'"
    )
    raise SchemaError(msg)
