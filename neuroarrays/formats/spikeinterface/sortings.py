"""The spikes of a sorting of spikeinterface, whichever way it was saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from neuroarrays.errors import FormatError, many, shorten
from neuroarrays.files.members import npy_records
from neuroarrays.files.probe import Probe
from neuroarrays.files.source import Source
from neuroarrays.formats.by_unit import UnitOfSpikes, by_unit
from neuroarrays.lazy.arrays import LazyArray, file_array
from neuroarrays.lazy.views import sliced


@dataclass(frozen=True)
class RowOfSpikes(UnitOfSpikes):
    """The row in the list of units of each spike of a segment.

    Attributes
    ----------
    span : tuple of int
        The first spike of the segment, and the one after its last.
    ids : tuple
        The units; where the file has numbers of rows in place of these, only their number counts.
    by_row : bool
        Whether the file has numbers of rows.
    """

    span: tuple[int, int]
    ids: tuple[Any, ...]
    by_row: bool = True

    @property
    def spikes(self) -> int:
        return self.span[1] - self.span[0]

    def stored(self) -> np.ndarray:
        labels = self.source.read(self.array, (slice(*self.span),))
        return labels if self.by_row else np.asarray(pd.Index(self.ids).get_indexer(labels))

    def sizes(self) -> np.ndarray:
        """How many spikes each unit has, (unit,) int64.

        Raises
        ------
        FormatError
            If a spike is of no unit.
        """
        rows = self.labels()
        wrong = np.flatnonzero((rows < 0) | (rows >= len(self.ids)))
        if wrong.size:
            place = self.span[0] + int(wrong[0])
            stored = self.source.read(self.array, (slice(place, place + 1),))[0]
            expected = f"one of {len(self.ids)} units ({shorten(self.ids, 6)})"
            raise FormatError(
                self.source.path, self.array, expected, f"spike {place} of {stored!r}"
            )
        return np.bincount(rows, minlength=len(self.ids)).astype(np.int64)


@dataclass(frozen=True)
class Sorting:
    """A sorting: the units, and the spikes of one segment.

    Attributes
    ----------
    ids : tuple
        Of the units, whole numbers or text.
    rate : float, Hz
        Samples per second.
    segments : int
        How many segments there are.
    samples : LazyArray
        (spike,) samples of the spikes of the segment, in the order of the file.
    rows : RowOfSpikes
        Whose they are.
    count : int
        Spikes of all segments.
    """

    ids: tuple[Any, ...]
    rate: float
    segments: int
    samples: LazyArray
    rows: RowOfSpikes
    count: int

    def of_spikes(self, values: LazyArray) -> LazyArray:
        """Values of all spikes as those of the segment, unit after unit.

        Raises
        ------
        FormatError
            If there are more or fewer than spikes.
        """
        if values.shape[0] != self.count:
            path = getattr(values, "source", self.rows.source).path
            expected = f"{self.count:,} values, one for each spike"
            raise FormatError(
                path, str(getattr(values, "name", "")), expected, f"{values.shape[0]:,}"
            )
        return by_unit(sliced(values, slice(*self.rows.span)), self.rows)


def read_sorting(place: Probe, group: str, segment: int) -> Sorting:
    """The sorting in a folder, Zarr store or NPZ file.

    Parameters
    ----------
    place : Probe
        Of it, or of the analyzer that it is in.
    group : str
        Where it lies in an analyzer, "sorting"; else "".
    segment : int
        Which segment to take.

    Raises
    ------
    MissingPath, FormatError
        If a member is missing or damaged, or two contradict each other.
    """
    if place.container == "zip":
        return _of_npz(place, segment)
    inside = place if place.container == "zarr" or not group else place.child(group)
    if place.container == "zarr":
        return _of_zarr(place, f"{group}/".lstrip("/"), segment)
    if inside.has("sorting_cached.npz"):
        return _of_npz(inside.child("sorting_cached.npz"), segment)
    info = inside.child("numpysorting_info.json").read_json()
    info = info if isinstance(info, dict) else {}
    where = inside.child("numpysorting_info.json").given
    ids = info.get("unit_ids")
    if not isinstance(ids, list):
        raise FormatError(where, "unit_ids", "a list of units", f"{ids!r:.80}")
    segments = _segments(where, info.get("num_segments"), segment)
    records = npy_records(inside.child("spikes.npy"))
    count = records.known("sample_index").shape[0]
    span = (0, count)
    if segments > 1:
        of_segments = records.read("segment_index")
        if (np.diff(of_segments) < 0).any():
            raise FormatError(
                records.path, "segment_index", "segments one after another", "another order"
            )
        first, last = np.searchsorted(of_segments, [segment, segment + 1]).tolist()
        span = first, last
    rate = _rate(where, info.get("sampling_frequency"))
    return _sorting(records, ("sample_index", "unit_index"), (ids, rate, segments), span, True)


def _of_npz(file: Probe, segment: int) -> Sorting:
    source = file.source
    stated = {name: source.read(name).ravel() for name in ("num_segment", "sampling_frequency")}
    for name, values in stated.items():
        if values.size != 1:
            raise FormatError(file.given, name, "one number", f"{values.size}")
    segments = _segments(file.given, stated["num_segment"][0], segment)
    rate = _rate(file.given, stated["sampling_frequency"][0])
    names = f"spike_indexes_seg{segment}", f"spike_labels_seg{segment}"
    units = source.read("unit_ids").tolist(), rate, segments
    return _sorting(source, names, units, (0, source.known(names[0]).shape[0]), False)


def _of_zarr(store: Probe, group: str, segment: int) -> Sorting:
    source = store.source
    attrs = source.attrs(group.strip("/") or "/")
    segments = _segments(store.given, attrs.get("num_segments"), segment)
    rate = _rate(store.given, attrs.get("sampling_frequency"))
    names = f"{group}spikes/sample_index", f"{group}spikes/unit_index"
    spans = source.read(f"{group}spikes/segment_slices")
    count = source.known(names[0]).shape[0]
    if spans.shape != (segments, 2) or (spans < 0).any() or (spans > count).any():
        where = f"{group}spikes/segment_slices"
        expected = f"({segments}, 2) numbers of spikes, from 0 to {count:,}"
        raise FormatError(store.given, where, expected, f"{spans.tolist()!r:.80}")
    first, last = spans[segment].tolist()
    units = source.read(f"{group}unit_ids").tolist(), rate, segments
    return _sorting(source, names, units, (first, max(first, last)), True)


def _sorting(
    source: Source,
    names: Sequence[str],
    units: tuple[list[Any], float, int],
    span: tuple[int, int],
    by_row: bool,
) -> Sorting:
    """A sorting from its samples and the units of these, two arrays of one length."""
    lengths = [source.known(name).shape for name in names]
    if lengths[0] != lengths[1] or len(lengths[0]) != 1:
        found = f"{lengths[0]} and {lengths[1]}"
        raise FormatError(source.path, " and ".join(names), "one length", found, "one is cut short")
    kind = source.known(names[0]).dtype
    if kind.kind not in "iuf":
        raise FormatError(source.path, names[0], "numbers of samples", f"values of type {kind}")
    ids, rate, segments = units
    if odd := [unit for unit in ids if not isinstance(unit, int | float | str)]:
        expected = "whole numbers or text"
        raise FormatError(source.path, "unit_ids", expected, f"{odd[0]!r:.80}")
    if len(set(ids)) < len(ids):
        raise FormatError(source.path, "unit_ids", "each unit once", shorten(ids))
    rows = RowOfSpikes(source, names[1], span, tuple(ids), by_row)
    samples = sliced(file_array(source, names[0]), slice(*span))
    return Sorting(tuple(ids), rate, segments, samples, rows, lengths[0][0])


def _segments(path: str, stated: Any, segment: int) -> int:
    """The number of segments, one of which is asked for."""
    if not isinstance(stated, int | np.integer) or stated < 1:
        raise FormatError(
            path, "num_segments", "a number of segments, 1 or more", f"{stated!r:.80}"
        )
    if not 0 <= segment < stated:
        msg = f"segment={segment}: expected one of {many(int(stated), 'segment')}, from 0 on"
        raise ValueError(msg)
    return int(stated)


def _rate(path: str, stated: Any) -> float:
    """Samples per second."""
    is_number = isinstance(stated, int | float | np.number) and not isinstance(stated, bool)
    if not is_number or not 0 < stated < np.inf:
        expected = "samples per second, above 0"
        raise FormatError(path, "sampling_frequency", expected, f"{stated!r:.80}")
    return float(stated)
