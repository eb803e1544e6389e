"""experanto sessions: a folder of modalities, each at its own rate, as a recording tree.

github.com/sensorium-competition/experanto. In a session's folder::

    meta.json                           scan_key: animal, session, scan
    responses|eye_tracker|.../meta.yml  modality: sequence; rate, start, number of samples and signals
                              data.mem | data.npy   (time, signal)
                              meta/means.npy stds.npy phase_shifts.npy unit_ids.npy ...
    screen/                   timestamps.npy, a Unix time per flip; data/00000.npy, meta/00000.yml per trial
    <other>/meta.yml          modality: time_interval; labels: {name: file.npy (n, 2)}

Unix times in float64 are 0.2 µs apart, and a question for the time of a sample can hit the one before:
here all times are seconds since the session's first sample, computed from the rate. Signals stay in the
file, memory-mapped where they are read. Nothing is written into the folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import safety, schema
from neuroarrays.backend import Reader, chosen, matches
from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError
from neuroarrays.formats.experanto.arrays import Mapped, Screen
from neuroarrays.formats.sensorium.files import FolderFiles
from neuroarrays.indexes import dataset
from neuroarrays.lazy import LazyArray, Regular, wrap
from neuroarrays.source import stamp

#: The largest text of metadata that is parsed, bytes.
_LARGEST = 1 << 20
_UNITS = "responses"
_MOTOR = ("motor_x", "motor_y", "motor_z")


class ExperantoReader(Reader):
    """Reads experanto sessions; a folder of several is one tree."""

    name = "experanto"
    description = "experanto sessions: screen, responses, eye tracker, treadmill at their own rates"
    url = "https://github.com/sensorium-competition/experanto"

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether a folder, or one in it, has modalities with a meta.yml."""
        try:
            return bool(_sessions(filename_or_obj))
        except (OSError, TypeError, ValueError, NeuroArraysError):
            return False

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: Any = None,
        sessions: str | Sequence[str] | None = None,
        areas: str | Sequence[str] | None = None,
    ) -> dict[str, xr.Dataset]:
        """Open sessions as the groups of a recording tree.

        Parameters
        ----------
        filename_or_obj : str or path
            The folder of a session, or a folder of these.
        drop_variables : str or iterable of str, optional
            Variables to leave out.
        sessions, areas : str or list of str, optional
            Names or globs of sessions (<animal>-<session>-<scan> where meta.json says it, else the
            folder's name) and areas ("unknown": files do not say) to open.
        """
        found = _sessions(filename_or_obj)
        if not found:
            raise FormatError(
                filename_or_obj, "", "folders with a meta.yml that states a modality", "none"
            )
        chosen([schema.UNKNOWN_AREA], areas, "area")
        groups = {"/": xr.Dataset(attrs=schema.root_attrs(schema.RECORDING, source=self.name))}
        for name in chosen(found, sessions, "session"):
            with_units = areas is None or matches(schema.UNKNOWN_AREA, areas)
            for node, made in _Session(found[name], name, with_units).groups().items():
                groups[f"{name}/{node}".rstrip("/")] = made
        if drop_variables is not None:
            drop = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables)
            groups = {k: ds.drop_vars(drop, errors="ignore") for k, ds in groups.items()}
        return groups


# ------------------------------------------------------------------------------- which sessions


def _sessions(path: str | os.PathLike[str]) -> dict[str, Path]:
    """Names of the sessions at a path -> their folders."""
    root = Path(os.path.abspath(path))
    if not root.exists():
        msg = f"{os.fspath(path)}: no such file or folder"
        raise MissingPath(msg)
    if not root.is_dir():
        return {}
    inside = [root] if _modalities(root) else [
        child for child in sorted(root.iterdir()) if child.is_dir() and _modalities(child)
    ]  # fmt: skip
    names = [_key(folder) or folder.name for folder in inside]
    made = [n if names.count(n) == 1 else f.name for n, f in zip(names, inside, strict=True)]
    return {schema.node_name(n): folder for n, folder in zip(made, inside, strict=True)}


