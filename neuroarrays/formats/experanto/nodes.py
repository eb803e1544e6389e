"""Make the groups of a recording tree from one experanto session."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, TypeGuard

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, option, shorten
from neuroarrays.files import npy
from neuroarrays.files.probe import Probe
from neuroarrays.files.store import FolderStore
from neuroarrays.formats.experanto import folders
from neuroarrays.formats.experanto.arrays import Screen, since
from neuroarrays.formats.experanto.modalities import (
    MOTOR,
    Sequence,
    SpikeModality,
    sequence,
    spikes,
)
from neuroarrays.formats.request import Request
from neuroarrays.lazy.arrays import wrap
from neuroarrays.lazy.computed import Movie, RegularClock
from neuroarrays.lazy.indexes import dataset

_UNITS = "responses"


# ----------------------------------------------------------------------------- signals and spikes


# ------------------------------------------------------------------------------------- the session


class Session:
    """One session: its modalities, and the time at which the first of them starts."""

    def __init__(self, folder: Probe, name: str, request: Request):
        self.folder, self.name, self.request = folder, name, request
        self.notes: list[str] = []
        self.sequences: list[Sequence] = []
        self.trains: list[SpikeModality] = []
        self.intervals: dict[str, dict[str, Any]] = {}
        self.flips: np.ndarray | None = None
        starts: list[float] = []
        for modality, why in folders.modalities(folder).items():
            with self._sparing(modality):
                starts += self._modality(modality, why)
        self.start = min(starts, default=0.0)
        #: Area -> its modality of spikes. Files state no areas, so several modalities are named after folders.
        self.areas: dict[str, SpikeModality | None] = {
            schema.node_name(stream.name) if len(self.trains) > 1 else schema.UNKNOWN_AREA: stream
            for stream in self.trains
        }
        if any(stream.name == _UNITS for stream in self.sequences):
            self.areas.setdefault(schema.UNKNOWN_AREA, None)

    def _sparing(self, modality: str) -> AbstractContextManager[None]:
        """Read one modality; an error becomes a note of the session if damaged ones are skipped."""
        return self.request.sparing(modality, self.folder.child(modality), False, self.notes)

    def _modality(self, modality: str, why: str) -> list[float]:
        """Read one modality, and return its start times."""
        inside = self.folder.child(modality)
        if why:
            if folders.holds_data(inside):
                raise FormatError(
                    inside.as_given,
                    "",
                    "a meta.yml that states its modality",
                    why,
                    f"{option('skip_damaged', True)} opens the rest of the session",
                )
            self.notes.append(f"{modality} passed over: {why}")
            return []
        meta = folders.mapping(inside.child("meta.yml"))
        kind = meta.get("modality")
        if kind == "sequence":
            self.sequences.append(sequence(inside, meta, self.notes))
            return [self.sequences[-1].start]
        if kind == "spikes":
            self.trains.append(spikes(inside, meta, self.notes))
            return [self.trains[-1].start]
        if kind == "screen" and modality == "screen":
            self.flips, self.named = _flips(inside), bool(meta.get("use_stimuli_names"))
            return [float(time) for time in self.flips[:1]]
        if kind == "time_interval":
            self.intervals[modality] = meta
        else:
            self.notes.append(f"{modality} left out: its modality is {kind!r}")
        return []

    def groups(self) -> dict[str, xr.Dataset]:
        """Return the nodes of the session by their path below it."""
        nodes: dict[str, xr.Dataset] = {}
        for series in self.sequences:
            if series.name != _UNITS:
                nodes[schema.node_name(series.name)] = self._series(series, "signal")
            else:
                nodes[f"{schema.UNKNOWN_AREA}/{_UNITS}"] = self._series(series, schema.UNIT)
        for area, trains in self.areas.items():
            if trains is not None:
                nodes[f"{area}/{schema.SPIKES}"] = self._spikes(trains)
        if self.flips is not None:
            with self._sparing("screen"):
                nodes |= self._screen(self.flips)
        for modality, meta in self.intervals.items():
            with self._sparing(modality):
                nodes |= self._tables(modality, meta)
        attrs = {"session_id": self.name, "start_time_unix": self.start, "notes": self.notes}
        return {"": xr.Dataset(attrs={k: v for k, v in attrs.items() if v != []})} | nodes

    def _series(self, series: Sequence, dim: str) -> xr.Dataset:
        length, size = series.array.shape
        clock = RegularClock(series.start - self.start, series.rate, length)
        attrs = {"units": "s", "sampling_rate": series.rate, "sampling_rate_source": "file"}
        coords = {schema.TIME: clock.variable((schema.TIME,), attrs)}
        variable = schema.var("series", series.name, wrap(series.array), (schema.TIME, dim))
        return dataset({series.name: variable}, coords | _coords(series.labels, dim, size))

    def _spikes(self, trains: SpikeModality) -> xr.Dataset:
        times = since(trains.times, self.start)
        variables = {
            schema.SPIKE_TIMES: schema.var("spikes", schema.SPIKE_TIMES, wrap(times)),
            schema.ROW_SIZE: schema.var(
                "spikes", schema.ROW_SIZE, trains.sizes, sample_dimension=schema.SPIKE
            ),
        }
        return dataset(variables, _coords(trains.labels, schema.UNIT, trains.sizes.size))

    def _screen(self, flips: np.ndarray) -> dict[str, xr.Dataset]:
        """Return `presentations/screen`, a row per trial, and `screen`, a frame per flip."""
        folder, since = self.folder.child("screen"), flips - self.start
        trials = folders.trials(folder)
        metas = list(trials.values())
        if lost := folders.lost_trials(folder, trials):
            self.notes.append(
                f"screen: no meta of the trials {shorten(lost, 4)}: where they were, what was shown "
                "before them stands"
            )
        try:
            firsts = np.array([int(meta["first_frame_idx"]) for meta in metas], np.int64)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                folder.child("meta").as_given, "", "first_frame_idx of each trial", repr(error)
            ) from error
        if (np.diff(firsts) <= 0).any() or (
            firsts.size and not 0 <= firsts[0] <= firsts[-1] < flips.size
        ):
            raise FormatError(
                folder.child("meta").as_given,
                "",
                f"first frames in order, below {flips.size}",
                "others",
            )
        starts = since[firsts]
        columns = {
            schema.START_TIME: starts,
            schema.STOP_TIME: np.append(starts[1:], np.nan)[: starts.size],
        }
        columns |= _columns(metas)
        rows = {
            name: schema.var("table", name, values, (schema.PRESENTATION,))
            for name, values in columns.items()
        }
        ids = {schema.PRESENTATION: xr.Variable((schema.PRESENTATION,), np.arange(len(metas)))}
        nodes = {f"{schema.PRESENTATIONS}/screen": dataset(rows, ids)}
        shown = self._shown(trials, firsts, flips.size)
        if shown is not None:
            clock = xr.Variable((schema.TIME,), since, {"units": "s"})
            dims = (schema.TIME, "channel", "y", "x")
            variable = schema.var("series", "stimulus", wrap(shown), dims)
            nodes["screen"] = dataset({"stimulus": variable}, {schema.TIME: clock})
        return nodes

    def _shown(
        self, trials: dict[str, dict[str, Any]], firsts: np.ndarray, flips: int
    ) -> Movie | None:
        folder, metas = self.folder.child("screen"), list(trials.values())
        pictured = np.array([meta.get("modality") in ("image", "video") for meta in metas], bool)
        sizes = {
            tuple(m.get("image_size") or ()) for m, p in zip(metas, pictured, strict=True) if p
        }
        size = next(iter(sizes), ())
        if len(sizes) != 1 or len(size) not in (2, 3):
            self.notes.append(f"screen/stimulus left out: image sizes are {sorted(sizes)}")
            return None
        channels = int(size[2]) if len(size) == 3 else 1
        present = {file.stem for file in folder.glob("data/*.npy")}
        named = tuple(
            f"data/{_file(number, meta, present, self.named)}.npy" if p else ""
            for (number, meta), p in zip(trials.items(), pictured, strict=True)
        )
        files = FolderStore(folder.location, folder.location.folder_stamp(follow=True))
        dtype = npy.header_in(files, next(filter(None, named))).dtype.newbyteorder("=")
        try:
            blanks = np.array(
                [
                    np.broadcast_to(
                        np.asarray(meta.get("interleave_value", np.nan), float), channels
                    )
                    for meta in metas
                ]
            )
        except (TypeError, ValueError) as error:
            raise FormatError(
                folder.child("meta").as_given,
                "",
                f"an interleave_value, or {channels} of them",
                str(error),
            ) from error
        grey = blanks[~pictured]
        if dtype.kind != "f" and (firsts[0] > 0 or not _fits(grey, dtype)):
            dtype = np.dtype(np.float32)  # NaN stands for an unknown blank
        shape = (flips, channels, int(size[0]), int(size[1]))
        return Movie(Screen(files, firsts, named, blanks, shape, dtype))

    def _tables(self, modality: str, meta: dict[str, Any]) -> dict[str, xr.Dataset]:
        """Return a table of presentations for each label of intervals."""
        folder, nodes = self.folder.child(modality), {}
        for label, name in dict(meta.get("labels") or {}).items():
            if not _is_name(name):
                raise FormatError(
                    folder.child("meta.yml").as_given, "", "names of files beside it", repr(name)
                )
            spans = npy.values_in(FolderStore(folder.location, ()), name)
            spans = spans.reshape(0, 2) if spans.size == 0 else spans
            if spans.ndim != 2 or spans.shape[1] != 2 or spans.dtype.kind not in "iuf":
                raise FormatError(
                    folder.child(name).as_given,
                    "",
                    "starts and stops, numbers (n, 2)",
                    f"{spans.dtype} {spans.shape}",
                )
            rows = {
                column: schema.var(
                    "table", column, spans[:, i] - self.start, (schema.PRESENTATION,)
                )
                for i, column in enumerate((schema.START_TIME, schema.STOP_TIME))
            }
            ids = xr.Variable((schema.PRESENTATION,), np.arange(len(spans)))
            path = f"{schema.PRESENTATIONS}/{schema.node_name(f'{modality}_{label}')}"
            nodes[path] = dataset(rows, {schema.PRESENTATION: ids})
        return nodes


def _flips(screen: Probe) -> np.ndarray:
    """Return the Unix times of the flips."""
    times = npy.values_in(FolderStore(screen.location, ()), "timestamps.npy")
    if times.ndim != 1 or times.dtype.kind != "f":
        path = screen.child("timestamps.npy").as_given
        raise FormatError(path, "", "times (flip,)", f"{times.dtype} {times.shape}")
    return np.asarray(times, np.float64)


def _is_name(name: Any) -> TypeGuard[str]:
    """Whether a text is a plain file name, and not a path to another folder."""
    return isinstance(name, str) and not set("/\\") & set(name) and name not in ("", ".", "..")


def _file(number: str, meta: dict[str, Any], present: set[str], by_name: bool) -> str:
    """Return the file of a trial: by its number, or by the stimulus if trials share a file."""
    name = meta.get("stimulus_name")
    if not _is_name(name):
        return number
    shared = by_name or (number not in present and name.removesuffix(".npy") in present)
    return name.removesuffix(".npy") if shared else number


def _fits(values: np.ndarray, dtype: np.dtype) -> bool:
    """Whether whole numbers of a dtype hold the values."""
    limits = np.iinfo(dtype)
    return bool(((values >= limits.min) & (values <= limits.max) & (values % 1 == 0)).all())


def _coords(labels: dict[str, np.ndarray], dim: str, size: int) -> dict[str, xr.Variable]:
    """Return labels along signals or units; units without ids are numbered."""
    attrs_of = {schema.SHIFT: {"units": "s", "long_name": "a sample is taken this much later"}}
    attrs_of |= {name: {"units": "um"} for name in MOTOR}
    labels = dict(labels)
    if dim == schema.UNIT:
        labels[dim] = labels.get(dim, np.arange(size)).astype(np.int64)
    return {name: xr.Variable((dim,), v, attrs_of.get(name, {})) for name, v in labels.items()}


def _columns(metas: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Return plain values of the trials' metadata as columns, with NaN or None for missing ones."""
    columns: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(key for meta in metas for key in meta):
        values = [meta.get(name) for meta in metas]
        kinds = {type(value) for value in values if value is not None}
        if kinds == {bool} and None not in values:
            columns[str(name)] = np.array(values, bool)
        elif kinds == {int} and None not in values:
            columns[str(name)] = np.array(values, np.int64)
        elif kinds and kinds <= {int, float}:
            columns[str(name)] = np.array([np.nan if v is None else v for v in values], np.float64)
        elif kinds == {str}:
            columns[str(name)] = np.array(values, object)
    return columns
