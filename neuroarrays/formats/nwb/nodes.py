"""Make the nodes of one NWB session, as lazy datasets."""

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
from neuroarrays.formats.nwb.units import UNITS, unit_nodes
from neuroarrays.formats.nwb.written_tree import read_written_tree

#: Groups whose datasets become attributes of the session; "" is the root.
_ATTRIBUTE_GROUPS = ("general", "general/subject", "")
#: Names of attributes that have another name in the file.
_RENAMED = {"subject_id": "subject", "notes": "experiment_notes"}
#: Attributes of the subject that keep their names; others become ``subject_<name>``.
_SUBJECT = ("subject", "species", "sex", "age", "genotype", "strain")
#: The most characters of an attribute.
_LONGEST = 4096
#: The longest list that becomes one text.
_MOST = 1000


def session_groups(
    account: Account, version: str, wanted: Callable[[str], bool], chosen: str | None = None
) -> dict[str, xr.Dataset]:
    """Return the nodes by path below the session; "" has the attributes of the session.

    `wanted` is a function that tells whether to build an area. `chosen` is the name or path of the
    table of units to build; None builds all.
    """
    series, kinds = decode.find(account)
    # `/units`, the table that NWB itself defines, comes first.
    units = sorted(
        (path for path, kind in kinds.items() if kind == "units"),
        key=lambda path: (path != UNITS, path),
    )
    unit_tables = _chosen_units(account, units, chosen)
    written = read_written_tree(account)
    groups = {} if written is None else written.nodes(wanted)
    if written is not None:  # objects that were added to the file since are read as in any file
        series = [signal for signal in series if not written.is_written(signal.path)]
        kinds = {path: kind for path, kind in kinds.items() if not written.is_written(path)}
    for path in (path for path in unit_tables if path in kinds):
        with account.step(path):
            by_node = unit_nodes(account, wanted, path=path)
            prefix = "" if path == UNITS else f"{schema.node_name(path.rpartition('/')[2])}_"
            has_clash = any(node in groups for node in by_node)
            for node, rows in by_node.items():
                add_node(groups, f"{prefix}{node}" if has_clash else node, rows)
    groups = table_nodes(account, kinds, groups)
    add_nodes(groups, series_nodes(account, series, wanted))
    add_nodes(groups, picture_nodes(account))
    with account.step("units"):
        groups = with_observed(account.source, groups, series, units)
    notes = [] if any(path.endswith("/spikes") for path in groups) else ["no units with spikes"]
    attrs = session_attrs(account) if written is None else written.attrs
    notes += [] if written is None else written.notes
    attrs = attrs | {"nwb_version": version} | account.summary(notes)
    return {"": xr.Dataset(attrs=attrs)} | groups


def _chosen_units(account: Account, paths: list[str], chosen: str | None) -> list[str]:
    """Return the tables of units to build: those with the chosen name or path, or all for None.

    Raises
    ------
    NotInTree
        If no table has the name.
    """
    if chosen is None:
        return paths
    tables = [path for path in paths if chosen.strip("/") in (path, path.rpartition("/")[2])]
    if not tables:
        raise NotInTree("table of units", chosen, paths)
    for path in paths:
        if path not in tables:
            account.pass_over(path)
    return tables


def table_nodes(
    account: Account, kinds: dict[str, str], groups: dict[str, xr.Dataset]
) -> dict[str, xr.Dataset]:
    """Return `groups` with a node for each table that has times, except tables of units."""
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
    """Add a node, under another name if its name is in use."""
    add_nodes(groups, {path: node})


def add_nodes(groups: dict[str, xr.Dataset], nodes: Mapping[str, xr.Dataset]) -> None:
    """Add nodes, under other names if their names are in use.

    A node with values never gets children, because they would share its clock.
    """
    above = {parent for path in groups for parent in decode.parents(path)}
    for name, node in nodes.items():
        is_below = any(parent in groups for parent in decode.parents(name))
        base = name.replace("/", "_") if is_below else name
        path, number = name, 1
        while path in groups or path in above or any(p in groups for p in decode.parents(path)):
            number += 1
            path = f"{base}_{number}"
        groups[path] = node
        above.update(decode.parents(path))


def session_attrs(account: Account) -> dict[str, Any]:
    """Return the attributes of session and subject, as text."""
    source = account.source
    attrs: dict[str, Any] = {}
    for group in _ATTRIBUTE_GROUPS:
        with account.step(group or "/"):
            for name in source.names(group or "/"):
                path = f"{group}/{name}".strip("/")
                with account.step(path):
                    text = _text(account, path)
                    target = _RENAMED.get(name, name)
                    if group.endswith("subject") and target not in _SUBJECT:
                        target = f"subject_{name}"
                    if text is not None:
                        attrs.setdefault(printable(target), text)
    with account.step("scratch"):
        for name in source.names("scratch"):  # DRIADA stores its metadata there, as JSON
            with account.step(f"scratch/{name}"):
                info = source.info(f"scratch/{name}")
                if info is not None and info.text and info.shape == ():
                    target = printable(_RENAMED.get(name, name))
                    attrs.setdefault(target, _text(account, f"scratch/{name}"))
    return {key: value for key, value in attrs.items() if value}


def _text(account: Account, path: str) -> str | None:
    """Return a dataset as one text, with "; " between the entries of a list; None for a group."""
    info = account.source.info(path)
    if info is None or info.dtype.kind == "V" or np.prod(info.shape, dtype=object) > _MOST:
        return None
    value = account.source.read(path)
    account.take(path)
    text = printable("; ".join(str(v) for v in np.atleast_1d(value).ravel()))
    if len(text) > _LONGEST:
        account.remark(path, f"cut to {_LONGEST:,} of {len(text):,} characters")
    return text[:_LONGEST]
