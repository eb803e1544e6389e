"""Find the series, clocks and tables of an NWB 2 file in one walk over the file.

Objects are recognised by a known neurodata type, or else by their shape and attributes. So dtypes of
indexes, kinds of links, extensions and missing columns do not matter. This module does not use xarray.

Source: the NWB schema 2.x (nwb-schema.readthedocs.io), and files of many labs, which differ from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb import tables, vectors
from neuroarrays.formats.nwb.account import Account, printable
from neuroarrays.formats.nwb.series import Series, read_series

#: Groups that may have time series and tables.
ROOTS = (
    "units",
    "intervals",
    "events",
    "acquisition",
    "processing",
    "stimulus",
    "analysis",
    "scratch",
)
_MAX_DEPTH = 12

#: Pattern of the name of a container or series -> its standard node.
STANDARD_NODES = (
    (re.compile(r"(^|/)running(_speed)?(/running)?(/(running_)?speed)?$", re.I), "running"),
    (re.compile(r"(^|/)(eye|pupil)_?tracking(/|$)|(^|/)pupil[^/]*$", re.I), "pupil"),
    (re.compile(r"(^|/)(compass_?direction|head_?direction)(/|$)", re.I), "head_direction"),
    (re.compile(r"(^|/)position(/|$)", re.I), "position"),
)
#: Nodes of a session that hold other nodes.
_RESERVED = (schema.PRESENTATIONS, schema.STIMULUS, schema.EVENTS)
#: Series that hold one neuron each: "cell 12", "neuron_3", "ROI7".
_ONE_NEURON = re.compile(r"^(neuron|cell|roi|unit)s?[ _-]*(\d+)$", re.I)


def clean(text: str) -> str:
    """Return a name as the name of a node."""
    return printable(schema.node_name(text))


def check_version(source: Source) -> str:
    """Return the NWB version of a file, after checking that it can be read.

    Raises
    ------
    FormatError
        If it is NWB 1 or not NWB at all.
    """
    version = str(source.attrs("/").get("nwb_version") or "")
    if not version and source.info("nwb_version") is not None:
        version = str(source.read("nwb_version"))
    if not version:
        raise FormatError(
            source.path,
            "/",
            expected="the attribute nwb_version of an NWB file",
            found=f"none; at the root there are {', '.join(source.names('/')) or 'no groups'}",
        )
    if re.search(r"(^|NWB-)[01]\.", version):
        raise FormatError(
            source.path,
            "/nwb_version",
            expected="NWB 2",
            found=f"NWB {version.removeprefix('NWB-')}",
            hint="NWB 1 has another layout; convert the file to NWB 2 first",
        )
    return version


def find(account: Account) -> tuple[list[Series], dict[str, str]]:
    """Find all series, and all tables with their kind, in one walk over the file.

    Links within the file are passed over, because their targets are found at their own paths.
    """
    series: list[Series] = []
    kinds: dict[str, str] = {}
    for root in ROOTS:
        _walk(account, root, series, kinds, ())
    return series, kinds


def _walk(
    account: Account,
    path: str,
    series: list[Series],
    kinds: dict[str, str],
    types: tuple[str, ...],
) -> None:
    """Walk through a group and the groups below it."""
    source = account.source
    with account.step(path):
        if (path not in ROOTS and source.link(path) is not None) or source.info(path) is not None:
            return
        names = source.names(path)
        if not names or account.first_name(path) != path:
            return
        account.walked(path, names)
        types = (str(source.attr(path, "neurodata_type") or ""), *types[:1])
        kind = "units" if path == "units" else tables.kind_of(account, path, names, types[0])
        if kind != "none":
            kinds[path] = kind
        elif {"data", "timestamps", "starting_time"} & set(names):
            read = read_series(account, path, names, types)
            series += [] if read is None else [read]
        elif path.count("/") < _MAX_DEPTH:
            for name in names:
                _walk(account, f"{path}/{name}", series, kinds, types)


def same_clock(source: Source, a: Series, b: Series) -> bool:
    """Whether two series have the same clock: one stored array, or equal time stamps."""
    if a.size != b.size:
        return False
    if isinstance(a.clock, tuple) or isinstance(b.clock, tuple):
        return a.clock == b.clock
    if source.identity(a.clock) == source.identity(b.clock):
        return True
    ends = np.array([0, a.size // 2, a.size - 1]) if a.size else np.array([], np.int64)
    try:
        first, second = vectors.times(source, a.clock), vectors.times(source, b.clock)
        if not np.array_equal(first.outer((ends,)), second.outer((ends,))):
            return False
        return np.array_equal(first.load(), second.load())
    except (
        FormatError
    ):  # a clock that cannot be read equals no other; reading its node raises the error
        return False


def by_node(source: Source, series: list[Series]) -> dict[str, list[Series]]:
    """Return the series that share a clock, by the path of their node below the session.

    Series of one container on one clock share a node; others get nodes below the container's.
    """
    nodes: dict[str, list[Series]] = {}
    for signal in series:
        base = _node_of(signal)
        for path in _candidates(base, signal):
            if path not in nodes:
                nodes[path] = [signal]
                break
            first = nodes[path][0]
            same_place = first.path.rpartition("/")[0] == signal.path.rpartition("/")[0]
            if same_place and same_clock(source, first, signal):
                nodes[path].append(signal)
                break
    return _without_parents(nodes)


def _node_of(series: Series) -> str:
    """Return the first choice for the node of a series: a standard node, its container, or its name."""
    location = "/".join(series.path.split("/")[1:])
    if series.is_event:
        return f"events/{clean(series.name)}"
    if series.is_keypoint:  # whatever the name of the body part is, also "pupil"
        return _free_name(series.path.split("/")[-2])
    for pattern, node in STANDARD_NODES:
        if pattern.search(location) and (node != "running" or series.cm_per_second):
            return node
    parts = series.path.split("/")
    inside = parts[2 if parts[0] in ("processing", "stimulus") else 1 :] or parts
    return _free_name(inside[-2] if len(inside) > 1 else inside[-1])


def node_of_table(path: str) -> str:
    """Return the node of a table of samples: its name, or that of the pupil."""
    name = path.rpartition("/")[2]
    return schema.PUPIL if name.lower().startswith("pupil") else _free_name(name)


def _free_name(name: str) -> str:
    """Return a name as that of a node of the session, changed if the name is a reserved one."""
    name = clean(name)
    return f"{name}_series" if name in _RESERVED else name


def _candidates(base: str, series: Series) -> Iterator[str]:
    """Return node paths to try in turn: shared, by the series' name, and with its path in the file."""
    yield base
    name = clean(series.name)
    yield f"{base}/{name}" if name != base.rpartition("/")[2] else f"{base}_2"
    yield f"{base}/{clean(series.path.replace('/', '_'))}"


def _without_parents(nodes: dict[str, list[Series]]) -> dict[str, list[Series]]:
    """Move a node that has children on other clocks to a child, so that each clock is a leaf."""
    above = {parent for path in nodes for parent in parents(path)}
    return {
        f"{path}/{clean(members[0].name)}" if path in above else path: members
        for path, members in nodes.items()
    }


def parents(path: str) -> list[str]:
    """Return the paths above a path, from the top down."""
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def neuron_number(name: str) -> int | None:
    """Return the number in the name of a series of one neuron, or None."""
    match = _ONE_NEURON.match(name)
    return int(match.group(2)) if match else None
