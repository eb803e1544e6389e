"""Write small Allen Neuropixels session files, with the quirks of real ones.

Written with h5py alone, seeded, in the layout of the files of June 2020 and of later writers::

    from neuroarrays.synthetic.allen import write_allen

    truth = write_allen("session_715093703.nwb", units=12, eye=False)

Every third unit has spikes exactly on the edges of 20 ms bins and exactly at starts and stops;
stimuli without a pause stop exactly where the next starts.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np

from neuroarrays.files.writing import new_hdf5
from neuroarrays.synthetic import allen_behaviour as behaviour
from neuroarrays.synthetic import allen_stimuli as stimuli
from neuroarrays.synthetic.allen_options import (
    BRAIN_OBSERVATORY,
    FUNCTIONAL_CONNECTIVITY,
    AllenOptions,
)
from neuroarrays.synthetic.allen_pieces import AllenPieces

__all__ = ["BRAIN_OBSERVATORY", "FUNCTIONAL_CONNECTIVITY", "REASONS", "AllenOptions", "write_allen"]

#: How units fail the default filter, in turn.
REASONS = (
    "quality",
    "amplitude_cutoff",
    "presence_ratio",
    "isi_violations",
    "valid_data",
    "structure",
    "nan",
)
_METRICS = ("PT_ratio", "amplitude", "d_prime", "firing_rate", "snr", "waveform_duration")
#: Of seed 0.
_FIRST_SESSION = 715_093_703
_ELECTRODES = "general/extracellular_ephys/electrodes"


def write_allen(
    path: str | os.PathLike[str], options: AllenOptions | None = None, **changes: Any
) -> dict[str, Any]:
    """Write a small Allen session file.

    Parameters
    ----------
    path : str or path
        The file to write; replaced if it is there.
    options : AllenOptions, optional
        What to write.
    **changes
        Fields of `AllenOptions`, in place of those in `options`.

    Returns
    -------
    dict
        What was written: ``"tables"`` (columns of each stimulus table), ``"units"`` (columns of the
        unit table, with ``"structure"``, ``"probe"``, ``"why"`` it fails the default filter or "",
        and ``"train"``, (spike,) float64, s), ``"running"`` and ``"gaze"`` (columns), ``"invalid"``
        (rows of type, id, label, start, stop), ``"end"`` (s).

    Examples
    --------
    >>> truth = write_allen("session.nwb", units=3, bad_units=0)  # doctest: +SKIP
    """
    options = replace(options or AllenOptions(), **changes)
    if options.session_id is None:
        options = replace(options, session_id=_FIRST_SESSION + options.seed)
    with new_hdf5(path, replaced=True) as (file, _):
        return _AllenWriter(file, options).write()


def _coordinates(structure: list[str], probe_of: np.ndarray) -> dict[str, np.ndarray]:
    """Return positions of channels in the brain in um, (channel,) float64 each, -1 outside."""
    row = np.arange(probe_of.size)
    columns = {"x": 8200.0 - 3 * row, "y": 300.0 + 7 * row, "z": 6800.0 + 500 * probe_of}
    outside = np.array([not name for name in structure])
    return {axis: np.where(outside, -1.0, values) for axis, values in columns.items()}


class _AllenWriter(AllenPieces):
    """Writes the parts of the file in order, with channels and units."""

    def write(self) -> dict[str, Any]:
        """Write the file, and return the truth."""
        behavior = self.options.layout == "visual_behavior"
        (stimuli.images if behavior else stimuli.stimuli)(self)
        stimuli.invalid_rows(self)
        self._general()
        self._electrodes()
        parts = self.options.parts
        tuned = {"tuned", "running"} <= set(parts) and not behavior
        if tuned:
            behaviour.running(self)
        self._units()
        stimuli.intervals(self)
        if "running" in parts and not tuned:
            (behaviour.running_of_behavior if behavior else behaviour.running)(self)
        if "eye" in parts:
            (behaviour.eye_of_behavior if behavior else behaviour.eye)(self)
        if "optotagging" in parts:
            behaviour.optotagging(self)
        if self.options.layout == "before_2020":
            table = self.file[_ELECTRODES]
            table.move("location", "manual_structure_acronym")
            self.file.move("intervals", "old")
            self.file.create_group("intervals")
            self.file.move("old", "intervals/epochs")
        return self.truth | {"end": self.plan.end}

    def _general(self) -> None:
        """Write the metadata of the session."""
        behavior = self.options.layout == "visual_behavior"
        connectivity = "dot_motion" in self.options.stimuli
        kind = "functional_connectivity" if connectivity else "brain_observatory_1.1"
        version = {"2020": "2.2.2", "before_2020": "2.1.0"}.get(self.options.layout, "2.5.0")
        self.group("/", "NWBFile", nwb_version=version)
        self.file.attrs["namespace"] = "core"
        texts = {
            "identifier": str(self.options.session_id),
            "session_description": "Data and metadata for an Ecephys session (synthetic)",
            "session_start_time": "2019-01-19T08:54:18+00:00",
            "general/session_id": str(self.options.session_id),
            "general/institution": "neuroarrays (synthetic)",
            "general/subject/subject_id": "699733581",
            "general/subject/age": "P118D",
            "general/subject/species": "Mus musculus",
            "general/subject/sex": "M",
            "general/subject/genotype": "wt/wt",
        } | ({} if behavior else {"general/stimulus": kind})
        for name, text in texts.items():
            self.file[name] = text
        self.group("general/subject", "EcephysSpecimen", strain="C57BL/6J", age_in_days=118.0)

    def _electrodes(self) -> None:
        """Write the channels of all probes: structures from tip to top, one in 17 broken, two outside."""
        options = self.options
        n = options.channels
        structure: list[str] = []
        for probe in range(options.probes):
            along = [
                options.structures[(4 * probe + i) % len(options.structures)] for i in range(4)
            ]
            structure += [along[4 * k // n] if k < n - 2 else "" for k in range(n)]
            path = f"general/extracellular_ephys/probe{'ABCDEF'[probe]}"
            self.group(path, "EcephysElectrodeGroup", location="See electrode locations")
        total = n * options.probes
        index, probe_of = (
            np.tile(np.arange(n), options.probes),
            np.repeat(np.arange(options.probes), n),
        )
        blank = [name or ("", "None")[i % 2] for i, name in enumerate(structure)]
        names = [f"probe{'ABCDEF'[p]}" for p in probe_of]
        newer = options.layout in ("2.13.5", "visual_behavior")
        columns: dict[str, Any] = {
            "location": blank,
            "group_name": names,
            "valid_data": index % 17 != 16,
            "probe_vertical_position": 20 * (index // 2 + 1),
            "probe_horizontal_position": np.array([43, 11, 59, 27])[index % 4],
            "probe_id": 810755797 + 2 * probe_of,
            "imp": np.full(total, np.nan),
            **_coordinates(structure, probe_of),
            "probe_channel_number" if newer else "local_index": index,
        }
        ids = 850249267 + 2 * np.arange(total)
        self.table(_ELECTRODES, "DynamicTable", columns, ids)
        self._channels = {
            "id": ids,
            "structure": np.array(structure, object),
            "probe": names,
            "valid": columns["valid_data"],
            **columns,
        }

    def _units(self) -> None:
        """Write one row per cluster, those that pass and others, shuffled within each probe."""
        n, channels = self.options.units + self.options.bad_units, self._channels
        inside = channels["structure"] != ""
        valid = channels["valid"]
        why = [""] * self.options.units
        why += [REASONS[i % len(REASONS)] for i in range(self.options.bad_units)]
        peak = self.random.choice(np.flatnonzero(inside & valid), n)
        cutoff = self.random.uniform(0, 0.1, n)
        presence = self.random.uniform(0.95, 1.0, n)
        isi = self.random.uniform(0, 0.5, n)
        cutoff[:1], presence[:1], isi[:1] = 0.1, 0.95, 0.5  # on the thresholds: these pass
        for i, reason in enumerate(why):
            if reason == "valid_data" and (inside & ~valid).any():
                peak[i] = self.random.choice(np.flatnonzero(inside & ~valid))
            elif reason == "structure":
                peak[i] = self.random.choice(np.flatnonzero(~inside & valid))
            elif reason in ("amplitude_cutoff", "nan"):
                cutoff[i] = 0.2 if reason == "amplitude_cutoff" else np.nan
            presence[i] = 0.5 if reason == "presence_ratio" else presence[i]
            isi[i] = 0.9 if reason == "isi_violations" else isi[i]
        order = self.random.permutation(n)
        order = order[np.argsort(channels["probe_id"][peak[order]], kind="stable")]
        peak = peak[order]
        columns = {
            "peak_channel_id": channels["id"][peak],
            "quality": ["noise" if why[i] == "quality" else "good" for i in order],
            "amplitude_cutoff": cutoff[order],
            "presence_ratio": presence[order],
            "isi_violations": isi[order],
            "local_index": np.arange(n),
            "cluster_id": np.arange(n),
        } | {name: self.random.normal(1, 0.2, n) for name in _METRICS}
        ids = 950900000 + 3 * self.random.permutation(n)
        trains = [self._train(i) for i in range(n)]
        self._unit_table(columns, ids, trains)
        self.truth["units"] = columns | {
            "unit_id": ids,
            "train": trains,
            "why": [why[i] for i in order],
            "structure": channels["structure"][peak].tolist(),
            "probe": [channels["probe"][i] for i in peak],
            "vertical": channels["probe_vertical_position"][peak],
            "horizontal": channels["probe_horizontal_position"][peak],
        }

    def _unit_table(
        self, columns: dict[str, Any], ids: np.ndarray, trains: list[np.ndarray]
    ) -> None:
        """Write the table of units with their spikes."""
        n, sizes = ids.size, [train.size for train in trains]
        flat = np.concatenate(trains) if trains else np.empty(0)
        columns = columns | {
            "spike_times": flat,
            "spike_times_index": self.ends(sizes),
            "spike_amplitudes": self.random.uniform(5e-5, 3e-4, flat.size),
            "spike_amplitudes_index": self.ends(sizes),
        }
        if "waveforms" in self.options.parts:
            columns["waveform_mean"] = self.random.normal(size=(4 * n, 8))
            columns["waveform_mean_index"] = self.ends(np.full(n, 4))
        self.table("units", "Units", columns, ids)

    def _train(self, unit: int) -> np.ndarray:
        """Return Poisson spikes on the 30 kHz clock; every third unit has some on edges and at stops."""
        rate = self.options.rate * self.random.lognormal(-0.1, 0.5)
        size = self.random.poisson(rate * self.plan.end)
        times = np.round(self.random.uniform(0, self.plan.end, size) * 30_000) / 30_000
        if unit % 3 == 0 and "edges" in self.options.parts:
            planted = [times]
            for table in self.plan.tables.values():
                rows = self.random.integers(0, table["start_time"].size, 4)
                start, stop = table["start_time"][rows], table["stop_time"][rows]
                k = self.random.integers(0, np.maximum((stop - start) / 0.02, 1).astype(int) + 1)
                planted += [start + k * 0.02, start + k / 50, start[:1], stop[:2]]
            times = np.concatenate(planted)
        if "tuned" in self.options.parts:
            times = np.concatenate([times, *self._evoked(rate)])
        return np.sort(times)

    def _evoked(self, rate: float) -> list[np.ndarray]:
        """Return spikes of one unit in response to stimuli, from 50 ms after each onset."""
        prefers, times = self.random.uniform(0, np.pi), []
        scenes = self.random.gamma(0.3, 2.0, 118)
        for name, table in self.plan.tables.items():
            if name == "natural_scenes":
                frame = table["frame"].astype(int)
                gain = np.where(frame < 0, 0.0, scenes[frame])
            elif name.endswith(("gratings", "contrast", "repeats")) and "orientation" in table:
                angle = np.nan_to_num(np.radians(table["orientation"]), nan=prefers + np.pi / 2)
                gain = 3 * np.exp(3 * (np.cos(2 * (angle - prefers)) - 1))
            else:
                continue
            start, stop = table["start_time"] + 0.05, table["stop_time"]
            running = self.truth.get("running")
            if running:
                speed = np.interp(start, running["start_time"], running["speed"])
                gain = gain * (0.5 + np.clip(speed, 0, 40) / 20)
            n = self.random.poisson(rate * gain * (stop - start))
            onsets = np.repeat(start, n)
            times.append(onsets + self.random.random(onsets.size) * np.repeat(stop - start, n))
        return times
