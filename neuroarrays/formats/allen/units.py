"""Units of an Allen session: their positions, the filters that they pass, and their order.

The `peak_channel_id` of a unit is the id of an electrode, not the number of its row; the structure of that
electrode is the area of the unit. The results are those of AllenSDK's `session.units` for the files of
June 2020 (DANDI 000021 and 000022), but AllenSDK itself is not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, NotInTree, option
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb import vectors
from neuroarrays.formats.nwb.units import ELECTRODES

#: Values of `location` for a channel outside the brain. "grey" is not one: it is unlabelled grey matter.
_OUTSIDE = {"", "none", "null", "nan"}
#: Thresholds of Visual Coding. Visual Behavior has none.
DEFAULTS: dict[str, Any] = {
    "quality": "good",
    "valid_channels": True,
    "structures_only": True,
    "amplitude_cutoff": 0.1,
    "presence_ratio": 0.95,
    "isi_violations": 0.5,
}
#: The qualities of units in files of Visual Coding.
_QUALITIES = ("good", "noise")
#: Coordinates in the Allen common coordinate framework -> columns of the electrodes.
CCF = {
    "anterior_posterior_ccf_coordinate": "x",
    "dorsal_ventral_ccf_coordinate": "y",
    "left_right_ccf_coordinate": "z",
}
#: Columns of a channel by which units are sorted; the last one is the most important.
_ON_PROBE = ("probe_horizontal_position", "probe_vertical_position")
#: Filter -> whether a value must be at most (-1) or at least (+1) the threshold. NaN fails.
_SIDE = {"amplitude_cutoff": -1, "presence_ratio": 1, "isi_violations": -1}


@dataclass(frozen=True)
class Units:
    """The units of a session that the tree has.

    Attributes
    ----------
    labels : (unit,) object
        Structure of each row of the unit table; "unknown" outside the brain.
    order : (n,) int64
        Rows of the units that pass all filters, sorted by probe and then from its tip upwards, as in
        AllenSDK.
    columns : dict of (unit_id,) variables
        Probe and position (um) of the peak channel, for each row of the unit table.
    notes : list of str
        How many units each filter left out.
    attrs : dict
        Attributes of the session: ``probe_count``, ``channel_count`` (valid channels), and
        ``structures`` of these channels, joined by ", ", with "nan" for channels outside the brain.
    """

    labels: np.ndarray
    order: np.ndarray
    columns: dict[str, xr.Variable]
    notes: list[str]
    attrs: dict[str, Any]


def read_units(source: Source, filters: dict[str, Any]) -> Units:
    """Read the units of a session.

    Parameters
    ----------
    source : Source
        The source of the file.
    filters : dict
        Thresholds by name, as in `DEFAULTS`; None or False for a filter that is not used.

    Raises
    ------
    FormatError
        If units and electrodes do not belong together.
    """
    channel = _channels(source)
    ids = vectors.read_list(source, "units/peak_channel_id")
    row_of = {int(channel_id): row for row, channel_id in enumerate(channel["id"].tolist())}
    rows = np.array([row_of.get(int(channel_id), -1) for channel_id in ids], np.int64)
    columns = {name: _of_units(values, rows) for name, values in channel.items() if name != "id"}
    inside = np.array(
        [channel_id.strip().lower() not in _OUTSIDE for channel_id in columns["structure"]], bool
    )
    labels = np.full(ids.size, schema.UNKNOWN_AREA, object)
    labels[inside] = [schema.node_name(channel_id) for channel_id in columns["structure"][inside]]
    keep, notes = _passing(source, filters, inside, columns["valid_data"].astype(bool))
    across_then_up = [columns[name] for name in _ON_PROBE if name in columns]
    order = np.lexsort([*across_then_up, columns["probe"].astype(str)])
    if (rows < 0).any():
        notes.append(f"units: {int((rows < 0).sum())} have a peak channel that is not in the file")
    labelled = _as_labels(columns, ids.size)
    return Units(labels, order[keep[order]], labelled, notes, _counts(channel))


def check_filters(source: Source, filters: dict[str, Any]) -> None:
    """Check the thresholds of filters, and that a unit has the wanted quality.

    Parameters
    ----------
    source : Source
        The source of the file.
    filters : dict
        Thresholds by name, as for `read_units`.

    Raises
    ------
    ValueError
        If a threshold is not a number, or a filter that is True or False is something else.
    NotInTree
        If no unit has the quality.
    """
    for name in _SIDE:
        wanted = filters[name]
        number = isinstance(wanted, int | float | np.number) and not np.isnan(wanted)
        if wanted is not None and not number:
            msg = f"{option(name, wanted)}: expected a number, or None for no filter"
            raise ValueError(msg)
    for name in ("valid_channels", "structures_only"):
        if filters[name] not in (True, False, None):
            msg = f"{option(name, filters[name])}: expected True, False or None"
            raise ValueError(msg)
    quality = filters["quality"]
    if quality not in (None, *_QUALITIES) and source.info("units/quality") is not None:
        known = sorted({str(name) for name in source.read("units/quality")} | set(_QUALITIES))
        if quality not in known:
            raise NotInTree("quality of units", quality, known, "None is no filter")


def _of_units(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the value of the channel of each unit; a unit without a channel has NaN, "" or False.

    Integers become float64 if a unit has no channel, and keep their dtype otherwise.
    """
    of_units: np.ndarray = values[rows]
    missing = rows < 0
    if missing.any():
        if of_units.dtype.kind in "iu":
            of_units = of_units.astype(float)
        of_units[missing] = {"O": "", "b": False}.get(of_units.dtype.kind, np.nan)
    return of_units


