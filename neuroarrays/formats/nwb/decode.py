"""What stands where in an NWB 2 file: series, clocks, interval tables, units and their areas.

Found by path, shape and attribute, never through neurodata types, so index dtypes, kinds of
links, extensions and missing columns do not matter. No xarray here.

Source: the NWB schema 2.x (nwb-schema.readthedocs.io) and files of many labs, which differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files.source import Info, Source

#: Where time series may stand.
ROOTS = ("acquisition", "processing", "stimulus/presentation", "analysis")
_INTERVALS = "intervals"
ELECTRODES = "general/extracellular_ephys/electrodes"
_MAX_DEPTH = 8

#: Names of containers and series that have a standard node: pattern, node.
STANDARD_NODES = (
    (re.compile(r"(^|/)running(_speed)?(/running)?(/(running_)?speed)?$", re.I), "running"),
    (re.compile(r"(^|/)(eye|pupil)_?tracking(/|$)|(^|/)pupil[^/]*$", re.I), "pupil"),
    (re.compile(r"(^|/)(compass_?direction|head_?direction)(/|$)", re.I), "head_direction"),
    (re.compile(r"(^|/)position(/|$)", re.I), "position"),
)
#: Point events: nothing is sampled between them. A container or series of such a name, or a group
#: with timestamps and no data.
_EVENTS = re.compile(r"lick|reward|event|annotation|(^|[/_ ])(ttl|tag)s?([/_ ]|$)", re.I)
#: Series that hold one neuron each: "cell 12", "neuron_3", "ROI7".
_ONE_NEURON = re.compile(r"^(neuron|cell|roi|unit)s?[ _-]*(\d+)$", re.I)
#: Unit columns that name the area, tried after the electrodes.
_AREA_COLUMNS = ("location", "brain_area", "area", "brain_region", "structure_acronym")
_NO_AREA = {"", "none", "n/a", "na", "nan", "unknown", "unspecified", "null"}
_REGION_KEY = re.compile(r"(?:brain_region|region|brain_area|area)\s*:\s*([^;,]+)", re.I)


@dataclass(frozen=True)
class Series:
    """A TimeSeries: its values, its clock and what is known of its columns.

    `clock` is the name of a timestamps array, or (start, rate), or None when the file gives
    neither. `transposed` says that time is the last axis of the stored values.
    """

    path: str
    data: str | None
    info: Info | None
    clock: str | tuple[float, float] | None
    size: int
    transposed: bool = False
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    rois: str = ""
    electrodes: str = ""
    extra: tuple[str, ...] = ()
    attrs: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def is_event(self) -> bool:
        """Whether its samples are point events: called so, and not taken at a rate."""
        called = _EVENTS.search("/".join(self.path.split("/")[1:]))
        return self.data is None or (bool(called) and not isinstance(self.clock, tuple))


def check_version(source: Source) -> str:
    """The NWB version of a file.

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


def find(source: Source) -> tuple[list[Series], list[str], list[str]]:
    """Series, interval tables and what is left out, in one walk over the file."""
    series: list[Series] = []
    tables = [f"{_INTERVALS}/{name}" for name in source.names(_INTERVALS)]
    tables = [t for t in tables if source.info(f"{t}/start_time")]
    left_out: list[str] = []
    for root in ROOTS:
        _walk(source, root, series, tables, left_out, 0)
    return series, tables, left_out


def _walk(
    source: Source,
    path: str,
    series: list[Series],
    tables: list[str],
    left_out: list[str],
    depth: int,
) -> None:
    names = source.names(path)
    if "start_time" in names and "stop_time" in names:
        tables.append(path)
    elif {"data", "timestamps", "starting_time"} & set(names):
        found = read_series(source, path, names)
        if found is None:
            left_out.append(f"{path} (no values)")
        else:
            series.append(found)
    elif "id" in names and source.info(f"{path}/id"):
        left_out.append(f"{path} (a table without times)")
    elif depth < _MAX_DEPTH:
        for name in names:
            _walk(source, f"{path}/{name}", series, tables, left_out, depth + 1)


