"""Write small NWB files, with the quirks of real ones.

Written with h5py alone, seeded::

    from neuroarrays.synthetic import write_nwb

    truth = write_nwb("session.nwb", units=20, electrodes="peak", spikes="unsorted")
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from neuroarrays.files.writing import new_hdf5
from neuroarrays.synthetic import nwb_task
from neuroarrays.synthetic.nwb_options import NWBOptions
from neuroarrays.synthetic.nwb_pieces import NWBPieces
from neuroarrays.synthetic.nwb_signals import SIGNALS, outside

_ELECTRODES_PER_AREA = 2


def write_nwb(
    path: str | os.PathLike[str], options: NWBOptions | None = None, **changes: Any
) -> dict[str, Any]:
    """Write a small NWB file.

    Parameters
    ----------
    path : str or path
        The file to write; replaced if it is there.
    options : NWBOptions, optional
        What to write.
    **changes
        Fields of `NWBOptions`, in place of those in `options`.

    Returns
    -------
    dict
        What was written, by name: ``"areas"`` (list of str, one per unit), ``"trains"`` (list of
        (spike,) float64, s, in the file's order), ``"unit_id"``, ``"trials"`` (dict of columns),
        and (time,) or (time, column) arrays with their clocks (``"running"``,
        ``"running_time"``, ...).

    Examples
    --------
    >>> truth = write_nwb("session.nwb", units=3, trials=0, parts=("units",))  # doctest: +SKIP
    """
    options = replace(options or NWBOptions(), **changes)
    with new_hdf5(path, replaced=True) as (file, _):
        if options.version == "1":
            file["nwb_version"] = "NWB-1.0.6"
            file.create_group("epochs")
            return {}
        return _NWBWriter(file, options, Path(path)).write()


class _NWBWriter(NWBPieces):
    """Writes units, trials and signals."""

    def write(self) -> dict[str, Any]:
        """Write the file, and return the truth."""
        self._general()
        # What units respond to.
        first = {"trials": self.options.tuned or self.options.task, "licks": self.options.task}
        for part in dict.fromkeys((*filter(first.get, first), *self.options.parts)):
            if part in SIGNALS:
                SIGNALS[part](self)
            else:
                getattr(self, f"_{part}")()
        if self.options.outside:
            outside(self)
        return self.truth

    def _general(self) -> None:
        """Write the metadata of the session."""
        self.file.attrs.update(
            {"nwb_version": "2.7.0", "neurodata_type": "NWBFile", "namespace": "core"}
        )
        texts = {
            "identifier": "synthetic",
            "session_description": "synthetic session",
            "session_start_time": "2026-01-01T12:00:00+00:00",
            "general/session_id": f"s{self.options.seed + 1}",
            "general/institution": "neuroarrays",
            "general/subject/subject_id": "m1",
            "general/subject/species": "Mus musculus",
            "general/subject/age": "P90D",
        }
        for name, text in texts.items():
            self.file[name] = text
        areas = np.repeat(self.options.areas, _ELECTRODES_PER_AREA).tolist()
        for area in self.options.areas:
            self.group(f"general/extracellular_ephys/probe_{area}", "ElectrodeGroup", location=area)
        columns = {
            "location": areas,
            "group_name": [f"probe_{area}" for area in areas],
            "x": np.arange(len(areas), dtype=np.float32),
        }
        ids = 100 + np.arange(len(areas))
        self.table("general/extracellular_ephys/electrodes", "DynamicTable", columns, ids)

    def _units(self) -> None:
        """Write the table of units with their spikes."""
        n = self.options.units
        area_of = np.arange(n) % max(len(self.options.areas), 1)
        counts = self.random.integers(0 if n > 2 else 1, 40, n)
        trains = [np.sort(self.random.uniform(0, self.options.duration, c)) for c in counts]
        if self.options.task:
            trains = [nwb_task.train(self, unit) for unit in range(n)]
        if self.options.tuned:
            trains = [np.sort(np.append(train, self._evoked(i))) for i, train in enumerate(trains)]
        trains = [np.round(train * 30_000) / 30_000 for train in trains]
        if self.options.spikes == "unsorted":
            trains = [train[::-1].copy() for train in trains]
        if self.options.spikes == "nan":
            for train in trains:
                train[-1:] = np.nan
        columns: dict[str, Any] = {
            "spike_times": np.concatenate(trains) if n else np.empty(0),
            "spike_times_index": self.index([train.size for train in trains]),
            "quality": ["good" if i % 2 else "mua" for i in range(n)],
            "snr": self.random.uniform(1, 5, n).astype(np.float32),
            "waveform_mean": self.random.normal(size=(n, 4)).astype(np.float32),
        }
        columns |= self._unit_electrodes(area_of)
        if self.options.ragged:
            columns["spike_amplitudes"] = self.random.normal(size=int(counts.sum()))
            columns["spike_amplitudes_index"] = columns["spike_times_index"]
            columns["obs_intervals"] = np.tile([0.0, self.options.duration], (n, 1))
            columns["obs_intervals_index"] = self.index([1] * n)
            self.truth["spike_amplitudes"] = np.split(
                columns["spike_amplitudes"], np.cumsum(counts)[:-1]
            )
        if self.options.name_column:
            columns["name"] = [f"unit {i}" for i in range(n)]
        ids = 10 * (1 + np.arange(n))
        self.table("units", "Units", columns, ids)
        names = [self.options.areas[i] for i in area_of]
        self.truth |= {
            "areas": ["unknown"] * n if self.options.electrodes == "none" else names,
            "trains": trains,
            "unit_id": ids,
            "quality": columns["quality"],
            "snr": columns["snr"],
            "waveform_mean": columns["waveform_mean"],
        }

    def _evoked(self, unit: int) -> np.ndarray:
        """Return spikes in the trials of the orientation that a unit prefers."""
        trials = self.truth["trials"]
        rows = np.flatnonzero(trials["orientation"] == 45.0 * (unit % 3))
        onsets = np.repeat(trials["start_time"][rows], 8)
        return onsets + self.random.uniform(0, 1, onsets.size)

    def _unit_electrodes(self, area_of: np.ndarray) -> dict[str, Any]:
        """Return the column of units that refers to electrodes."""
        import h5py

        first = area_of * _ELECTRODES_PER_AREA
        table = self.file["general/extracellular_ephys/electrodes"]
        how = self.options.electrodes
        if how == "ragged":  # every unit on both electrodes of its area
            rows = np.concatenate([[row, row + 1] for row in first]) if first.size else first
            return {"electrodes": rows, "electrodes_index": self.index([2] * first.size)}
        if how == "flat":
            return {"electrodes": first}
        if how == "region":
            column = table["id"]
            regions = [column.regionref[int(row) : int(row) + 2] for row in first]
            return {"electrodes": np.array(regions, h5py.regionref_dtype)}
        if how == "peak":
            return {"peak_channel_id": 100 + first}
        if how == "column":
            return {"location": [self.options.areas[i] for i in area_of]}
        if how == "group":
            names = [f"general/extracellular_ephys/probe_{self.options.areas[i]}" for i in area_of]
            groups = [self.file[name].ref for name in names]
            return {"electrode_group": np.array(groups, h5py.ref_dtype)}
        return {}

    def _trials(self) -> None:
        """Write the table of trials."""
        n = self.options.trials
        start = 1.0 + 2.5 * np.arange(n)
        stop = start + self.random.uniform(1.0, 2.0, n)
        cue = self.random.uniform(0.1, 0.5, n)
        columns: dict[str, Any] = {
            "start_time": start,
            "stop_time": np.full(n, np.nan) if self.options.missing_stops else stop,
            "orientation": self.random.choice([0.0, 45.0, 90.0], n),
            "contrast": self.random.choice([0.5, 1.0], n).astype(np.float32),
            "outcome": self.random.choice(["hit", "miss"], n).tolist(),
            "rewarded": np.arange(n) % 2 == 0,
            "cue_time": cue if self.options.relative_events else start + cue,
        }
        if self.options.task:
            columns["reward_time"] = nwb_task.reward_times(columns)
        if self.options.name_column:
            columns["name"] = [f"trial {i}" for i in range(n)]
        if self.options.ragged:
            counts = [i % 3 for i in range(n)]
            total = sum(counts)
            pairs = np.zeros(total, [("idx_start", "i4"), ("count", "i4")])
            columns |= {
                "tags": [f"tag{i}" for i in range(total)],
                "tags_index": self.index(counts),
                "lick_times": self.random.uniform(0, 1, total),
                "lick_times_index": self.index(counts),
                "timeseries": pairs,
                "timeseries_index": self.index(counts),
            }
        self.table("intervals/trials", "TimeIntervals", columns, np.arange(n))
        self.truth["trials"] = columns
