"""Read time series of an NWB file: values, clock, factors and labels, without xarray.

A series whose parts cannot belong together is refused with what was expected and what was found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.source import Info, Source, plain
from neuroarrays.formats.nwb import external, vectors
from neuroarrays.formats.nwb.account import Account, printable, unreadable
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.schema.labels import FULL_TURNS

#: Small datasets beside the values of a series become attributes, up to this many values.
_SMALL = 32
#: Names of containers and series with point events, between which nothing is sampled. A group with
#: timestamps and no data is one too.
_EVENTS = re.compile(r"lick|reward|event|annotation|(^|[/_ ])(ttl|tag)s?([/_ ]|$)", re.I)
_EVENT_TYPES = {
    "AnnotationSeries",
    "IntervalSeries",
    "Events",
    "LabeledEvents",
    "TTLs",
    "BehavioralEvents",
}
#: Unit of a speed -> how many cm/s it is.
_SPEEDS = {
    "cm/s": 1.0,
    "cm/sec": 1.0,
    "centimeters per second": 1.0,
    "centimeters/second": 1.0,
    "m/s": 100.0,
    "m/sec": 100.0,
    "meters per second": 100.0,
    "meters/second": 100.0,
}
#: Names of directions, and of angles that go on after a full turn.
_DIRECTION = re.compile(r"direction|heading|azimuth|yaw", re.I)
_UNWRAPPED = re.compile(r"wheel|unwrapped|cumulative", re.I)
#: Group of the pictures that an `IndexSeries` counts.
_SHOWN = "stimulus/templates/"
#: Datasets of a series whose meaning is known; others are further values or attributes.
_KNOWN = {"data", "timestamps", "starting_time", "rois", "electrodes", "channel_conversion"}


@dataclass(frozen=True)
class Series:
    """A TimeSeries with its values, its clock and the attributes of its columns.

    `clock` is the path of the time stamps, or (start in s, rate in Hz). `transposed` tells whether time
    is the last axis of the stored values, and `is_row` whether these are one row with all samples.
    Column i is multiplied by `factors[i]`, and code i means `labels[i]`. `frames` are the values if they
    are in other files.
    """

    path: str
    data: str | None
    info: Info | None
    clock: str | tuple[float, float]
    size: int
    transposed: bool = False
    is_row: bool = False
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    factors: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    rois: str = ""
    electrodes: str = ""
    extra: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    attrs: dict[str, Any] = field(default_factory=dict)
    frames: LazyArray | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def is_event(self) -> bool:
        """Whether the samples are point events, by type or name, and have no regular rate."""
        if isinstance(self.clock, tuple) or self.is_keypoint:
            return False
        called = _EVENTS.search("/".join(self.path.split("/")[1:]))
        return self.data is None or bool(called) or bool(_EVENT_TYPES & set(self.kinds))

    @property
    def is_keypoint(self) -> bool:
        """Whether the series is the position of one body part, by the extension ndx-pose."""
        return self.data is not None and self.kinds[:1] == ("PoseEstimationSeries",)

    @property
    def is_units(self) -> bool:
        """Whether the columns are neurons, because the series refers to ROIs or by its type."""
        return bool(self.rois) or "RoiResponseSeries" in self.kinds

    @property
    def cm_per_second(self) -> float | None:
        """How many cm/s the unit of the series is; None if it is no unit of speed."""
        return _SPEEDS.get(self.unit.strip().lower())

    @property
    def period(self) -> float | None:
        """A full turn in the unit of the series if it is an angle, by unit, type and name; else None."""
        turn = FULL_TURNS.get(self.unit.strip().lower())
        if turn is None or _UNWRAPPED.search(self.path):
            return None
        is_angle = "CompassDirection" in self.kinds or _DIRECTION.search(self.path)
        return turn if is_angle else None


def read_series(
    account: Account, path: str, names: list[str], types: tuple[str, ...]
) -> Series | None:
    """Read the series of a group; None, with a reason in the account, if it has no values.

    Raises
    ------
    FormatError
        If its values and its clock cannot belong together.
    """
    source = account.source
    info = source.info(f"{path}/data") if "data" in names else None
    stamps = vectors.list_info(source, f"{path}/timestamps") if "timestamps" in names else None
    frames = external.frames_of(account, path) if _is_external(source, path, names, info) else None
    if frames is not None:
        info = Info(frames.shape, frames.dtype, None)
    if account.is_left(path):
        return None
    if reason := _without_values(info, stamps):
        account.leave(path, reason)
        return None
    if info is not None and (reason := unreadable(info)):
        account.leave(path, reason)
        return None
    if info is None and types[:1] and types[0] not in _EVENT_TYPES | {""}:
        account.remark(path, f"a {types[0]} of time stamps without values: taken for point events")
    n_rois = _length(source, f"{path}/rois") if "rois" in names else 0
    n_columns = n_rois or (_length(source, f"{path}/electrodes") if "electrodes" in names else 0)
    size, axis = _samples(source, path, info, stamps, n_columns)
    clock = _clock(account, path, stamps)
    attrs = source.attrs(f"{path}/data") if info is not None else {}
    scale, offset, unit = _scale(account, path, attrs)
    is_row = info is not None and axis == 1 and info.shape[0] == 1 and n_columns != 1
    region = _rows_of_columns(source, path, names, info)
    others = [name for name in names if name != region.rpartition("/")[2]]
    extra = _extra(account, path, others, size)
    return Series(
        path=path,
        data=None if info is None else f"{path}/{'data' if frames is None else 'external_file'}",
        info=info,
        clock=clock,
        size=size,
        transposed=axis == 1 and not is_row,
        is_row=is_row,
        unit=unit,
        scale=scale,
        offset=offset,
        factors=_factors(account, path, info, axis) if "channel_conversion" in names else (),
        labels=_labels(attrs),
        rois=f"{path}/rois" if "rois" in names else "",
        electrodes=region,
        extra=extra,
        kinds=types,
        attrs=_series_attrs(account, path, others, extra),
        frames=frames,
    )


def _is_external(source: Source, path: str, names: list[str], info: Info | None) -> bool:
    """Whether the values of a series are in files that it names."""
    stated = source.info(f"{path}/external_file") if "external_file" in names else None
    is_empty = info is None or info.shape == () or 0 in info.shape
    return is_empty and stated is not None and stated.text


def _without_values(info: Info | None, stamps: Info | None) -> str:
    """Return why a series has no values to show, or ""."""
    if info is None and stamps is None:
        return "no values"
    if info is None or (info.shape != () and 0 not in info.shape[1:]):
        return ""
    return "a single value" if info.shape == () else f"no values: shape {info.shape}"


def _samples(
    source: Source, path: str, info: Info | None, stamps: Info | None, n_columns: int
) -> tuple[int, int]:
    """Return the number of samples of a series, and the axis of its values that is time."""
    if stamps is not None and (len(stamps.shape) != 1 or stamps.dtype.kind not in "iuf"):
        raise FormatError(
            source.path,
            f"/{path}/timestamps",
            "(sample,) numbers, s",
            f"shape {stamps.shape}, {'text' if stamps.text else stamps.dtype}",
        )
    if info is None:
        assert stamps is not None, "a series has values or time stamps"
        return stamps.shape[0], 0
    shape = info.shape
    if stamps is None:
        is_turned = len(shape) == 2 and shape[0] == n_columns != shape[1]
        return (shape[1], 1) if is_turned else (shape[0], 0)
    size = stamps.shape[0]
    if shape[0] == size:
        return size, 0
    if len(shape) == 2 and shape[1] == size:
        return size, 1
    raise FormatError(
        source.path,
        f"/{path}/timestamps",
        f"{shape[0]:,} time stamps, one for each sample of data {shape}",
        f"{size:,}",
    )


def _clock(account: Account, path: str, stamps: Info | None) -> str | tuple[float, float]:
    """Return the path of the time stamps, or start in s and rate in Hz."""
    source, where = account.source, f"{path}/starting_time"
    if stamps is not None:
        account.take(f"{path}/timestamps")
        if source.info(where) is not None:
            account.leave(where, "the series has time stamps, which are used")
        return f"{path}/timestamps"
    info = source.info(where)
    if path.startswith("stimulus/templates/"):  # pictures to show have no clock of their own
        account.take(where)
        return 0.0, _number(source.attr(where, "rate")) or 0.0
    if info is None:
        target = source.link(f"{path}/timestamps")
        problem = (
            f"a link to {target}, which is not there" if target else "no time stamps and no rate"
        )
        raise FormatError(
            source.path, f"/{path}", "timestamps, or starting_time with a rate", problem
        )
    start = _number(source.read(where))
    rate = _number(source.attr(where, "rate"))
    if rate is None or rate <= 0:
        raise FormatError(
            source.path,
            f"/{where}",
            expected="a positive attribute `rate` in Hz",
            found=repr(source.attr(where, "rate")),
        )
    if start is None:
        raise FormatError(source.path, f"/{where}", "a time in s", f"{source.read(where)!r:.60}")
    account.take(where)
    return start, rate


def _number(value: Any) -> float | None:
    """Return one finite number, also from an array of one; None for anything else."""
    values = np.ravel(np.asarray(value))
    if values.size != 1 or values.dtype.kind not in "iufb" or not np.isfinite(values[0]):
        return None
    return float(values[0])


def _scale(account: Account, path: str, attrs: dict[str, Any]) -> tuple[float, float, str]:
    """Return conversion, offset and unit of the values; "" as unit if the conversion is unknown."""
    unit = attrs.get("unit")
    factors: dict[str, float] = {}
    for name, default in (("conversion", 1.0), ("offset", 0.0)):
        stated = attrs.get(name)
        number = _number(stated)
        if stated is not None and (number is None or (name == "conversion" and number == 0)):
            account.remark(
                f"{path}/data",
                f"{name} is {stated!r:.40}, which is no factor: values are as stored, without unit",
            )
            unit, number = "", None
        factors[name] = default if number is None else number
    return factors["conversion"], factors["offset"], printable(str(unit or ""))


def _factors(account: Account, path: str, info: Info | None, axis: int) -> tuple[float, ...]:
    """Return the factors of each column besides the conversion: `channel_conversion`.

    Raises
    ------
    FormatError
        If there is not one finite number for each column.
    """
    source, where = account.source, f"{path}/channel_conversion"
    if info is None:
        return ()
    values = vectors.read_list(source, where)
    n_columns = info.shape[1 - axis] if len(info.shape) == 2 else 1
    is_numbers = values.dtype.kind in "iuf" and bool(np.isfinite(values).all())
    if values.shape != (n_columns,) or not is_numbers or len(info.shape) > 2:
        raise FormatError(
            source.path,
            f"/{where}",
            f"a factor for each of {n_columns} columns",
            f"shape {values.shape}, {values.dtype}",
        )
    account.take(where)
    return tuple(values.astype(float).tolist())


def _labels(attrs: dict[str, Any]) -> tuple[str, ...]:
    """Return the labels of codes, from the attribute `labels` of the values."""
    stated = attrs.get("labels")
    stated = [stated] if isinstance(stated, str) and stated else stated
    return tuple(str(label) for label in stated) if isinstance(stated, list) else ()


def _rows_of_columns(source: Source, path: str, names: list[str], info: Info | None) -> str:
    """Return the dataset with the table rows of the columns, except for ROIs.

    Electrodes, or fibres: ndx-fiber-photometry calls it `fiber_photometry_table_region`.
    """
    if "electrodes" in names:
        return f"{path}/electrodes"
    if info is None or len(info.shape) != 2:
        return ""
    for name in names:
        region = f"{path}/{name}"
        is_other = (
            name not in _KNOWN and source.attr(region, "neurodata_type") == "DynamicTableRegion"
        )
        if is_other and _length(source, region) == info.shape[1]:
            return region
    return ""


def _length(source: Source, path: str) -> int:
    """Return the length of a dataset; 0 if it does not exist."""
    return vectors.length(source, path) or 0


def _extra(account: Account, path: str, names: list[str], size: int) -> tuple[str, ...]:
    """Return further datasets of a series with a value for each sample."""
    extra = []
    for name in names:
        with account.step(f"{path}/{name}"):
            info = account.source.info(f"{path}/{name}")
            along = name not in _KNOWN and info is not None and info.shape[:1] == (size,)
            if along and not unreadable(info):
                extra.append(name)
    return tuple(extra)


def _series_attrs(
    account: Account, path: str, names: list[str], extra: tuple[str, ...]
) -> dict[str, Any]:
    """Return further attributes of a series: its attributes, single values and short lists."""
    source = account.source
    stated = {key: str(source.attr(path, key) or "no ") for key in ("description", "comments")}
    facts: dict[str, Any] = {
        key: printable(text) for key, text in stated.items() if text.lower()[:3] != "no "
    }
    for name in set(names) - _KNOWN - set(extra):
        dataset = f"{path}/{name}"
        with account.step(dataset):
            info = source.info(dataset)
            if info is None or unreadable(info) or np.prod(info.shape, dtype=object) > _SMALL:
                continue
            value = plain(source.read(dataset))
            account.take(dataset)
            if value not in ("", []):
                facts.setdefault(name, value)
    for name in ("indexed_timeseries", "indexed_images"):
        if name in names and (target := source.link(f"{path}/{name}")):
            facts[name] = target
            if target.strip("/").startswith(_SHOWN):  # the node of the pictures in the tree
                facts["frames_of"] = (
                    f"{schema.STIMULUS}/{schema.node_name(target.rpartition('/')[2])}"
                )
    return facts
