"""Read the spikes of a sorting that spikeinterface saved, in any of its formats."""

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
    """The unit of each spike of a segment, as its row in the list of units.

    Attributes
    ----------
    span : tuple of int
        The first spike of the segment, and the spike after its last one.
    ids : tuple
        Ids of the units.
    by_row : bool
        Whether the file has the rows of units; otherwise it has their ids.
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
        """Count the spikes of each unit, (unit,) int64.

        Raises
        ------
        FormatError
            If a spike belongs to no unit.
        """
        rows = self.labels()
        wrong = np.flatnonzero((rows < 0) | (rows >= len(self.ids)))
        if wrong.size:
            spike = self.span[0] + int(wrong[0])
            unit = self.source.read(self.array, (slice(spike, spike + 1),))[0]
            expected = f"one of {len(self.ids)} units ({shorten(self.ids, 6)})"
            raise FormatError(self.source.path, self.array, expected, f"spike {spike} of {unit!r}")
        return np.bincount(rows, minlength=len(self.ids)).astype(np.int64)


@dataclass(frozen=True)
class Sorting:
    """A sorting: its units, and the spikes of one segment.

    Attributes
    ----------
    ids : tuple
        Ids of the units, whole numbers or text.
    rate : float, Hz
        Sampling rate.
    segments : int
        Number of segments.
    samples : (spike,) LazyArray
        Sample number of each spike of the segment, in the order of the file.
    rows : RowOfSpikes
        Unit of each spike of the segment.
    count : int
        Number of spikes of all segments.
    """

    ids: tuple[Any, ...]
    rate: float
    segments: int
    samples: LazyArray
    rows: RowOfSpikes
    count: int

    def of_spikes(self, values: LazyArray) -> LazyArray:
        """Select the segment's part of values of all spikes (spike, ...), and return it unit after unit.

        Raises
        ------
        FormatError
            If there are more or fewer values than spikes.
        """
        if values.shape[0] != self.count:
            path = getattr(values, "source", self.rows.source).path
            expected = f"{self.count:,} values, one for each spike"
            raise FormatError(
                path, str(getattr(values, "name", "")), expected, f"{values.shape[0]:,}"
            )
        return by_unit(sliced(values, slice(*self.rows.span)), self.rows)


def read_sorting(probe: Probe, group: str, segment: int) -> Sorting:
    """Read the sorting in a folder, Zarr store or NPZ file.

    Parameters
    ----------
    probe : Probe
        Path of the sorting, or of the analyzer that contains it.
    group : str
        Group of the sorting in an analyzer, "sorting"; "" for a sorting alone.
    segment : int
        Number of the segment to read.

    Raises
    ------
    MissingPath, FormatError
        If a member is missing or damaged, or two members contradict each other.
    """
    if probe.container == "zip":
        return _of_npz(probe, segment)
    if probe.container == "zarr":
        return _of_zarr(probe, f"{group}/".lstrip("/"), segment)
    folder = probe.child(group) if group else probe
    if folder.has("sorting_cached.npz"):
        return _of_npz(folder.child("sorting_cached.npz"), segment)
    info_file = folder.child("numpysorting_info.json")
    info = info_file.read_json()
    info = info if isinstance(info, dict) else {}
    where = info_file.as_given
    ids = info.get("unit_ids")
    if not isinstance(ids, list):
        raise FormatError(where, "unit_ids", "a list of units", f"{ids!r:.80}")
    segments = _segments(where, info.get("num_segments"), segment)
    records = npy_records(folder.child("spikes.npy"))
    span = (0, records.known("sample_index").shape[0])
    if segments > 1:
        segment_of = records.read("segment_index")
        if (np.diff(segment_of) < 0).any():
            raise FormatError(
                records.path, "segment_index", "segments one after another", "another order"
            )
        first, last = np.searchsorted(segment_of, [segment, segment + 1]).tolist()
        span = first, last
    rate = _rate(where, info.get("sampling_frequency"))
    return _sorting(records, ("sample_index", "unit_index"), (ids, rate, segments), span, True)


def _of_npz(file: Probe, segment: int) -> Sorting:
    """Read a sorting from an NPZ file."""
    source = file.source
    stated = {name: source.read(name).ravel() for name in ("num_segment", "sampling_frequency")}
    for name, values in stated.items():
        if values.size != 1:
            raise FormatError(file.as_given, name, "one number", f"{values.size}")
    segments = _segments(file.as_given, stated["num_segment"][0], segment)
    rate = _rate(file.as_given, stated["sampling_frequency"][0])
    names = f"spike_indexes_seg{segment}", f"spike_labels_seg{segment}"
    units = source.read("unit_ids").tolist(), rate, segments
    return _sorting(source, names, units, (0, source.known(names[0]).shape[0]), False)


def _of_zarr(store: Probe, group: str, segment: int) -> Sorting:
    """Read a sorting from a group of a Zarr store."""
    source = store.source
    attrs = source.attrs(group.strip("/") or "/")
    segments = _segments(store.as_given, attrs.get("num_segments"), segment)
    rate = _rate(store.as_given, attrs.get("sampling_frequency"))
    names = f"{group}spikes/sample_index", f"{group}spikes/unit_index"
    spans = source.read(f"{group}spikes/segment_slices")
    count = source.known(names[0]).shape[0]
    if spans.shape != (segments, 2) or (spans < 0).any() or (spans > count).any():
        where = f"{group}spikes/segment_slices"
        expected = f"({segments}, 2) numbers of spikes, from 0 to {count:,}"
        raise FormatError(store.as_given, where, expected, f"{spans.tolist()!r:.80}")
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
    """Make a sorting of two arrays of one length: the samples of spikes, and their units.

    `units` are the ids of the units, the sampling rate in Hz, and the number of segments.
    """
    samples_shape, units_shape = (source.known(name).shape for name in names)
    if samples_shape != units_shape or len(samples_shape) != 1:
        where, lengths = " and ".join(names), f"{samples_shape} and {units_shape}"
        raise FormatError(source.path, where, "one length", lengths, "one is cut short")
    dtype = source.known(names[0]).dtype
    if dtype.kind not in "iuf":
        raise FormatError(source.path, names[0], "numbers of samples", f"values of type {dtype}")
    ids, rate, segments = units
    if wrong := [unit for unit in ids if not isinstance(unit, int | float | str)]:
        expected = "whole numbers or text"
        raise FormatError(source.path, "unit_ids", expected, f"{wrong[0]!r:.80}")
    if len(set(ids)) < len(ids):
        raise FormatError(source.path, "unit_ids", "each unit once", shorten(ids))
    rows = RowOfSpikes(source, names[1], span, tuple(ids), by_row)
    samples = sliced(file_array(source, names[0]), slice(*span))
    return Sorting(tuple(ids), rate, segments, samples, rows, samples_shape[0])


def _segments(path: str, stated: Any, segment: int) -> int:
    """Return the number of segments in a file, after checking that `segment` is one of them."""
    if not isinstance(stated, int | np.integer) or stated < 1:
        raise FormatError(
            path, "num_segments", "a number of segments, 1 or more", f"{stated!r:.80}"
        )
    if not 0 <= segment < stated:
        msg = f"segment={segment}: expected one of {many(int(stated), 'segment')}, from 0 on"
        raise ValueError(msg)
    return int(stated)


def _rate(path: str, stated: Any) -> float:
    """Return the sampling rate in a file, Hz, after checking it."""
    is_number = isinstance(stated, int | float | np.number) and not isinstance(stated, bool)
    if not is_number or not 0 < stated < np.inf:
        expected = "samples per second, above 0"
        raise FormatError(path, "sampling_frequency", expected, f"{stated!r:.80}")
    return float(stated)
