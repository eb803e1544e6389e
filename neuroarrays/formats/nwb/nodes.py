"""The nodes of one NWB session, as lazy datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NotInTree
from neuroarrays.formats.nwb import decode, tables
from neuroarrays.formats.nwb.account import Account, printable
from neuroarrays.formats.nwb.observed import with_observed
from neuroarrays.formats.nwb.pictures import picture_nodes
from neuroarrays.formats.nwb.signals import series_nodes
from neuroarrays.formats.nwb.told import read_told
from neuroarrays.formats.nwb.units import UNITS, unit_nodes

#: What is said of a session stands in datasets at the root, in `general` and in its `subject`.
_PLACES = ("general", "general/subject", "")
#: Names of attributes that differ from those of the file.
_CALLED = {"subject_id": "subject", "notes": "experiment_notes"}
#: Of the subject by their own names; others as ``subject_<name>``.
_SUBJECT = ("subject", "species", "sex", "age", "genotype", "strain")
#: Characters of a text that become an attribute.
_LONGEST = 4096
#: Lists up to this long become one text.
_MOST = 1000


def session_groups(
    account: Account, version: str, wanted: Callable[[str], bool], chosen: str | None = None
) -> dict[str, xr.Dataset]:
    """Node path below the session -> dataset; "" holds the session's attributes.

    `wanted` is asked for every area, and says whether to build it. `chosen` is the table of units,
    by name or path; all of them when not given.
    """
    series, kinds = decode.find(account)
    units = sorted((p for p, kind in kinds.items() if kind == "units"), key=_own_units_first)
    picked = _chosen_units(account, units, chosen)
    told = read_told(account)
    groups = {} if told is None else told.nodes(wanted)
    if told is not None:  # what was put into the file since is read as anywhere else
        series = [signal for signal in series if not told.is_written(signal.path)]
        kinds = {path: kind for path, kind in kinds.items() if not told.is_written(path)}
    for path in (path for path in picked if path in kinds):
        with account.step(path):
            by_node = unit_nodes(account, wanted, path=path)
            prefix = "" if path == UNITS else f"{schema.node_name(path.rpartition('/')[2])}_"
            taken = any(node in groups for node in by_node)
            for node, rows in by_node.items():
                add_node(groups, f"{prefix}{node}" if taken else node, rows)
    groups = table_nodes(account, kinds, groups)
    add_nodes(groups, series_nodes(account, series, wanted))
    add_nodes(groups, picture_nodes(account))
    with account.step("units"):
        groups = with_observed(account.source, groups, series, units)
    notes = [] if any(path.endswith("/spikes") for path in groups) else ["no units with spikes"]
    attrs = session_attrs(account) if told is None else told.attrs
    notes += [] if told is None else told.notes
    attrs = attrs | {"nwb_version": version} | account.told(notes)
    return {"": xr.Dataset(attrs=attrs)} | groups


def _chosen_units(account: Account, paths: list[str], chosen: str | None) -> list[str]:
    """The tables of units to build, of all that there are.

    Raises
    ------
    NotInTree
        If there is none of that name.
    """
    if chosen is None:
        return paths
    picked = [path for path in paths if chosen.strip("/") in (path, path.rpartition("/")[2])]
    if not picked:
        raise NotInTree("table of units", chosen, paths)
    for path in paths:
        if path not in picked:
            account.pass_over(path)
    return picked


def _own_units_first(path: str) -> tuple[bool, str]:
    return path != UNITS, path


def table_nodes(
    account: Account, kinds: dict[str, str], groups: dict[str, xr.Dataset]
) -> dict[str, xr.Dataset]:
    """`groups` with a node for every table that has times, units excepted."""
    for path, kind in kinds.items():
        name = decode.clean(path.rpartition("/")[2])
        with account.step(path):
            if kind == "presentations":
                rows = tables.table_node(account, path)
                add_node(groups, f"{schema.PRESENTATIONS}/{name}", rows)
            elif kind == "events":
                times = "timestamp" if "timestamp" in account.source.names(path) else "timestamps"
                rows = tables.events_node(account, path, times)
                add_node(groups, f"{schema.EVENTS}/{name}", rows)
            elif kind == "events of kinds":
                add_node(
                    groups, f"{schema.EVENTS}/{name}", tables.events_of_kinds_node(account, path)
                )
            elif kind == "events by column":
                by_column = tables.events_by_column(account, path, account.source.names(path))
                for ending, rows in by_column.items():
                    add_node(groups, f"{schema.EVENTS}/{name}{ending}", rows)
            elif kind == "samples":
                node = decode.node_of_table(path)
                add_node(groups, node, tables.samples_node(account, path))
    return groups


def add_node(groups: dict[str, xr.Dataset], path: str, node: xr.Dataset) -> None:
    """Add a node, under another name where its own is taken."""
    add_nodes(groups, {path: node})


def add_nodes(groups: dict[str, xr.Dataset], nodes: Mapping[str, xr.Dataset]) -> None:
    """Add nodes, under other names where their own are taken.

    A node with values has no children: each clock is a leaf of its own.
    """
    above = {parent for path in groups for parent in decode.parents(path)}
    for wanted, node in nodes.items():
        is_below = any(parent in groups for parent in decode.parents(wanted))
        base = wanted.replace("/", "_") if is_below else wanted
        path, number = wanted, 1
        while path in groups or path in above or any(p in groups for p in decode.parents(path)):
            number += 1
            path = f"{base}_{number}"
        groups[path] = node
        above.update(decode.parents(path))


def session_attrs(account: Account) -> dict[str, Any]:
    """Attributes of session and subject, as text."""
    source = account.source
    attrs: dict[str, Any] = {}
    for group in _PLACES:
        with account.step(group or "/"):
            for name in source.names(group or "/"):
                path = f"{group}/{name}".strip("/")
                with account.step(path):
                    text = _text(account, path)
                    target = _CALLED.get(name, name)
                    if group.endswith("subject") and target not in _SUBJECT:
                        target = f"subject_{name}"
                    if text is not None:
                        attrs.setdefault(printable(target), text)
    with account.step("scratch"):
        for name in source.names("scratch"):  # DRIADA keeps its metadata there, as JSON
            with account.step(f"scratch/{name}"):
                info = source.info(f"scratch/{name}")
                if info is not None and info.text and info.shape == ():
                    target = printable(_CALLED.get(name, name))
                    attrs.setdefault(target, _text(account, f"scratch/{name}"))
    return {key: value for key, value in attrs.items() if value}


def _text(account: Account, path: str) -> str | None:
    """A dataset as one text, a list joined by "; "; None for a group."""
    info = account.source.info(path)
    if info is None or info.dtype.kind == "V" or np.prod(info.shape, dtype=object) > _MOST:
        return None
    value = account.source.read(path)
    account.take(path)
    text = printable("; ".join(str(v) for v in np.atleast_1d(value).ravel()))
    if len(text) > _LONGEST:
        account.remark(path, f"cut to {_LONGEST:,} of {len(text):,} characters")
    return text[:_LONGEST]