def _modalities(folder: Path) -> list[str]:
    """Folders of a session that state a modality; looks at the first line or two only."""
    found = []
    for child in sorted(folder.iterdir()):
        path = child / "meta.yml"
        if child.is_dir() and path.is_file():
            with path.open("rb") as file:
                if b"modality" in file.read(1 << 16):
                    found.append(child.name)
    return found


def _key(folder: Path) -> str:
    """`<animal>-<session>-<scan>` of meta.json, "" without it."""
    path = folder / "meta.json"
    if not path.is_file():
        return ""
    try:
        key = json.loads(_text(path)).get("scan_key", {})
        return "-".join(str(int(key[name])) for name in ("animal_id", "session", "scan_idx"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def _text(path: Path) -> str:
    if safety.regular_file(path).st_size > _LARGEST:
        raise FormatError(path, "", f"at most {_LARGEST:,} bytes", "more")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(path, "", "readable text", str(error)) from error


def _yaml(path: Path) -> dict[str, Any]:
    """A mapping of plain values."""
    import yaml

    text = _text(path)
    try:
        found = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FormatError(path, "", "YAML", f"{type(error).__name__}: {error}") from error
    if not isinstance(found, dict):
        raise FormatError(path, "", "a mapping", type(found).__name__)
    return found


# -------------------------------------------------------------------------------------- sequences


@dataclass(frozen=True)
class _Sequence:
    """A modality of regular samples, from its meta.yml."""

    name: str
    array: LazyArray
    rate: float
    start: float
    labels: dict[str, np.ndarray] = field(default_factory=dict)


def _sequence(folder: Path, meta: dict[str, Any]) -> _Sequence:
    """Check what meta.yml says against the file."""
    path = folder / "meta.yml"
    try:
        rate, start = float(meta["sampling_rate"]), float(meta["start_time"])
        shape = (int(meta["n_timestamps"]), int(meta["n_signals"]))
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(
            path, "", "numbers sampling_rate, start_time, n_timestamps, n_signals",
            f"{type(error).__name__}: {error}",
        ) from error  # fmt: skip
    if not (np.isfinite([rate, start]).all() and rate > 0 and min(shape) >= 0):
        raise FormatError(path, "", "a positive rate and sizes", f"rate {rate}, sizes {shape}")
    files = FolderFiles(str(folder), ())
    if meta.get("is_mem_mapped"):
        array = _raw(folder / "data.mem", str(meta.get("dtype")), shape)
    else:
        header = files.header("data.npy")
        data = folder / "data.npy"
        size = safety.regular_file(data)
        if header.shape not in (shape, shape[:1]) or header.dtype.kind not in "iuf":
            raise FormatError(data, "", f"numbers of shape {shape}, as meta.yml", str(header))
        if size.st_size < len(header.raw) + header.nbytes:
            raise FormatError(data, "", f"{len(header.raw) + header.nbytes:,} bytes",
                              f"{size.st_size:,}: truncated")  # fmt: skip
        array = Mapped(str(data), stamp(size), len(header.raw), shape, header.dtype, header.fortran)
    return _Sequence(folder.name, array, rate, start, _labels(folder, files, shape[1]))


def _raw(path: Path, name: str, shape: tuple[int, int]) -> Mapped:
    try:
        dtype = np.dtype(name)
    except TypeError as error:
        raise FormatError(path, "", "a dtype in meta.yml", name) from error
    size = safety.regular_file(path)
    wanted = shape[0] * shape[1] * dtype.itemsize
    if dtype.kind not in "iuf" or size.st_size != wanted:
        raise FormatError(path, "", f"{wanted:,} bytes for {shape} of {dtype}, as meta.yml says",
                          f"{size.st_size:,}")  # fmt: skip
    return Mapped(str(path), stamp(size), 0, shape, dtype)


def _labels(folder: Path, files: FolderFiles, size: int) -> dict[str, np.ndarray]:
    """What stands in meta/ for each signal: mean, std, phase shift, ids, coordinates."""
    known = {"means": "mean", "stds": "std", "phase_shifts": schema.SHIFT, "unit_ids": schema.UNIT}
    found: dict[str, np.ndarray] = {}
    inside = folder / "meta"
    for path in sorted(inside.glob("*.npy")) if inside.is_dir() else ():
        values, name = files.values(f"meta/{path.name}"), path.stem
        if values.shape == (size, 3) and name == "cell_motor_coordinates":
            found |= dict(zip(_MOTOR, values.T.copy(), strict=True))
        elif values.size == size and values.ndim in (1, 2) and values.dtype.kind in "iufbU":
            found[known.get(name, name)] = values.reshape(size)
        elif name == "phase_shifts":
            raise FormatError(path, "", f"a shift for each of {size} signals", f"{values.shape}")
    return found


# ---------------------------------------------------------------------------------- one session


class _Session:
    """One session on its way to the groups of a tree."""

    def __init__(self, folder: Path, name: str, with_units: bool):
        self.folder, self.name, self.with_units = folder, name, with_units
        self.metas = {m: _yaml(folder / m / "meta.yml") for m in _modalities(folder)}
        self.notes: list[str] = []
        self.sequences = [
            _sequence(folder / m, meta)
            for m, meta in self.metas.items()
            if meta.get("modality") == "sequence"
        ]
        self.flips = None
        if self.metas.get("screen", {}).get("modality") == "screen":
            self.flips = self._flips()
        starts = [one.start for one in self.sequences]
        starts += [float(self.flips[0])] if self.flips is not None and self.flips.size else []
        self.start = min(starts, default=0.0)

    def groups(self) -> dict[str, xr.Dataset]:
        """The nodes of the session."""
        made: dict[str, xr.Dataset] = {}
        for one in self.sequences:
            if one.name != _UNITS:
                made[schema.node_name(one.name)] = self._series(one, "signal")
            elif self.with_units:
                made[f"{schema.UNKNOWN_AREA}/{_UNITS}"] = self._series(one, schema.UNIT)
        if self.flips is not None:
            made |= self._screen()
        for modality, meta in self.metas.items():
            kind = meta.get("modality")
            if kind == "time_interval":
                made |= self._intervals(modality, meta)
            elif kind not in ("sequence", "screen"):
                self.notes.append(f"{modality} left out: its modality is {kind!r}")
        attrs = {"session_id": self.name, "start_time_unix": self.start, "notes": self.notes}
        return {"": xr.Dataset(attrs={k: v for k, v in attrs.items() if v != []})} | made

    def _series(self, one: _Sequence, dim: str) -> xr.Dataset:
        length, size = one.array.shape
        clock = Regular(one.start - self.start, one.rate, length)
        told = {"units": "s", "sampling_rate": one.rate, "sampling_rate_source": "file"}
        labels = dict(one.labels)
        if dim == schema.UNIT:
            ids = labels.pop(schema.UNIT, np.arange(size))
            labels[schema.UNIT] = ids.astype(np.int64)
        coords = {schema.TIME: clock.variable((schema.TIME,), told)}
        units = {schema.SHIFT: {"units": "s", "long_name": "a sample is taken this much later"}}
        units |= {name: {"units": "um"} for name in _MOTOR}
        for name, values in labels.items():
            coords[name] = xr.Variable((dim,), values, units.get(name, {}))
        variable = schema.var("series", one.name, wrap(one.array), (schema.TIME, dim))
        return dataset({one.name: variable}, coords)

    def _flips(self) -> np.ndarray:
        """Unix times of the flips."""
        times = FolderFiles(str(self.folder / "screen"), ()).values("timestamps.npy")
        if times.ndim != 1 or times.dtype.kind != "f":
            path = self.folder / "screen" / "timestamps.npy"
            raise FormatError(path, "", "times (flip,)", f"{times.dtype} {times.shape}")
        return np.asarray(times, np.float64)

    def _screen(self) -> dict[str, xr.Dataset]:
        """`presentations/screen`, a row per trial, and `screen`, a frame per flip."""
        folder = self.folder / "screen"
        metas = [_yaml(path) for path in sorted((folder / "meta").glob("*.yml"))]
        numbers = [path.stem for path in sorted((folder / "meta").glob("*.yml"))]
        flips = np.asarray(self.flips) - self.start
        try:
            firsts = np.array([int(meta["first_frame_idx"]) for meta in metas], np.int64)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                folder / "meta", "", "first_frame_idx of each trial", repr(error)
            ) from error
        if (np.diff(firsts) <= 0).any() or (
            firsts.size and not 0 <= firsts[0] <= firsts[-1] < flips.size
        ):
            raise FormatError(folder / "meta", "", f"first frames in order, below {flips.size}",
                              "others")  # fmt: skip
        starts = flips[firsts]
        columns = {"start_time": starts, "stop_time": np.append(starts[1:], np.nan)[: starts.size]}
        columns |= _columns(metas)
        rows = {
            name: schema.var("table", name, values, (schema.PRESENTATION,))
            for name, values in columns.items()
        }
        ids = {schema.PRESENTATION: xr.Variable((schema.PRESENTATION,), np.arange(len(metas)))}
        made = {f"{schema.PRESENTATIONS}/screen": dataset(rows, ids)}
        shown = self._shown(folder, metas, numbers, firsts, flips.size)
        if shown is not None:
            clock = xr.Variable((schema.TIME,), flips, {"units": "s"})
            dims = (schema.TIME, "y", "x")
            variable = schema.var("series", "stimulus", wrap(shown), dims)
            made["screen"] = dataset({"stimulus": variable}, {schema.TIME: clock})
        return made

    def _shown(
        self, folder: Path, metas: list[dict[str, Any]], numbers: list[str], firsts: np.ndarray,
        flips: int,
    ) -> Screen | None:  # fmt: skip
        pictured = [meta.get("modality") in ("image", "video") for meta in metas]
        sizes = {tuple(m.get("image_size", ())) for m, p in zip(metas, pictured, strict=True) if p}
        if len(sizes) != 1 or len(next(iter(sizes))) != 2:
            self.notes.append(f"screen/stimulus left out: image sizes are {sorted(sizes)}")
            return None
        files = FolderFiles(str(folder), ())
        named = [
            f"data/{meta.get('stimulus_name') or number}".removesuffix(".npy") + ".npy" if p else ""
            for meta, number, p in zip(metas, numbers, pictured, strict=True)
        ]
        dtype = files.header(next(name for name in named if name)).dtype.newbyteorder("=")
        blanks = np.array([float(meta.get("interleave_value", np.nan)) for meta in metas])
        grey = blanks[~np.array(pictured, bool)]
        if dtype.kind != "f" and (firsts[0] > 0 or not (grey == grey.astype(dtype)).all()):
            dtype = np.dtype(np.float32)  # a blank that is not known is NaN
        height, width = next(iter(sizes))
        return Screen(files, firsts, tuple(named), blanks, (flips, int(height), int(width)), dtype)

    def _intervals(self, modality: str, meta: dict[str, Any]) -> dict[str, xr.Dataset]:
        """A table of presentations for each label."""
        folder, made = self.folder / modality, {}
        for label, name in dict(meta.get("labels") or {}).items():
            if os.path.basename(str(name)) != name:
                raise FormatError(folder / "meta.yml", "", "names of files beside it", repr(name))
            spans = FolderFiles(str(folder), ()).values(name)
            if spans.ndim != 2 or spans.shape[1] != 2 or spans.dtype.kind != "f":
                raise FormatError(folder / name, "", "starts and stops (n, 2)", f"{spans.shape}")
            rows = {
                column: schema.var(
                    "table", column, spans[:, i] - self.start, (schema.PRESENTATION,)
                )
                for i, column in enumerate(("start_time", "stop_time"))
            }
            ids = xr.Variable((schema.PRESENTATION,), np.arange(len(spans)))
            place = f"{schema.PRESENTATIONS}/{schema.node_name(f'{modality}_{label}')}"
            made[place] = dataset(rows, {schema.PRESENTATION: ids})
        return made


def _columns(metas: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Plain values of the trials' metadata as columns; what a trial lacks is NaN, or None in text."""
    found: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(key for meta in metas for key in meta):
        values = [meta.get(name) for meta in metas]
        kinds = {type(value) for value in values if value is not None}
        if kinds == {bool} and None not in values:
            found[str(name)] = np.array(values, bool)
        elif kinds == {int} and None not in values:
            found[str(name)] = np.array(values, np.int64)
        elif kinds and kinds <= {int, float}:
            found[str(name)] = np.array([np.nan if v is None else v for v in values], np.float64)
        elif kinds == {str}:
            found[str(name)] = np.array(values, object)
    return found
