"""Hoefling et al. 2024: mouse retina, two-photon calcium imaging, natural movies in two channels.

A folder with a file of responses (HDF5, a group per field) and a pickle of the movie, or its zip::

    session_<experiment>_<field>_<date>, attributes eye, scan_sequence_idx, ...
        <stimulus>_{raw_traces,smoothed_traces,inferred_spikes|spikes}   (unit, sample)
        <stimulus>_traces_times (unit, sample) s, or _traces_t0 and _traces_dt (unit,)
        <stimulus>_trigger_times (unit, trigger) s, the same for all units
        group_assignment, roi_ids, d_qi, chirp_qi (unit,); group_confidences (unit, 46); roi_mask
    movie pickle: train (channel, 108 x 150, y, x), test (channel, 5 x 150, y, x),
        random_sequences (108, 20): the order of the clips in each scan

Stimuli: `natural` (123 clips of 150 frames: 5 test, 54 train, 5 test, 54 train, 5 test), `chirp`,
`mb` (moving bar). Traces are interpolated at the frames that followed each trigger, 30 per second,
and divided by their deviation, as published. https://doi.org/10.7554/eLife.86860
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, many
from neuroarrays.files.probe import Probe
from neuroarrays.files.source import Source
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.retina import nodes as retina
from neuroarrays.formats.retina.clips import clips as take_clips
from neuroarrays.formats.retina.clips import frame_times, upsampled
from neuroarrays.formats.retina.hoefling_movie import CLIP, NaturalMovie
from neuroarrays.formats.retina.nodes import BlockData
from neuroarrays.formats.sessions import Sessions
from neuroarrays.lazy.arrays import LazyArray, file_array
from neuroarrays.lazy.computed import averaged
from neuroarrays.lazy.views import Stacked

STIMULI = ("natural", "chirp", "mb")
#: Kind of response -> endings of the names of its arrays, of which the first that exists is read.
_RESPONSES = {
    "spikes": ("inferred_spikes", "spikes"),
    "raw": ("raw_traces",),
    "smoothed": ("smoothed_traces",),
}
#: Stimulus -> seconds from a trigger to its last frame, frames per trigger, and n if every n-th trigger
#: is used.
_GRIDS = {"natural": (4.9666667, 150, 1), "chirp": (32.98999999, 990, 2), "mb": (4.054001, 123, 1)}
RATE = 30.0
#: Where the test and the train clips stand among the 123 presented.
TEST_PLACES = (range(5), range(59, 64), range(118, 123))
TRAIN_PLACES = (*range(5, 59), *range(64, 118))
PRESENTED = 123
#: Clips of the movie that open-retina's configuration validates on, by number.
VALIDATION_CLIPS = (0, 4, 10, 11, 18, 30, 45, 62, 67, 77, 79, 80, 81, 83, 95)
#: The filters of units in the article.
PUBLISHED: Mapping[str, Any] = {
    "cell_types": range(1, 33),
    "d_qi": 0.6,
    "chirp_qi": 0.35,
    "confidence": 0.25,
    "min_units": 10,
}
#: Recorded in the right eye, though its attribute says left.
_RIGHT = "session_2_ventral2_20200626"
_PIXELS: dict[tuple[int, ...], float] = {(18, 16): 50.0, (72, 64): 12.5}


class HoeflingReader(Reader):
    """Reads the folder of responses and movie, or the file of responses beside its movie."""

    name = "hoefling_2024"
    description = "Hoefling et al. 2024: mouse retina, calcium responses to natural movies"
    url = "https://doi.org/10.7554/eLife.86860"
    only_area = retina.RETINA
    kind = schema.ALIGNED
    blocks = (retina.TRAIN, retina.TEST)

    def recognise(self, probe: Probe) -> bool:
        """Whether an HDF5 file has fields with `group_assignment`."""
        return bool(_responses(probe))

    def list_sessions(
        self, probe: Probe, *, stimulus: str = "natural", movie: str | None = None
    ) -> Sessions:
        """List the fields of the file of responses.

        Parameters
        ----------
        probe : Probe
            The folder, or the file of responses in it.
        stimulus : {"natural", "chirp", "mb"}
            The stimulus whose responses to open. The files have the stimulus itself only for the
            natural movie.
        movie : str, optional
            Name or glob of the pickle with the movie, if the folder (with its zips) has several.
        """
        retina.choice("stimulus", stimulus, STIMULI)
        files = _responses(probe)
        if len(files) != 1:
            raise FormatError(
                probe.as_given,
                expected="one HDF5 file of responses",
                found=", ".join(file.name for file in files) or "none",
            )
        file = files[0].source
        shown = NaturalMovie.find(probe, movie) if stimulus == "natural" else None
        names = [n for n in file.names("/") if file.info(n) is None and file.names(n)]
        return Sessions({schema.node_name(n): _HoeflingSession(file, n, shown) for n in names})

    def open_session(
        self,
        session: _HoeflingSession,
        name: str,
        request: Request,
        *,
        stimulus: str = "natural",
        response: str = "spikes",
        units: str | Mapping[str, Any] = "published",
    ) -> dict[str, xr.Dataset]:
        """Open a field as the blocks `train` and `test` of an aligned tree; other stimuli give one block.

        Parameters
        ----------
        session : _HoeflingSession
            The field in its file, and the movie.
        name : str
            Name of the session.
        request : Request
            The areas that the caller wants; the only area is "retina".
        stimulus : {"natural", "chirp", "mb"}
            The stimulus, as in `list_sessions`.
        response : {"spikes", "raw", "smoothed"}
            Which responses: deconvolved spikes, raw fluorescence, or smoothed fluorescence; each
            is divided by its standard deviation, so it has no unit.
        units : "published", "all" or dict
            Which units to keep. A dict may have the filters ``cell_types`` (list of int), ``d_qi``
            and ``chirp_qi`` (a unit must reach at least one of the two), ``confidence`` (the least
            confidence of the cell type) and ``min_units`` (a field with at most this many units
            is left out). "published" means the filters of the article: types 1 to 32, `d_qi` 0.6,
            `chirp_qi` 0.35, `confidence` 0.25, `min_units` 10. "all" means no filter.
        """
        retina.choice("response", response, tuple(_RESPONSES))
        filters = _filters(units)
        field = _Field(session.file, session.name, stimulus, response)
        rows = field.unit_rows(filters)
        if rows.size <= filters.get("min_units", 0):
            request.notes.append(
                f"{name} left out: {many(rows.size, 'unit')} left by the filters; units='all' keeps all"
            )
            return {}
        nodes = field.nodes(retina.TRAIN, rows, session.movie)
        if stimulus == "natural":
            nodes |= field.nodes(retina.TEST, rows, session.movie)
        return nodes


@dataclass(frozen=True)
class _HoeflingSession:
    """A field of the file of responses, and the movie that all fields saw."""

    file: Source
    name: str
    movie: NaturalMovie | None

    @property
    def path(self) -> str:
        """The path of the file, for messages."""
        return self.file.path


def _filters(units: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(units, str):
        retina.choice("units", units, ("published", "all"))
        return PUBLISHED if units == "published" else {}
    if unknown := set(units) - set(PUBLISHED):
        msg = f"units: no filter {sorted(unknown)}; there are {', '.join(PUBLISHED)}"
        raise ValueError(msg)
    return units


def _responses(probe: Probe) -> list[Probe]:
    """Return HDF5 files with fields."""
    probes = probe.children if probe.is_folder else (probe,)
    return [p for p in probes if p.suffix == ".h5" and p.container == "hdf5" and _is_responses(p)]


def _is_responses(probe: Probe) -> bool:
    first = next((name for name in probe.names if name.startswith("session_")), "")
    return bool(first) and probe.source.info(f"{first}/group_assignment") is not None


class _Field:
    """One field of view, and the nodes of its tree."""

    def __init__(self, file: Source, name: str, stimulus: str, response: str):
        self.file, self.name, self.stimulus = file, name, stimulus
        self.attrs = file.attrs(name)
        ends = _RESPONSES[response]
        places = [f"{name}/{stimulus}_{end}" for end in ends]
        self.traces = next((p for p in places if file.info(p) is not None), "")
        if not self.traces:
            raise FormatError(
                file.path,
                name,
                " or ".join(f"{stimulus}_{end}" for end in ends),
                "neither" if len(ends) > 1 else "nothing",
            )
        self.count = file_array(file, self.traces).shape[0]
        self.eye = "right" if name == _RIGHT else str(self.attrs.get("eye", "right"))

    def _column(self, name: str) -> np.ndarray | None:
        """Return a value per unit, or None if the field has none."""
        path = f"{self.name}/{name}"
        info = self.file.info(path)
        if info is None:
            return None
        if info.shape[:1] != (self.count,):
            raise FormatError(
                self.file.path,
                path,
                f"a value for each of {self.count} units",
                f"shape {info.shape}",
            )
        return self.file.read(path)

    def unit_rows(self, filters: Mapping[str, Any]) -> np.ndarray:
        """Return the rows of the units that pass all filters, (n,) int64."""
        keep = np.ones(self.count, bool)
        if "cell_types" in filters:
            keep &= np.isin(self._needed("group_assignment"), list(filters["cell_types"]))
        quality = [k for k in ("d_qi", "chirp_qi") if k in filters]
        if quality:
            keep &= np.any([self._needed(k) >= filters[k] for k in quality], axis=0)
        if "confidence" in filters:
            keep &= self._needed("group_confidences").max(axis=1) >= filters["confidence"]
        return np.flatnonzero(keep)

    def _needed(self, name: str) -> np.ndarray:
        """Return a value per unit, which the filters need."""
        values = self._column(name)
        if values is None:
            raise FormatError(
                self.file.path,
                f"{self.name}/{name}",
                "a value for each unit",
                "nothing",
                'units="all" filters nothing',
            )
        return values

    def nodes(
        self, block: str, rows: np.ndarray, movie: NaturalMovie | None
    ) -> dict[str, xr.Dataset]:
        """Return session and retina of one block."""
        part = BlockData(f"{self.file.path}:{self.name}", units=self._units(rows))
        duration, frames, every = _GRIDS[self.stimulus]
        triggers = self._triggers()
        shown = triggers[::every]
        grid = frame_times(shown, duration, frames)
        clocks = tuple(file_array(self.file, name) for name in self._times())
        whole = upsampled(file_array(self.file, self.traces), clocks, rows, grid)
        labels = {k: v for k, v in self.attrs.items() if isinstance(v, str | int | float)}
        part.attrs = labels | {
            "session_id": self.name,
            "species": "mouse",
            "eye": self.eye,
            "stimulus_type": self.stimulus,
            "sampling_rate": RATE,
            "sampling_rate_source": "published",
        }
        if self.stimulus == "natural":
            self._natural(part, block, whole, grid, movie, shown.size)
        else:
            part.responses = whole
            part.frames = {
                schema.BLOCK: np.repeat(np.arange(shown.size), frames),
                "frame_time": grid,
            }
            part.attrs["note"] = "the files do not hold this stimulus"
        assert part.responses is not None
        part.time = retina.regular_clock(RATE, part.responses.shape[0])
        return retina.part_nodes(block, part)

    def _natural(
        self,
        part: BlockData,
        block: str,
        whole: LazyArray,
        grid: LazyArray,
        movie: NaturalMovie | None,
        triggers: int,
    ) -> None:
        """Add clips of the natural movie: train in the order of the scan, test by trial."""
        if triggers != PRESENTED:
            raise FormatError(
                part.path, "natural_trigger_times", f"{PRESENTED} triggers", f"{triggers}"
            )
        flip = self.eye == "left"
        if movie is None:
            part.attrs["note"] = "no movie: a pickle, or its zip, beside the responses"
        elif (pixel := _PIXELS.get(movie.train.shape[2:])) is not None:
            part.attrs["um_per_pixel"] = pixel
        if block == retina.TEST:
            clips = np.arange(len(TEST_PLACES[0]))
            trials = tuple(take_clips(whole, np.array(places), CLIP) for places in TEST_PLACES)
            part.by_trial = Stacked(trials, (len(trials),))
            part.responses = averaged(part.by_trial)
            if movie is not None:
                part.stimulus = take_clips(movie.test, clips, CLIP, flip)
        else:
            places = np.array(TRAIN_PLACES)
            part.responses = take_clips(whole, places, CLIP)
            clips = self._order(movie)
            part.frames["frame_time"] = take_clips(grid, places, CLIP)
            runs = np.cumsum(np.diff(places, prepend=places[0]) > 1)  # a test was in between
            part.frames[schema.BLOCK] = np.repeat(runs, CLIP)
            part.frames["validation"] = np.repeat(np.isin(clips, VALIDATION_CLIPS), CLIP)
            if movie is not None:
                part.stimulus = take_clips(movie.train, clips, CLIP, flip)
        part.frames["clip_id"] = np.repeat(clips, CLIP)

    def _order(self, movie: NaturalMovie | None) -> np.ndarray:
        scan = self.attrs.get("scan_sequence_idx")
        if movie is None:
            return np.arange(len(TRAIN_PLACES))
        if scan is None:
            return np.arange(movie.orders.shape[0])
        if not 0 <= int(scan) < movie.orders.shape[1]:
            raise FormatError(
                self.file.path,
                f"{self.name}: scan_sequence_idx",
                f"one of the {movie.orders.shape[1]} scans",
                f"{scan}",
            )
        order: np.ndarray = movie.orders[:, int(scan)]
        return order

    def _triggers(self) -> np.ndarray:
        """Return the trigger times in s, the first row if they are repeated for each unit."""
        path = f"{self.name}/{self.stimulus}_trigger_times"
        if self.file.info(path) is None:
            raise FormatError(self.file.path, path, "trigger times", "nothing")
        stored = np.asarray(self.file.read(path))
        first: np.ndarray = stored[0] if stored.ndim == 2 else stored
        if first.ndim != 1 or not np.isfinite(first).all():
            raise FormatError(
                self.file.path, path, "finite times (unit, trigger)", f"shape {stored.shape}"
            )
        return first

    def _times(self) -> tuple[str, ...]:
        """Return the paths of the times of samples: one array, or starts and steps."""
        stem = f"{self.name}/{self.stimulus}_traces_"
        for names in ((f"{stem}times",), (f"{stem}t0", f"{stem}dt")):
            if all(self.file.info(name) is not None for name in names):
                return names
        raise FormatError(self.file.path, stem + "times", "times, or t0 and dt", "neither")

    def _units(self, rows: np.ndarray) -> dict[str, Any]:
        """Return labels of units, those in `rows`."""
        coords: dict[str, Any] = {}
        ids = self._column("roi_ids")
        coords[schema.UNIT] = rows if ids is None else ids[rows]
        for name, column in (
            ("cell_type_id", "group_assignment"),
            ("d_qi", "d_qi"),
            ("chirp_qi", "chirp_qi"),
        ):
            if (values := self._column(column)) is not None:
                coords[name] = values[rows]
        if (values := self._column("group_confidences")) is not None:
            coords["cell_type_confidence"] = values.max(axis=1)[rows]
        if ids is not None and self.file.info(f"{self.name}/roi_mask") is not None:
            mask = self.file.read(f"{self.name}/roi_mask")
            centres = [
                np.argwhere(mask == -roi).mean(axis=0)
                if (mask == -roi).any()
                else np.full(2, np.nan)
                for roi in ids[rows]
            ]
            coords["roi_y"], coords["roi_x"] = np.reshape(centres, (-1, 2)).T
        return coords
