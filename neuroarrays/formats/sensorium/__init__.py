"""SENSORIUM: responses of mouse visual cortex to images (2022) and movies (2023).

gin.g-node.org/cajal/Sensorium2022 and pollytur/sensorium_2023_dataset; the licence forbids passing the
data on. A session is a folder, or a zip of it, which is not unpacked::

    data/images|videos/<i>.npy        (channel, y, x) per trial, or (y, x, time)
    data/responses/<i>.npy            (unit,), or (unit, time)
    data/behavior/<i>.npy             pupil dilation, its derivative, running speed; movies: no derivative
    data/pupil_center/<i>.npy         horizontal, vertical
    meta/trials/<column>.npy          row i is file i; the order is random
    meta/neurons/<column>.npy         ids, area, layer, motor coordinates
    meta/statistics/<kind>/<scope>/<statistic>.npy

Opening reads the header of the first file of each kind of trial data, and of no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files import npy
from neuroarrays.files.probe import Probe
from neuroarrays.files.store import Store
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.sensorium import folders, layout, masks
from neuroarrays.formats.sensorium.statistics import statistics_of
from neuroarrays.formats.sensorium.trials import Remembered, TrialFiles
from neuroarrays.formats.sessions import Sessions
from neuroarrays.lazy.arrays import LazyArray, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Arranged, Taken

_SCREEN = ("channel", "y", "x")
_CITATIONS = {
    False: "Willeke et al. 2022, The Sensorium competition, arXiv:2206.08666",
    True: "Turishcheva et al. 2023, The Dynamic Sensorium competition, arXiv:2305.19654",
}


class SensoriumReader(Reader):
    """Reads SENSORIUM sessions, static and dynamic; a folder of several is one tree."""

    name = "sensorium"
    description = "SENSORIUM 2022 (images) and 2023 (movies): folders or zips of npy files"
    url = "https://sensorium-competition.net"
    kind = schema.ALIGNED
    several = True

    def recognise(self, probe: Probe) -> bool:
        """Whether a path has folders of trials with tiers, or zips of them."""
        return all(
            folders.is_session(child) for child in (probe.children if probe.is_list else [probe])
        )

    def list_sessions(self, probe: Probe) -> Sessions:
        """List the sessions, by name ``<animal>-<session>-<scan>``."""
        sessions = folders.sessions_of(probe)
        if not sessions:
            expected = (
                "data/responses and meta/trials/tiers.npy, or a zip or folder of such folders"
            )
            raise probe.unknown(expected, "")
        return sessions

    def open_session(
        self, session: folders.SessionFiles, name: str, request: Request
    ) -> dict[str, xr.Dataset]:
        """Open a session; its areas are those of meta/neurons/area.npy, or "unknown"."""
        opened = _SensoriumSession(name, session.store())
        areas = request.areas(opened.areas)
        nodes = opened.groups(areas) if areas or request.every_area else {}
        request.notes += [f"{name}: {note}" for note in opened.trials.notes]
        return nodes


# --------------------------------------------------------------------------------- one session


class _SensoriumSession:
    """The files of one session, and the nodes of its tree."""

    def __init__(self, name: str, files: Store):
        self.name, self.files = name, files
        self.listing = files.listing()
        self.folders = layout.data_folders(self.listing, files)
        files.prefetch(layout.read_on_opening(self.listing, self.folders))
        self.trials = layout.trials_of(self.listing, files, self.folders)
        self.arrays = {kind: self._array(folder) for kind, folder in self.folders.items()}
        self.movies = len(self.arrays["responses"].shape) == 3
        self._check_shapes()
        size = self.arrays["responses"].shape[1]
        first = f"{self.folders['responses']}/{self.trials.numbers[0]}.npy"
        self.units = layout.units_of(self.listing, files, size, first)
        area = self.units.get("area", np.full(size, schema.UNKNOWN_AREA))
        self.area = np.array([schema.node_name(str(text)) for text in area.tolist()])
        self.areas = list(dict.fromkeys(self.area.tolist()))
        self.sizes = {schema.UNIT: size}
        if self.movies:
            self.sizes[schema.TIME] = self.arrays["responses"].shape[2]

    def _array(self, folder: str) -> TrialFiles:
        """Return the files of a folder as one array, (trial, ...)."""
        numbers = self.trials.numbers
        if not len(numbers):
            raise FormatError(self.files.path, folder, "a file per trial", "none")
        header = npy.header_in(self.files, f"{folder}/{numbers[0]}.npy")
        return TrialFiles(self.files, folder, numbers, header)

    def _check_shapes(self) -> None:
        """Check the shape and dtype of the first file of each kind."""
        frames = self.arrays["responses"].shape[2:]
        allowed = {
            "stimulus": ((2, 3), (3, 4))[self.movies],
            "responses": ((1,), (2,))[self.movies],
            "behavior": ((1,), (2,))[self.movies],
            "pupil_center": ((1,), (2,))[self.movies],
        }
        counts = {"behavior": len(layout.BEHAVIOR[self.movies]), "pupil_center": 2}
        for kind, array in self.arrays.items():
            shape, expected = array.shape[1:], f"{allowed[kind]} axes"
            if kind in counts and not self.movies and len(shape) == 2 and shape[0] == 1:
                shape = shape[1:]  # a row of values, as in the published description of the data
            good = len(shape) in allowed[kind] and array.dtype.kind in "iuf"
            if kind in counts and good:
                expected, good = f"{counts[kind]} signals first", shape[0] == counts[kind]
            if frames and good:
                expected, good = f"{frames[0]} frames last, as responses", shape[-1:] == frames
            if not good:
                where = f"{array.folder}/{self.trials.numbers[0]}.npy"
                raise FormatError(self.files.path_of(where), "", expected, f"{array.dtype} {shape}")

    # --------------------------------------------------------------------------- the session

    def groups(self, areas: Sequence[str]) -> dict[str, xr.Dataset]:
        """Return the nodes of the session with some of its areas."""
        ids = np.asarray(self.trials.numbers, np.int64)
        coords = {schema.PRESENTATION: xr.Variable((schema.PRESENTATION,), ids)}
        if self.movies:
            clock = np.arange(self.sizes[schema.TIME]) / layout.RATE
            clock_attrs = {
                "units": "s",
                "long_name": "start of each frame, relative to that of the trial",
            }
            coords[schema.TIME] = xr.Variable((schema.TIME,), clock, clock_attrs)
        attrs = {
            "session_id": self.name,
            "subject": folders.animal_of(self.name),
            "species": "Mus musculus",
            "citation": _CITATIONS[self.movies],
        } | (
            {"sampling_rate": layout.RATE, "sampling_rate_source": "format"} if self.movies else {}
        )
        shown = {"stimulus": self._stimulus()} if "stimulus" in self.arrays else {}
        nodes = {"": dataset(shown, coords, {k: v for k, v in attrs.items() if v})}
        table, pupil = self._table(), self._pupil()
        sizes = self.sizes | {
            str(axis): int(n) for v in shown.values() for axis, n in v.sizes.items()
        }
        stored = statistics_of(self.listing, self.files, sizes, self.movies, self.trials.notes)
        for area in areas:
            path = area
            units = np.flatnonzero(self.area == area)
            nodes[path] = self._area(units, table)
            nodes[f"{path}/{schema.PRESENTATIONS}"] = table
            if pupil:
                nodes[f"{path}/{schema.PUPIL}"] = dataset(pupil)
            for scope, variables in stored.items():
                node = {n: self._of_units(v, units) for n, v in variables.items()}
                nodes[f"{path}/{schema.STATISTICS}/{scope}"] = dataset(node)
        return nodes

    def _stimulus(self) -> xr.Variable:
        """Return the images or movies, (presentation_id[, time], channel, y, x), in grey levels."""
        array, new = self.arrays["stimulus"], Arranged.NEW
        axes = {
            (False, 3): (0, new, 1, 2),
            (False, 4): (0, 1, 2, 3),
            (True, 4): (0, 3, new, 1, 2),
            (True, 5): (0, 4, 1, 2, 3),
        }[self.movies, len(array.shape)]
        lazy = array if axes == (0, 1, 2, 3) else Arranged(array, axes)
        dims = (schema.PRESENTATION, *((schema.TIME,) if self.movies else ()), *_SCREEN)
        return schema.var("session", "stimulus", wrap(lazy), dims, schema.ALIGNED)

    # ---------------------------------------------------------------------------- what it holds

    def _dims(self) -> tuple[str, ...]:
        """Return the dimensions of a signal: presentations, and time for movies."""
        return (schema.PRESENTATION, *((schema.TIME,) if self.movies else ()))

    def _signals(self) -> dict[str, LazyArray]:
        """Return the signals of behaviour by name, (trial[, time]) each."""
        named = {"behavior": layout.BEHAVIOR[self.movies], "pupil_center": layout.CENTER}
        by_signal: dict[str, LazyArray] = {}
        for kind, signals in named.items():
            if kind in self.arrays:
                base = self._behaviour(kind)
                by_signal |= {name: Taken(base, i, 1) for i, name in enumerate(signals)}
        return by_signal

    def _behaviour(self, kind: str) -> LazyArray:
        """Return the files of a kind of behaviour, (trial, signal[, time])."""
        array: LazyArray = self.arrays[kind]
        if self.movies:
            return array
        return Remembered.of(Taken(array, 0, 1) if len(array.shape) == 3 else array)

    def _pupil(self) -> dict[str, xr.Variable]:
        """Return the signals of the pupil as variables."""
        variables = {}
        for name, array in self._signals().items():
            if name.startswith("pupil_"):
                short, (units, doc) = name.removeprefix("pupil_"), layout.MEANING[name]
                variables[short] = schema.var(
                    "behaviour",
                    short,
                    wrap(array),
                    self._dims(),
                    schema.ALIGNED,
                    units=units,
                    long_name=doc,
                )
        return variables

    def _table(self) -> xr.Dataset:
        """Return the table of trials, in the order of their files."""
        columns = dict(self.trials.columns)
        attrs: dict[str, dict[str, Any]] = {"pre_blank_period": {"units": "s"}}
        seconds = layout.seconds_of(columns)
        if seconds is not None:
            columns[schema.START_TIME] = seconds
            attrs[schema.START_TIME] = {
                "resolution": "1 s",
                "long_name": "time stamp, since the first",
            }
        order = layout.order_of(columns)
        if order is not None:
            columns["trial_order"] = order[0]
            attrs["trial_order"] = {
                "long_name": "presentations shown before this one",
                "resolution": order[1],
            }
        if "duration" in columns:
            columns["duration"] = columns["duration"].astype(float)
        dims = (schema.PRESENTATION,)
        return dataset(
            {
                name: schema.var("table", name, column, dims, schema.ALIGNED, **attrs.get(name, {}))
                for name, column in columns.items()
            }
        )

    def _area(self, units: np.ndarray, table: xr.Dataset) -> xr.Dataset:
        """Return the node of an area, whose units are in rows `units` (n,) of the session."""
        responses = self.arrays["responses"]
        lazy: LazyArray = responses
        if units.size < self.sizes[schema.UNIT]:
            lazy = Taken(responses, units, 1)
        dims = (schema.PRESENTATION, schema.UNIT, *((schema.TIME,) if self.movies else ()))
        variables = {
            schema.RESPONSES: schema.var(
                "area",
                schema.RESPONSES,
                wrap(lazy),
                dims,
                schema.ALIGNED,
                long_name="deconvolved calcium signal, in units of its own",
            ),
            **self._masks(),
        }
        if "speed" in (signals := self._signals()):
            variables["speed"] = schema.var(
                "area", "speed", wrap(signals["speed"]), self._dims(), schema.ALIGNED
            )
        labels = {
            name: xr.Variable(
                (schema.UNIT,), column[units], {"units": "um"} if name in layout.MOTOR else {}
            )
            for name, column in self.units.items()
        }
        return dataset(variables, labels | schema.trial_labels(dataset(variables, labels), table))

    def _masks(self) -> dict[str, xr.Variable]:
        """Return the masks `withheld`, `behavior_withheld`, and for movies `valid`.

        The labels `valid_length` (movies) and `stimulus_id` (without image ids) are computed as well.
        """
        tiers = self.trials.columns["tier"].tolist()
        suspects = np.array([bool(layout.HIDDEN_TIERS.fullmatch(str(t))) for t in tiers], bool)
        everyone = np.ones(suspects.size, bool)
        dims = (schema.PRESENTATION,)
        computed: dict[str, tuple[LazyArray, tuple[str, ...], str]] = {
            schema.WITHHELD: (masks.blank((self.arrays["responses"],), suspects), dims, "")
        }
        kinds = [kind for kind in ("behavior", "pupil_center") if kind in self.arrays]
        if kinds:
            bases = tuple(self._behaviour(kind) for kind in kinds)
            meaning = "behaviour that a competition blanked: every value is zero"
            computed["behavior_withheld"] = (masks.blank(bases, everyone), dims, meaning)
        if self.movies and "stimulus" in self.arrays:
            movie = self.arrays["stimulus"]
            streams = tuple(a for kind, a in self.arrays.items() if kind != "stimulus")
            meaning = "frames of the movie, before the padding with NaN"
            computed["valid_length"] = (masks.valid_length(movie), dims, meaning)
            meaning = "inside the movie, and no other stream has NaN; False is padding"
            computed[schema.VALID] = (masks.valid(movie, streams), self._dims(), meaning)
        if schema.IMAGE not in self.trials.columns and "stimulus" in self.arrays:
            numbers = np.asarray(self.trials.numbers, np.int64)
            shown = masks.same_as(self.arrays["stimulus"], numbers)
            computed[schema.SHOWN] = (shown, dims, "first presentation that shows the same")
        return {
            name: schema.var(
                "area",
                name,
                wrap(Remembered(array)),
                along,
                schema.ALIGNED,
                **({"long_name": meaning} if meaning else {}),
            )
            for name, (array, along, meaning) in computed.items()
        }

    def _of_units(self, variable: xr.Variable, units: np.ndarray) -> xr.Variable:
        """Return a statistic for the units of one area."""
        if schema.UNIT not in variable.dims or units.size == self.sizes[schema.UNIT]:
            return variable
        return variable.isel({schema.UNIT: units})
