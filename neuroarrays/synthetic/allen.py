"""Small faithful Allen Neuropixels session files, with the quirks that the real ones have.

Written with h5py alone, seeded, in the layout of the files of June 2020 and of later writers::

    from neuroarrays.synthetic.allen import write_allen

    truth = write_allen("session_715093703.nwb", units=12, eye=False)

Every third unit has spikes exactly on the edges of 20 ms bins and exactly at starts and stops;
stimuli without a pause stop exactly where the next starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import h5py

#: One frame of the stimulus monitor, s: 15 of them are 0.2502 s.
FRAME = 0.016680556
BRAIN_OBSERVATORY = (
    "gabors", "flashes", "drifting_gratings", "natural_movie_three", "natural_movie_one",
    "static_gratings", "natural_scenes",
)  # fmt: skip
FUNCTIONAL_CONNECTIVITY = (
    "gabors", "flashes", "drifting_gratings_contrast", "natural_movie_one_more_repeats",
    "natural_movie_one_shuffled", "drifting_gratings_75_repeats", "dot_motion",
)  # fmt: skip
#: Monitor frames on and off, and blocks that a stimulus is shown in.
_TIMING = {
    "gabors": (15, 0, 1), "flashes": (15, 105, 1), "drifting_gratings": (120, 60, 3),
    "static_gratings": (15, 0, 3), "natural_scenes": (15, 0, 3),
    "drifting_gratings_contrast": (30, 30, 1), "drifting_gratings_75_repeats": (120, 60, 2),
    "dot_motion": (60, 60, 1),
}  # fmt: skip
#: How units fail the default filter, in turn.
REASONS = (
    "quality", "amplitude_cutoff", "presence_ratio", "isi_violations", "valid_data", "structure",
    "nan",
)  # fmt: skip
_METRICS = ("PT_ratio", "amplitude", "d_prime", "firing_rate", "snr", "waveform_duration")
_ELECTRODES = "general/extracellular_ephys/electrodes"


@dataclass(frozen=True)
class AllenOptions:
    """What a synthetic session holds.

    Attributes
    ----------
    seed, session_id : int
        Of all random values; name of the session.
    layout : {"2020", "2.13.5", "visual_behavior", "before_2020"}
        Whose writer: the files of June 2020, AllenSDK 2.13.5 and later (`probe_channel_number`,
        narrow index dtypes), Visual Behavior Neuropixels, or the first release, which is refused.
    stimuli : tuple of str
        In the order of their first block; Visual Behavior has its own.
    rows : int, or dict of stimulus to int
        Presentations of each stimulus.
    movie : (int, int)
        Showings of each movie, and frames of each.
    units, bad_units : int
        Units that pass every default filter, and units that fail one each, of `REASONS` in turn.
    probes, channels : int
        Probes, and channels of each.
    structures : tuple of str
        Four of them along each probe; "" is outside the brain.
    rate : float, 1/s
        Mean rate of a unit.
    irregular : float
        Share of presentations that last a monitor frame longer.
    sampling : float
        Rates of wheel and camera as a share of the real ones, 60 and 30 Hz: for tiny files.
    splice : bool
        Whether invalid times take the end of one showing of a movie and the start of the next, so
        that the numbers of the frames left never decrease.
    parts : tuple of str
        Of "running", "eye", "invalid", "optotagging", "waveforms", "edges", and, not by default,
        "tuned": units answer to orientations and scenes, more so while the mouse runs.
    """

    seed: int = 0
    session_id: int = 715093703
    layout: Literal["2020", "2.13.5", "visual_behavior", "before_2020"] = "2020"
    stimuli: tuple[str, ...] = BRAIN_OBSERVATORY
    rows: int | Mapping[str, int] = 12
    movie: tuple[int, int] = (4, 10)
    units: int = 9
    bad_units: int = 7
    probes: int = 2
    channels: int = 24
    structures: tuple[str, ...] = ("VISp", "VISl", "CA1", "grey", "LGd", "VISam", "DG")
    rate: float = 5.0
    irregular: float = 0.02
    sampling: float = 1.0
    splice: bool = False
    parts: tuple[str, ...] = (
        "running", "eye", "invalid", "optotagging", "waveforms", "edges",
    )  # fmt: skip


@dataclass
class _Plan:
    """Tables as they will be written, and when the session ends."""

    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    end: float = 0.0


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
    import h5py

    made = replace(options or AllenOptions(), **changes)
    with h5py.File(path, "w") as file:
        return _Writer(file, made).write()


def _cycle(random: np.random.Generator, values: Any, n: int) -> np.ndarray:
    """The values over and over, shuffled."""
    return np.asarray(random.permutation(np.resize(np.asarray(values), n)))


def _text(value: Any, n: int) -> list[str]:
    return [str(value)] * n


def parameters(name: str, n: int, random: np.random.Generator) -> dict[str, Any]:
    """Parameter columns of a stimulus in the types of the files: blanks NaN, "N/A" or -1."""
    look: dict[str, Any] = {
        "contrast": np.full(n, 0.8), "units": _text("deg", n), "mask": _text("None", n),
        "color": _text("[1.0, 1.0, 1.0]", n), "size": _text("[250.0, 250.0]", n),
        "phase": _text("[3644.93333333, 3644.93333333]", n),
    }  # fmt: skip
    blank = np.zeros(n, bool)
    blank[random.choice(n, max(1, n // 20), replace=False)] = True

    def blanked(values: np.ndarray) -> np.ndarray:
        return np.where(blank, np.nan, values)

    if name == "gabors":
        own = {
            "x_position": _cycle(random, np.arange(-40.0, 50, 10), n),
            "y_position": _cycle(random, np.arange(-40.0, 50, 10), n),
            "orientation": _cycle(random, [0.0, 45.0, 90.0], n),
            "temporal_frequency": np.full(n, 4.0), "spatial_frequency": _text(0.08, n),
        }  # fmt: skip
        return look | own
    if name == "flashes":
        own = {
            "color": _cycle(random, ["-1.0", "1.0"], n).tolist(), "orientation": np.zeros(n),
            "spatial_frequency": _text("[0.0, 0.0]", n),
        }  # fmt: skip
        return look | own
    if name == "drifting_gratings":
        own = {
            "orientation": blanked(_cycle(random, np.arange(0.0, 360, 45), n)),
            "temporal_frequency": blanked(_cycle(random, [1.0, 2.0, 4.0, 8.0, 15.0], n)),
            "contrast": blanked(look["contrast"]),
            "spatial_frequency": ["N/A" if b else "0.04" for b in blank],
        }
        return look | own
    if name == "static_gratings":
        phase = _cycle(random, ["0.0", "0.25", "0.5", "0.75"], n)
        own = {
            "orientation": blanked(_cycle(random, np.arange(0.0, 180, 30), n)),
            "spatial_frequency": blanked(_cycle(random, [0.02, 0.04, 0.08, 0.16, 0.32], n)),
            "contrast": blanked(look["contrast"]),
            "phase": np.where(blank, "N/A", phase).tolist(),
        }
        return look | own
    if name == "natural_scenes":
        frame = _cycle(random, np.arange(0.0, 118), n)
        return {"frame": np.where(blank, -1.0, frame)}
    if name in ("drifting_gratings_contrast", "drifting_gratings_75_repeats"):
        contrast = [0.01, 0.04, 0.13, 0.35, 1.0] if name.endswith("contrast") else [0.1, 0.8]
        frequency = _text(0.04, n) if name.endswith("contrast") else np.full(n, 0.04)
        own = {
            "orientation": _cycle(random, [0.0, 45.0, 90.0, 135.0], n),
            "contrast": _cycle(random, contrast, n), "temporal_frequency": np.full(n, 2.0),
            "spatial_frequency": frequency,
        }  # fmt: skip
        return look | own
    if name == "dot_motion":
        return {
            "Dir": blanked(_cycle(random, [-45.0, 0.0, 45.0, 90.0], n)),
            "Speed": blanked(_cycle(random, [0.0, 0.0005, 0.001, 0.005, 0.01], n)),
            "coherence": np.full(n, 0.9), "nDots": np.full(n, 200.0),
            "fieldShape": _text("sqr", n), "noiseDots": _text("direction", n),
        }  # fmt: skip
    msg = f"no synthetic stimulus {name!r}; there are {', '.join([*_TIMING, 'natural_movie_*'])}"
    raise ValueError(msg)


class _Writer:
    """One file being written."""

    def __init__(self, file: h5py.File, options: AllenOptions):
        self.file, self.options = file, options
        self.random = np.random.default_rng(options.seed)
        self.plan = _Plan()
        self.truth: dict[str, Any] = {}

    def write(self) -> dict[str, Any]:
        behavior = self.options.layout == "visual_behavior"
        (self._images if behavior else self._stimuli)()
        self._invalid_rows()
        self._general()
        self._electrodes()
        parts = self.options.parts
        tuned = {"tuned", "running"} <= set(parts) and not behavior
        if tuned:
            self._running()
        self._units()
        self._intervals()
        if "running" in parts and not tuned:
            (self._running_of_behavior if behavior else self._running)()
        if "eye" in parts:
            (self._eye_of_behavior if behavior else self._eye)()
        if "optotagging" in parts:
            self._optotagging()
        if self.options.layout == "before_2020":
            table = self.file[_ELECTRODES]
            table.move("location", "manual_structure_acronym")
            self.file.move("intervals", "old")
            self.file.create_group("intervals")
            self.file.move("old", "intervals/epochs")
        return self.truth | {"end": self.plan.end}

    # ------------------------------------------------------------------------- small pieces

    def _group(self, path: str, kind: str, **attrs: Any) -> h5py.Group:
        group = self.file.require_group(path)
        group.attrs.update({"neurodata_type": kind, "namespace": "core", **attrs})
        return group

    def _ends(self, counts: Any) -> np.ndarray:
        ends = np.cumsum(counts, dtype=np.int64)
        narrow = self.options.layout != "2020" and ends.size
        return ends.astype(np.min_scalar_type(int(ends[-1]))) if narrow else ends

    def _table(self, path: str, kind: str, columns: Mapping[str, Any], ids: np.ndarray) -> None:
        import h5py

        group = self._group(path, kind, description=f"synthetic {path}")
        for name, values in columns.items():
            text = isinstance(values, list)
            group[name] = np.array(values, h5py.string_dtype()) if text else values
        group["id"] = ids
        group.attrs["colnames"] = np.array([n for n in columns if not n.endswith("_index")], object)

    def _series(self, path: str, data: np.ndarray, clock: Any, unit: str) -> h5py.Group:
        import h5py

        group = self._group(path, "TimeSeries", description="no description")
        group["data"] = data
        group["data"].attrs.update({"unit": unit, "conversion": 1.0})
        linked = isinstance(clock, str)
        group["timestamps"] = h5py.SoftLink(f"/{clock}/timestamps") if linked else clock
        return group

    # ------------------------------------------------------------------------------ stimuli

    def _stimuli(self) -> None:
        """Blocks of the stimuli in turn, spontaneous activity between them."""
        blocks: list[tuple[int, int, str, int]] = []
        for place, name in enumerate(self.options.stimuli):
            movie = name.startswith("natural_movie")
            n_blocks = 2 if movie else _TIMING[name][2]
            total = self.options.movie[0] if movie else self._rows(name)
            sizes = [len(part) for part in np.array_split(np.arange(total), n_blocks)]
            blocks += [(turn, place, name, size) for turn, size in enumerate(sizes) if size]
        now, spontaneous = 30.0, [(5.0, 30.0)]
        shown: dict[str, list[Any]] = {name: [] for name in self.options.stimuli}
        for number, (_, _, name, size) in enumerate(sorted(blocks)):
            start, stop = self._block(name, size, now)
            shown[name].append((start, stop, np.full(start.size, float(number))))
            now = float(stop[-1])
            spontaneous.append((now, now + 2.0))
            now += 2.0
        for place, (name, parts) in enumerate(shown.items()):
            start, stop, block = (np.concatenate(part) for part in zip(*parts, strict=True))
            columns = {
                "start_time": start, "stop_time": stop, "stimulus_name": _text(name, start.size),
                "stimulus_block": block, "stimulus_index": np.full(start.size, float(place)),
            }  # fmt: skip
            self.plan.tables[name] = columns | self._parameters(name, start.size)
        first, last = (np.array(part) for part in zip(*spontaneous, strict=True))
        self.plan.tables["spontaneous"] = {
            "start_time": first, "stop_time": last,
            "stimulus_name": _text("spontaneous", first.size),
        }  # fmt: skip
        self.plan.end = now + 20.0
        self.truth["tables"] = self.plan.tables

    def _rows(self, name: str) -> int:
        rows = self.options.rows
        return rows if isinstance(rows, int) else rows[name]

    def _block(self, name: str, size: int, now: float) -> tuple[np.ndarray, np.ndarray]:
        """Starts and stops of a block's presentations; of every frame for movies."""
        movie = name.startswith("natural_movie")
        on, off, _ = (2, 0, 2) if movie else _TIMING[name]
        n = size * self.options.movie[1] if movie else size
        dropped = self.random.random(n) < self.options.irregular / (200 if movie else 1)
        jitter = self.random.normal(0, 1e-6 if movie else 1.5e-5, n)
        duration = (on + dropped) * FRAME + jitter
        start = now + np.concatenate([[0.0], np.cumsum(duration + off * FRAME)[:-1]])
        stop = start + duration
        if not off:
            stop[:-1] = start[1:]
        return start, stop

    def _parameters(self, name: str, n: int) -> dict[str, Any]:
        if not name.startswith("natural_movie"):
            return parameters(name, n, self.random)
        frames = np.arange(self.options.movie[1])
        if name.endswith("shuffled"):
            frames = self.random.permutation(frames)
        return {
            "frame": np.resize(frames, n).astype(float), "contrast": np.ones(n),
            "opacity": np.ones(n), "orientation": np.zeros(n), "units": _text("pix", n),
            "size": _text("[1920.0, 1080.0]", n), "color": _text("[1.0, 1.0, 1.0]", n),
        }  # fmt: skip

    def _images(self) -> None:
        """The tables of Visual Behavior: images, some omitted, then flashes."""
        n, now = self._rows("images") if isinstance(self.options.rows, int) else 12, 30.0
        start = now + 0.75 * np.arange(n)
        omitted = np.arange(n) % 5 == 4
        names = [f"im{i % 3:03d}_r" if not o else "omitted" for i, o in enumerate(omitted)]
        self.plan.tables["Natural_Images_Lum_Matched_set_ophys_G_2019"] = {
            "start_time": start, "stop_time": start + 0.25, "end_time": start + 0.25,
            "duration": np.full(n, 0.25), "stimulus_name": _text("Natural_Images", n),
            "image_name": names, "omitted": omitted, "is_change": np.arange(n) % 4 == 2,
            "active": np.ones(n, bool), "stimulus_block": np.zeros(n, np.int64),
        }  # fmt: skip
        first = start[-1] + 2.0
        flash = first + 2.0 * np.arange(4)
        self.plan.tables["flash_250ms"] = {
            "start_time": flash, "stop_time": flash + 0.25, "color": ["1.0", "-1.0"] * 2,
            "stimulus_name": _text("flash_250ms", 4), "active": np.zeros(4, bool),
            "stimulus_block": np.full(4, 2),
        }  # fmt: skip
        self.plan.tables["spontaneous"] = {
            "start_time": np.array([5.0]), "stop_time": np.array([now]),
            "stimulus_name": ["spontaneous"], "stimulus_block": np.array([1]),
        }  # fmt: skip
        self.plan.end = float(flash[-1]) + 20.0
        self.truth["tables"] = self.plan.tables

    # ------------------------------------------------------------------------ intervals

    def _invalid_rows(self) -> None:
        """Three tags a row; not in order of time, as in the real files."""
        rows: list[tuple[str, str, str, float, float]] = []
        if "invalid" in self.options.parts:
            table = next(iter(self.plan.tables.values()))
            start, stop = table["start_time"], table["stop_time"]
            middle, end = start.size // 2, self.plan.end
            session = str(self.options.session_id)
            rows = [
                ("EcephysSession", session, "optotagging", end - 5, end - 4),
                ("EcephysSession", session, "stimulus", start[middle] + 0.01, stop[middle] - 0.01),
                ("EcephysProbe", "810755797", "probeA", start[1] + 0.03, start[1] + 0.05),
                ("EcephysSession", session, "all_probes", start[3] + 0.03, start[3] + 0.05),
            ]
        if self.options.splice:
            movie = self.plan.tables["natural_movie_one"]
            n = self.options.movie[1]
            first, last = movie["start_time"][n // 2], movie["stop_time"][n + n // 2 - 1]
            session = str(self.options.session_id)
            rows.append(("EcephysSession", session, "stimulus", first + 1e-4, last - 1e-4))
        self.truth["invalid"] = rows

    def _intervals(self) -> None:
        for name, table in self.plan.tables.items():
            n = table["start_time"].size
            pairs = np.zeros(n, [("idx_start", "i4"), ("count", "i4")])
            more = {
                "tags": _text("stimulus_time_interval", n), "tags_index": self._ends(np.ones(n)),
                "timeseries": pairs, "timeseries_index": self._ends(np.ones(n)),
            }  # fmt: skip
            place = f"intervals/{name}_presentations"
            self._table(place, "TimeIntervals", table | more, np.arange(n))
        starts = np.sort(np.concatenate([t["start_time"] for t in self.plan.tables.values()]))
        self._series("processing/stimulus/timestamps", starts, starts, "s")
        rows = self.truth["invalid"]
        if rows:
            columns = {
                "start_time": np.array([row[3] for row in rows]),
                "stop_time": np.array([row[4] for row in rows]),
                "tags": [tag for row in rows for tag in row[:3]],
                "tags_index": self._ends([3] * len(rows)),
            }
            self._table("intervals/invalid_times", "TimeIntervals", columns, np.arange(len(rows)))

    def _general(self) -> None:
        behavior = self.options.layout == "visual_behavior"
        connectivity = "dot_motion" in self.options.stimuli
        kind = "functional_connectivity" if connectivity else "brain_observatory_1.1"
        version = {"2020": "2.2.2", "before_2020": "2.1.0"}.get(self.options.layout, "2.5.0")
        self._group("/", "NWBFile", nwb_version=version)
        self.file.attrs["namespace"] = "core"
        texts = {
            "identifier": str(self.options.session_id),
            "session_description": "Data and metadata for an Ecephys session (synthetic)",
            "session_start_time": "2019-01-19T08:54:18+00:00",
            "general/session_id": str(self.options.session_id),
            "general/institution": "neuroarrays (synthetic)",
            "general/subject/subject_id": "699733581", "general/subject/age": "P118D",
            "general/subject/species": "Mus musculus", "general/subject/sex": "M",
            "general/subject/genotype": "wt/wt",
        } | ({} if behavior else {"general/stimulus": kind})  # fmt: skip
        for name, text in texts.items():
            self.file[name] = text
        self._group("general/subject", "EcephysSpecimen", strain="C57BL/6J", age_in_days=118.0)

    # ---------------------------------------------------------------------------- units

    def _electrodes(self) -> None:
        """Channels of all probes: structures tip to top, one in 17 broken, the last two outside."""
        n, made = self.options.channels, self.options
        structure: list[str] = []
        for probe in range(made.probes):
            along = [made.structures[(4 * probe + i) % len(made.structures)] for i in range(4)]
            structure += [along[4 * k // n] if k < n - 2 else "" for k in range(n)]
            place = f"general/extracellular_ephys/probe{'ABCDEF'[probe]}"
            self._group(place, "EcephysElectrodeGroup", location="See electrode locations")
        total = n * made.probes
        index, probe_of = np.tile(np.arange(n), made.probes), np.repeat(np.arange(made.probes), n)
        blank = [name or ("", "None")[i % 2] for i, name in enumerate(structure)]
        names = [f"probe{'ABCDEF'[p]}" for p in probe_of]
        newer = made.layout in ("2.13.5", "visual_behavior")
        columns: dict[str, Any] = {
            "location": blank, "group_name": names, "valid_data": index % 17 != 16,
            "probe_vertical_position": 20 * (index // 2 + 1),
            "probe_horizontal_position": np.array([43, 11, 59, 27])[index % 4],
            "probe_id": 810755797 + 2 * probe_of, "imp": np.full(total, np.nan),
            "probe_channel_number" if newer else "local_index": index,
        }  # fmt: skip
        ids = 850249267 + 2 * np.arange(total)
        self._table(_ELECTRODES, "DynamicTable", columns, ids)
        self._channels = {"id": ids, "structure": np.array(structure, object), "probe": names,
                          "valid": columns["valid_data"], **columns}  # fmt: skip

    def _units(self) -> None:
        """One row per cluster: all that pass, and the others, shuffled within each probe."""
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
            "amplitude_cutoff": cutoff[order], "presence_ratio": presence[order],
            "isi_violations": isi[order], "local_index": np.arange(n), "cluster_id": np.arange(n),
        } | {name: self.random.normal(1, 0.2, n) for name in _METRICS}  # fmt: skip
        ids = 950900000 + 3 * self.random.permutation(n)
        trains = [self._train(i) for i in range(n)]
        self._unit_table(columns, ids, trains)
        self.truth["units"] = columns | {
            "unit_id": ids, "train": trains, "why": [why[i] for i in order],
            "structure": channels["structure"][peak].tolist(),
            "probe": [channels["probe"][i] for i in peak],
            "vertical": channels["probe_vertical_position"][peak],
            "horizontal": channels["probe_horizontal_position"][peak],
        }  # fmt: skip

    def _unit_table(
        self, columns: dict[str, Any], ids: np.ndarray, trains: list[np.ndarray]
    ) -> None:
        n, sizes = ids.size, [train.size for train in trains]
        flat = np.concatenate(trains) if trains else np.empty(0)
        columns = columns | {
            "spike_times": flat, "spike_times_index": self._ends(sizes),
            "spike_amplitudes": self.random.uniform(5e-5, 3e-4, flat.size),
            "spike_amplitudes_index": self._ends(sizes),
        }  # fmt: skip
        if "waveforms" in self.options.parts:
            columns["waveform_mean"] = self.random.normal(size=(4 * n, 8))
            columns["waveform_mean_index"] = self._ends(np.full(n, 4))
        self._table("units", "Units", columns, ids)

    def _train(self, unit: int) -> np.ndarray:
        """Poisson spikes on the 30 kHz clock; in every third unit some on edges and at stops."""
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
        """Spikes of one unit that answer to what is shown, from 50 ms after each onset."""
        prefers, found = self.random.uniform(0, np.pi), []
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
            at = np.repeat(start, n)
            found.append(at + self.random.random(at.size) * np.repeat(stop - start, n))
        return found

    # ------------------------------------------------------------------------ behaviour

    def _running(self) -> None:
        step = FRAME / self.options.sampling
        n = int((self.plan.end - 4.0) / step)
        start = np.sort(2.0 + step * np.arange(n) + self.random.normal(0, 2e-5, n))
        stop = np.append(start[1:], start[-1] + step)
        speed = 10 + np.cumsum(self.random.normal(0, 0.5, n))
        place = "processing/running/running_speed"
        self._series(place, speed, start, "cm/s")
        ends = f"{place}_end_times"
        self._series(ends, np.full(n, np.nan), stop, "cm/s")
        self._series("processing/running/running_wheel_rotation", speed * FRAME, place, "radians")
        raw = "acquisition/raw_running_wheel_rotation"
        self._series(raw, speed * FRAME, start, "radians")
        voltage = "acquisition/running_wheel_signal_voltage"
        self._series(voltage, np.full(n, 2.5), raw, "V")
        self.truth["running"] = {"start_time": start, "end_time": stop, "speed": speed}

    def _running_of_behavior(self) -> None:
        n = int((self.plan.end - 4.0) / FRAME)
        times = 2.0 + FRAME * np.arange(n)
        speed = 10 + np.cumsum(self.random.normal(0, 0.5, n))
        place = "processing/running/speed"
        self._series(place, speed, times, "cm/s")
        self._series("processing/running/speed_unfiltered", speed + 0.1, place, "cm/s")
        self._series("processing/running/dx", speed * FRAME, place, "cm")
        self.truth["running"] = {"time": times, "speed": speed}

    def _eye(self) -> None:
        """30 Hz from 8 s on, until 6 s before the end: sessions outlast the camera."""
        times = np.arange(8.0, self.plan.end - 6.0, 1 / (29.97 * self.options.sampling))
        times += self.random.normal(0, 1e-4, times.size)
        n = times.size
        gaze = np.stack([2 + np.sin(times / 11), 1 + 2.5 * np.cos(times / 13)], 1)  # y, x
        values = {
            "eye_area": 0.05 + 0.002 * np.sin(times / 7),
            "pupil_area": 0.004 + 0.001 * np.sin(times / 5),
            "screen_coordinates": gaze,
            "screen_coordinates_spherical": np.degrees(np.arctan2(gaze, 15.0)),
        }
        blink = np.zeros(n, bool)
        for at in self.random.integers(0, n, n // 120):
            blink[at : at + 5] = True
        wide = blink.copy()
        for shift in (1, 2, 3):
            wide[shift:] |= blink[:-shift]
            wide[:-shift] |= blink[shift:]
        units = ("Pixels ^ 2", "Pixels ^ 2", "Centimeters", "Degrees")
        self.truth["gaze"] = {"time": times, "blink": blink}
        for kind, missing in (("raw", blink), ("filtered", wide)):
            for (name, whole), unit in zip(values.items(), units, strict=True):
                data = whole.copy()
                data[missing] = np.nan
                self._series(f"processing/{kind}_gaze_mapping/{name}", data, times, unit)
                self.truth["gaze"][f"{kind}_{name}"] = data
        for name in ("pupil", "cr", "eye"):
            columns = {
                key: np.where(blink, np.nan, self.random.normal(100, 3, n))
                for key in ("center_x", "center_y", "height", "width", "phi")
            }
            place = f"processing/eye_tracking/{name}_ellipse_fits"
            self._table(place, "DynamicTable", columns | {"timestamps": times}, np.arange(n))
            self.truth["gaze"][f"{name}_ellipse"] = columns

    def _eye_of_behavior(self) -> None:
        times = np.arange(8.0, self.plan.end - 6.0, 1 / 60)
        place = "acquisition/EyeTracking"
        for i, name in enumerate(("eye", "pupil", "corneal_reflection")):
            clock = times if not i else f"{place}/eye_tracking"
            center = self.random.normal(300, 5, (times.size, 2))
            group = self._series(f"{place}/{name}_tracking", center, clock, "pixels")
            for column in ("area", "area_raw", "width", "height", "angle"):
                group[column] = self.random.normal(50, 3, times.size)
            self.truth.setdefault("gaze", {})[f"{name}_area"] = group["area"][:]
        blink = self.random.random(times.size) < 0.01
        self._series(f"{place}/likely_blink", blink, f"{place}/eye_tracking", "N/A")
        self.truth["gaze"] |= {"time": times, "blink": blink}
        lick = np.sort(self.random.uniform(10, self.plan.end, 9))
        self._series("processing/licking/licks", np.ones(9), lick, "N/A")
        self._series("processing/rewards/volume", np.full(3, 0.007), lick[:3] + 0.1, "mL")

    def _optotagging(self) -> None:
        n = 6
        start = self.plan.end - 18 + 1.5 * np.arange(n)
        columns: dict[str, Any] = {
            "start_time": start, "stop_time": start + 0.01, "duration": np.full(n, 0.01),
            "condition": _text("a single square pulse", n), "level": np.resize([1.0, 2.5, 4.0], n),
            "stimulus_name": _text("pulse", n),
        }  # fmt: skip
        place = "processing/optotagging"
        self._table(f"{place}/optogenetic_stimulation", "TimeIntervals", columns, np.arange(n))
        self._series(f"{place}/optotagging", columns["duration"], start, "seconds")
        self.truth["optotagging"] = columns