def _counts(channel: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return attributes of a session with the numbers of its probes and channels."""
    sound = channel["valid_data"].astype(bool)
    names = (str(name).strip() for name in channel["structure"][sound])
    names = ("nan" if name.lower() in _OUTSIDE else name for name in names)
    return {
        "probe_count": len(set(channel["probe"].tolist())),
        "channel_count": int(sound.sum()),
        "structures": ", ".join(dict.fromkeys(names)),
    }


def check_electrodes(source: Source) -> None:
    """Raise an error if the electrodes of a file have no structures.

    Raises
    ------
    FormatError
        If the file is older than June 2020, or of another kind.
    """
    names = source.names(ELECTRODES)
    if "location" not in names:
        old = any(name.startswith("manual_structure") for name in names)
        raise FormatError(
            source.path,
            f"/{ELECTRODES}",
            expected="the column `location` with the structure of each channel",
            found="the columns of a file from before June 2020" if old else ", ".join(names),
            hint="download the session again: DANDI 000021 or 000022, or AllenSDK's cache",
        )


def _column(source: Source, path: str, size: int) -> np.ndarray:
    """Return a column of a table, (size,).

    Raises
    ------
    FormatError
        If it has another number of values.
    """
    values = vectors.read_list(source, path)
    if values.shape != (size,):
        raise FormatError(source.path, f"/{path}", f"{size} rows", f"shape {values.shape}")
    return values


def _channels(source: Source) -> dict[str, np.ndarray]:
    """Return the columns of the electrodes, with a value per channel."""
    names = source.names(ELECTRODES)
    ids = vectors.read_list(source, f"{ELECTRODES}/id")
    size = ids.size

    def column(name: str, default: Any) -> np.ndarray:
        is_there = name in names
        return _column(source, f"{ELECTRODES}/{name}", size) if is_there else np.full(size, default)

    return {
        "id": ids,
        "structure": column("location", default="").astype(object),
        "probe": column("group_name", default="").astype(object),
        "valid_data": column("valid_data", default=True),
    } | _places(source, names, size)


def _places(source: Source, names: list[str], size: int) -> dict[str, np.ndarray]:
    """Return the position of each channel on its probe and in the brain, as far as the file has it.

    These are the number of the channel, the id of its probe, and positions in um. A coordinate of -1 in
    the file means a channel outside the brain, and becomes NaN.
    """
    number = "local_index" if "local_index" in names else "probe_channel_number"
    stored = {name: name for name in (*_ON_PROBE, "probe_id")} | {"channel": number}
    columns = {
        name: _column(source, f"{ELECTRODES}/{column}", size)
        for name, column in stored.items()
        if column in names
    }
    for name, axis in CCF.items():
        if axis in names:
            at = _column(source, f"{ELECTRODES}/{axis}", size).astype(float)
            columns[name] = np.where(at < 0, np.nan, at)
    return columns


def _passing(
    source: Source, filters: dict[str, Any], inside: np.ndarray, valid: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Return which units pass all filters, and how many units each filter left out of the remaining ones."""
    keep = np.ones(inside.size, bool)
    dropped: list[str] = []
    notes: list[str] = []
    for name, wanted in filters.items():
        if wanted is None or wanted is False:
            continue
        passes: np.ndarray
        if name == "valid_channels":
            passes = valid
        elif name == "structures_only":
            passes = inside
        elif source.info(f"units/{name}") is None:
            notes.append(f"units: the file has no {name}; that filter was not applied")
            continue
        elif name == "quality":
            passes = _column(source, "units/quality", inside.size) == wanted
        else:
            side = _SIDE[name]
            values = _column(source, f"units/{name}", inside.size)
            passes = side * values >= side * float(wanted)
        count = int((keep & ~passes).sum())
        if count:
            value = "" if wanted is True else f"={wanted}"
            dropped.append(f"{count} by {name}{value}")
        keep &= passes
    notes.insert(
        0,
        f"units: {int(keep.sum())} of {keep.size} in the file"
        + (f"; dropped {', '.join(dropped)}" if dropped else ""),
    )
    return keep, notes


def _as_labels(columns: dict[str, np.ndarray], size: int) -> dict[str, xr.Variable]:
    """Return columns along unit_id, with positions in micrometres."""
    if not size:
        return {}
    attrs = {
        "probe_vertical_position": {"units": "um", "description": "along the probe, from the tip"},
        "probe_horizontal_position": {"units": "um", "description": "across the probe"},
        "channel": {"description": "number of the peak channel on its probe"},
    }
    attrs |= {
        name: {"units": "um", "description": "in the common coordinate framework"} for name in CCF
    }
    names = ("probe", "probe_vertical_position", "probe_horizontal_position", "channel")
    return {
        name: xr.Variable(schema.UNIT, columns[name], attrs.get(name))
        for name in (*names, "probe_id", *CCF)
        if name in columns
    }
