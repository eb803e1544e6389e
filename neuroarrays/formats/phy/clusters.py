"""The clusters of a sorting and the channels of its units, which are computed when they are indexed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.probe import Probe
from neuroarrays.formats.by_unit import UnitOfSpikes, counted
from neuroarrays.formats.clocks import seconds
from neuroarrays.formats.npy import npy
from neuroarrays.formats.phy.texts import Params
from neuroarrays.lazy.arrays import LazyArray, cached, exact_token
from neuroarrays.lazy.computed import Computed, as_dtype
from neuroarrays.lazy.views import InMemory, Taken

TIMES = "spike_times.npy"


@dataclass(frozen=True)
class Clusters(UnitOfSpikes):
    """The cluster of each spike, and further values of each spike in the folder."""

    def values(self, file: Probe) -> LazyArray:
        """Return the array of an npy file with a number for each spike, (spike,) in order of the file.

        Raises
        ------
        FormatError
            If the file has more or fewer numbers.
        """
        array = npy(file, 1)
        if array.shape[0] != self.spikes:
            raise FormatError(
                file.as_given,
                "",
                f"{self.spikes:,} values, one for each spike of {self.array}.npy",
                f"{array.shape[0]:,}",
                "the files are of two sortings, or one is cut short",
            )
        return array


@dataclass(frozen=True)
class Templates:
    """The templates (mean waveforms) of a sorting, and the template of each spike.

    Attributes
    ----------
    clusters : Clusters
        The cluster of each spike.
    of_spikes : (spike,) LazyArray
        The template of each spike.
    waveforms : (template, sample, channel) LazyArray
        Waveforms in any unit, whitened if `unwhiten` is given.
    channels : (template, channel) LazyArray or None
        Rows of the channels of each waveform; None if waveforms have all channels.
    unwhiten : (channel, channel) LazyArray or None
        Matrix without unit that undoes the whitening; None if waveforms are not whitened.
    """

    clusters: Clusters
    of_spikes: LazyArray
    waveforms: LazyArray
    channels: LazyArray | None
    unwhiten: LazyArray | None

    def peaks(self) -> np.ndarray:
        """Return the channel with the largest waveform of each unit: (unit,) int64.

        The waveform of a unit is the template of most of its spikes.

        Raises
        ------
        FormatError
            If the template of a spike, or the channel of a template, does not exist.
        """
        parts = self.of_spikes, self.waveforms, self.channels, self.unwhiten
        token = "peak channels", self.clusters.source, *map(exact_token, parts)
        return cached(token, lambda: (self._peaks(),))[0]

    def _peaks(self) -> np.ndarray:
        """Compute the channels that `peaks` returns."""
        count = self.waveforms.shape[0]
        numbers = self.of_spikes.load().astype(np.int64)
        wrong = numbers[(numbers < 0) | (numbers >= count)]
        if wrong.size:
            raise self._error(f"templates from 0 to {count - 1}", f"a spike of template {wrong[0]}")
        labels = self.clusters.labels()
        ids, _ = counted(labels)
        pairs, spikes = counted(np.searchsorted(ids, labels) * count + numbers)
        best = np.zeros(ids.size, np.int64)
        largest = np.zeros(ids.size, np.int64)
        for unit, template, size in zip(pairs // count, pairs % count, spikes, strict=True):
            if size > largest[unit]:
                best[unit], largest[unit] = template, size
        unwhiten = None
        if self.unwhiten is not None:
            # Matrices of the same dtype multiply fast; Kilosort writes waveforms as float32.
            unwhiten = self.unwhiten.load().astype(np.result_type(self.waveforms.dtype, np.float32))
        distinct, which = np.unique(best, return_inverse=True)
        peaks = [self._peak(int(template), unwhiten) for template in distinct]
        return np.array(peaks, np.int64)[which.ravel()] if peaks else best

    def _peak(self, template: int, unwhiten: np.ndarray | None) -> int:
        """Return the channel of a template with the largest peak-to-peak amplitude, or -1 if unknown."""
        waveform = self.waveforms.outer((template, slice(None), slice(None)))
        rows = np.arange(waveform.shape[1])
        if self.channels is not None:  # padded with -1, or with the number of channels
            rows = self.channels.outer((template, slice(None))).astype(np.int64)
        is_channel = rows >= 0
        if unwhiten is not None:
            total = unwhiten.shape[0]
            largest = total if self.channels is not None else total - 1
            if rows.size and rows.max() > largest:
                expected = f"{total} channels, as in whitening_mat_inv.npy"
                raise self._error(expected, f"the channel in row {rows.max()}")
            is_channel &= rows < total
        waveform, rows = waveform[:, is_channel], rows[is_channel]
        if unwhiten is not None:
            waveform = waveform @ unwhiten[np.ix_(rows, rows)]
        if not waveform.size or not np.isfinite(waveform).all():
            return -1
        return int(rows[np.ptp(waveform, axis=0).argmax()])

    def _error(self, expected: str, value: str) -> FormatError:
        """Return an error about templates.npy."""
        folder = self.clusters.source.location.parent.path
        return FormatError(folder, "templates.npy", expected, value)


def _at_peaks(units: np.ndarray, values: LazyArray, templates: Templates) -> np.ndarray:
    """Return values of channels, (channel,), at the peak channel of each unit: (unit,).

    A unit whose template has no finite values gets NaN, or -1 for whole numbers.
    """
    peaks = templates.peaks()[units]
    by_channel = values.load()
    if peaks.size and peaks.max() >= by_channel.size:
        folder = templates.clusters.source.location.parent.path
        row = f"a template on the channel in row {peaks.max()}"
        raise FormatError(folder, "channel_*.npy", f"{by_channel.size} channels", row)
    unknown = np.nan if by_channel.dtype.kind == "f" else -1
    # The added last value is that of peak -1.
    padded = np.append(by_channel, np.array([unknown], by_channel.dtype))
    return np.asarray(padded[peaks])


def labels_of_peaks(folder: Probe, clusters: Clusters, units: int) -> dict[str, xr.Variable]:
    """Return the peak channel of each unit and its position in um as lazy labels, (unit,) each."""
    if not (folder.has("templates.npy") and folder.has("spike_templates.npy")):
        return {}
    optional = {
        name: npy(folder.child(f"{name}.npy"), axes) if folder.has(f"{name}.npy") else None
        for name, axes in {"templates_ind": 2, "template_ind": 2, "whitening_mat_inv": 2,
                           "channel_map": 1, "channel_positions": 2, "channel_shanks": 1}.items()
    }  # fmt: skip
    waveforms = npy(folder.child("templates.npy"), 3)
    channels = optional["templates_ind"]
    if channels is None:
        channels = optional["template_ind"]  # the name that spikeinterface uses
    numbers = optional["channel_map"]
    if channels is None and numbers is not None and numbers.shape[0] != waveforms.shape[2]:
        expected = f"templates of {numbers.shape[0]} channels, as channel_map.npy has, or templates_ind.npy"
        raise FormatError(
            folder.as_given, "templates.npy", expected, f"{waveforms.shape[2]} channels"
        )
    templates = Templates(
        clusters, clusters.values(folder.child("spike_templates.npy")), waveforms,
        channels, optional["whitening_mat_inv"],
    )  # fmt: skip
    positions, shanks = optional["channel_positions"], optional["channel_shanks"]
    if numbers is None:
        numbers = InMemory(np.arange(waveforms.shape[2]))
    values: dict[str, tuple[LazyArray, str]] = {
        "peak_channel": (as_dtype(numbers, np.dtype("i8")), "")
    }
    if positions is not None:
        for axis, column in enumerate(("x", "y")):
            values[column] = as_dtype(Taken(positions, axis, 1), np.dtype("f8")), "um"
    values |= {} if shanks is None else {"shank": (as_dtype(shanks, np.dtype("i8")), "")}
    return {
        name: Computed(_at_peaks, (units,), of_channels.dtype, (of_channels, templates)).variable(
            [schema.UNIT], {"units": unit} if unit else {}
        )
        for name, (of_channels, unit) in values.items()
    }


def times_of(session: Probe, file: str, params: Params, clusters: Clusters) -> LazyArray:
    """Return the times of the spikes, (spike,) float64 in s, in the order of the file.

    Raises
    ------
    FormatError
        If the sampling rate is unknown, or a time is not a whole number of samples.
    """
    stored = clusters.values(session.child(file))
    if file != TIMES:
        return as_dtype(stored, np.dtype("f8"))
    if params.sampling_rate is None:
        raise FormatError(
            session.as_given,
            "params.py",
            "sample_rate = a number, the samples per second",
            params.problem or "none",
            "say sampling_rate=30000, say",
        )
    if stored.dtype.kind == "f" and (wrong := stored.load() % 1 != 0).any():  # True for NaN
        value = f"{stored.load()[wrong][0]} at spike {int(wrong.argmax()):,}"
        hint = "times in seconds are read from a file of another name: times_from="
        raise FormatError(session.child(file).as_given, "", "whole numbers of samples", value, hint)
    return seconds(stored, params.sampling_rate)