def read_series(source: Source, path: str, names: list[str]) -> Series | None:
    """The series at a group, or None if it holds no values (external files, empty data)."""
    info = source.info(f"{path}/data") if "data" in names else None
    stamps = source.info(f"{path}/timestamps") if "timestamps" in names else None
    if info is None and stamps is None:
        return None
    if info is not None and (info.shape == () or 0 in info.shape[1:] or info.dtype.kind in "Vc"):
        return None
    attrs = source.attrs(path)
    data_attrs = source.attrs(f"{path}/data") if info else {}
    rois = f"{path}/rois" if "rois" in names else ""
    clock: str | tuple[float, float] | None = None
    if stamps is not None:
        clock = f"{path}/timestamps"
    elif "starting_time" in names:
        start, rate = source.read(f"{path}/starting_time"), _rate(source, path)
        clock = (float(start), rate)
    transposed = info is not None and _is_transposed(source, info, stamps, rois)
    size = stamps.shape[0] if stamps else info.shape[-1 if transposed else 0]  # type: ignore[union-attr]
    known = {"data", "timestamps", "starting_time", "rois", "electrodes", "control"}
    extra = tuple(
        name
        for name in names
        if name not in known and (i := source.info(f"{path}/{name}")) and i.shape[:1] == (size,)
    )
    return Series(
        path=path,
        data=f"{path}/data" if info else None,
        info=info,
        clock=clock,
        size=size,
        transposed=transposed,
        unit=str(data_attrs.get("unit") or ""),
        scale=_number(data_attrs.get("conversion"), 1.0),
        offset=_number(data_attrs.get("offset"), 0.0),
        rois=rois,
        electrodes=f"{path}/electrodes" if "electrodes" in names else "",
        extra=extra,
        attrs={
            key: attrs[key]
            for key in ("description", "comments")
            if str(attrs.get(key) or "no ").lower()[:3] != "no "
        },
    )


def _number(value: Any, default: float) -> float:
    """A scale or offset from an attribute; the default where it is missing or no number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return default
    return number if np.isfinite(number) else default


def _rate(source: Source, path: str) -> float:
    rate = _number(source.attrs(f"{path}/starting_time").get("rate"), 0.0)
    if rate <= 0:
        raise FormatError(
            source.path,
            f"{path}/starting_time",
            expected="a positive attribute `rate` in Hz",
            found=repr(source.attrs(f"{path}/starting_time").get("rate")),
        )
    return rate


def _is_transposed(source: Source, info: Info, stamps: Info | None, rois: str) -> bool:
    """Whether the values are (ROI, time): against the schema, and common in real files."""
    if len(info.shape) != 2 or info.shape[0] == info.shape[1]:
        return False
    if stamps is not None:
        return info.shape[1] == stamps.shape[0] != info.shape[0]
    n_rois = source.info(rois).shape[0] if rois and source.info(rois) else 0  # type: ignore[union-attr]
    return info.shape[0] == n_rois != info.shape[1]


def same_clock(source: Source, a: Series, b: Series) -> bool:
    """Whether two series are on one clock: one stored array, or equal time stamps."""
    if a.size != b.size or a.clock is None or b.clock is None:
        return False
    if isinstance(a.clock, tuple) or isinstance(b.clock, tuple):
        return a.clock == b.clock
    if source.identity(a.clock) == source.identity(b.clock):
        return True
    ends = np.array([0, a.size // 2, a.size - 1]) if a.size else np.array([], np.int64)
    if not np.array_equal(source.read(a.clock, (ends,)), source.read(b.clock, (ends,))):
        return False
    return np.array_equal(source.read(a.clock), source.read(b.clock))


def by_node(source: Source, series: list[Series]) -> dict[str, list[Series]]:
    """Node path below the session -> the series that share its clock.

    Series of one container on one clock share a node; others get nodes below the container's.
    """
    nodes: dict[str, list[Series]] = {}
    for one in series:
        base = _node_of(one)
        for path in _candidates(base, one):
            if path not in nodes:
                nodes[path] = [one]
                break
            first = nodes[path][0]
            same_place = first.path.rpartition("/")[0] == one.path.rpartition("/")[0]
            if same_place and same_clock(source, first, one):
                nodes[path].append(one)
                break
    return _without_parents(nodes)


def _node_of(one: Series) -> str:
    """The node a series asks for: a standard one, its container's, or its own name."""
    place = "/".join(one.path.split("/")[1:])
    if one.is_event:
        return f"events/{_clean(one.name)}"
    for pattern, node in STANDARD_NODES:
        if pattern.search(place) and (node != "running" or one.unit in ("cm/s", "m/s")):
            return node
    parts = one.path.split("/")
    depth = 2 if parts[0] == "processing" else 1 if parts[0] != "stimulus" else 2
    inside = parts[depth:]
    return _clean(inside[-2]) if len(inside) > 1 else _clean(inside[-1])


def _candidates(base: str, one: Series) -> Iterator[str]:
    """Node paths to try in turn: shared, then one of its own, then with the place in the file."""
    yield base
    own = _clean(one.name)
    yield f"{base}/{own}" if own != base.rpartition("/")[2] else f"{base}_2"
    yield f"{base}/{_clean(one.path.replace('/', '_'))}"


def _without_parents(nodes: dict[str, list[Series]]) -> dict[str, list[Series]]:
    """A node with children of other clocks moves to a child: each clock is a leaf of its own."""
    out = {}
    for path, members in nodes.items():
        is_parent = any(other.startswith(path + "/") for other in nodes)
        out[f"{path}/{_clean(members[0].name)}" if is_parent else path] = members
    return out


def _clean(text: str) -> str:
    return re.sub(r"[/\\\x00]+", "_", text).strip(". ") or "unnamed"


def neuron_number(name: str) -> int | None:
    """The number in the name of a series of one neuron, or None."""
    match = _ONE_NEURON.match(name)
    return int(match.group(2)) if match else None


# ---------------------------------------------------------------------------------------- units


def ragged_bounds(source: Source, column: str) -> tuple[np.ndarray, np.ndarray]:
    """First and one-past-last row of each table row in a ragged column.

    Raises
    ------
    FormatError
        If the index decreases or points past the column's end.
    """
    ends = source.read(f"{column}_index").astype(np.int64)  # widened: uint8 would wrap
    starts = np.concatenate([[0], ends[:-1]]) if ends.size else ends
    size = source.info(column).shape[0]  # type: ignore[union-attr]
    if ends.size and ((ends < starts).any() or ends[-1] > size or ends[0] < 0):
        raise FormatError(
            source.path,
            f"/{column}_index",
            expected=f"row ends that grow up to at most {size}",
            found=f"values from {ends.min()} to {ends.max()}",
        )
    return starts, ends


def unit_areas(source: Source, n_units: int) -> np.ndarray:
    """The area of every unit: (n_units,) str, "unknown" where the file does not say."""
    columns = set(source.names("units"))
    for read in (_areas_by_electrodes, _areas_by_peak_channel, _areas_by_column, _areas_by_group):
        labels = read(source, columns)
        if labels is not None and len(labels) == n_units:
            short = {label: area_name(label) for label in set(labels)}
            return np.array([short[label] for label in labels], object)
    return np.full(n_units, "unknown", object)


def _locations(source: Source) -> np.ndarray | None:
    name = f"{ELECTRODES}/location"
    return source.read(name) if source.info(name) else None


def _areas_by_electrodes(source: Source, columns: set[str]) -> list[str] | None:
    locations = _locations(source)
    if locations is None or "electrodes" not in columns:
        return None
    rows = source.read("units/electrodes")
    if rows.dtype == object:  # region references: an array of rows for each unit
        first = [int(r[0]) if np.size(r) else -1 for r in rows]
    elif "electrodes_index" in columns:
        starts, ends = ragged_bounds(source, "units/electrodes")
        first = [int(rows[s]) if e > s else -1 for s, e in zip(starts, ends, strict=True)]
    else:
        first = [int(row) for row in rows]
    return [str(locations[row]) if 0 <= row < len(locations) else "" for row in first]


def _areas_by_peak_channel(source: Source, columns: set[str]) -> list[str] | None:
    locations = _locations(source)
    if locations is None or "peak_channel_id" not in columns:
        return None
    ids = source.read(f"{ELECTRODES}/id").tolist()
    area = dict(zip(ids, locations, strict=True))
    return [str(area.get(int(c), "")) for c in source.read("units/peak_channel_id")]


def _areas_by_column(source: Source, columns: set[str]) -> list[str] | None:
    for name in _AREA_COLUMNS:
        info = source.info(f"units/{name}") if name in columns else None
        if info is not None and info.text:
            return [str(label) for label in source.read(f"units/{name}")]
    return None


def _areas_by_group(source: Source, columns: set[str]) -> list[str] | None:
    if "electrode_group" not in columns:
        return None
    groups = source.read("units/electrode_group")
    return [str(source.attrs(str(group)).get("location") or "") for group in groups]


def area_name(label: str) -> str:
    """The short name of an area, fit for a node: "brain_region: ALM; layer: 5" gives "ALM"."""
    match = _REGION_KEY.search(label)
    name = (match.group(1) if match else label).strip()
    return "unknown" if name.lower() in _NO_AREA else _clean(name)
