"""Maheswaranathan et al. 2023: salamander ganglion cells, natural scenes and white noise, MEA.

``neural_code_data/ganglion_cell_data/<session>/<stimulus>.h5`` with, for train and test::

    <split>/stimulus             (time, y, x) uint8        <split>/time   (time,) s
    <split>/response/<type>      (unit, time); of the test one bin more than the stimulus
    test/repeats/cellNN          (trial, time), or
    test/repeats/<type>          (trial, unit, time)
    spikes/cellNN                spike times of the train stimulus, s

Response types: `binned` (counts per frame) and `firing_rate_5ms`, `_10ms`, `_20ms` (Hz). The unit
of repeats by cell is not documented. https://doi.org/10.1016/j.neuron.2023.06.007
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.files import source
from neuroarrays.files.probe import Probe, asked
from neuroarrays.files.source import Source
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.retina import arrays, cells, containers
from neuroarrays.formats.retina import nodes as retina
from neuroarrays.formats.retina.nodes import BlockData
from neuroarrays.formats.sessions import Sessions, find
from neuroarrays.lazy.arrays import LazyArray, file_array, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Arranged, Joined, transposed

STIMULI = ("naturalscene", "whitenoise")
#: Folders between the unpacked archive and the sessions.
_FOLDERS = ("ganglion_cell_data", "neural_code_data/ganglion_cell_data")
_RATE, _PIXEL = 100.0, 50.0
#: Equal stretches of the train stimulus in known sessions, each followed by a transient.
_BLOCKS = {"15-10-07": 6, "15-11-21a": 6, "15-11-21b": 6}
_BLOCK_FRAMES = 59_967
_REPEATS = "test/repeats"


class MaheswaranathanReader(Reader):
    """Reads the folder `neural_code_data`, its `ganglion_cell_data`, a session, or one file."""

    name = "maheswaranathan_2023"
    description = "Maheswaranathan et al. 2023: salamander retina, natural scenes and white noise"
    url = "https://doi.org/10.1016/j.neuron.2023.06.007"
    only_area = retina.RETINA
    kind = schema.ALIGNED
    blocks = (retina.TRAIN, retina.TEST)

    def recognise(self, probe: Probe) -> bool:
        """Whether a path has a file with responses and a clock for train and test."""
        if probe.is_file:
            return _is_one(probe)
        folders = _folders(probe).good.values()
        return any(asked(_is_one, file) for folder in folders for file in _files(folder))

    def list_sessions(self, probe: Probe, *, stimulus: str = "naturalscene") -> Sessions:
        """List the file of each session; a single file has the name of its folder.

        Parameters
        ----------
        probe : Probe
            The folder of all sessions, the folder of one, or one file.
        stimulus : {"naturalscene", "whitenoise"}
            The stimulus whose recording to open; it has no effect if `probe` is one file.
        """
        retina.choice("stimulus", stimulus, STIMULI)
        if not probe.is_folder:
            return Sessions({schema.node_name(probe.parent.name): probe})
        return containers.with_ending(probe, _folders(probe), "{}.h5", (stimulus, *STIMULI))

    def open_session(
        self,
        session: Probe | containers.Recorded,
        name: str,
        request: Request,
        *,
        response: str = "firing_rate_10ms",
    ) -> dict[str, xr.Dataset]:
        """Open a file as the two blocks of an aligned tree.

        Parameters
        ----------
        session : Probe or Recorded
            The file of the session.
        name : str
            Name of the session.
        request : Request
            The areas that the caller wants; the only area is "retina".
        response : str
            Which responses: ``"binned"`` (spikes per frame), or ``"firing_rate_5ms"``,
            ``"firing_rate_10ms"`` or ``"firing_rate_20ms"`` (smoothed over so long, Hz).
        """
        if isinstance(session, containers.Recorded):
            session = session.probe.child(session.name)
        recording = _Recording(session, name, response)
        return recording.nodes(retina.TRAIN) | recording.nodes(retina.TEST)


def _folders(probe: Probe) -> Sessions:
    """Return folders of sessions: the given one, or those in it or one level below."""
    below = next((child for f in _FOLDERS if (child := probe.child(f)).is_folder), probe)
    return find(below, lambda folder: bool(_files(folder)), called=lambda folder: folder.name)


def _files(folder: Probe) -> list[Probe]:
    """Return the HDF5 files of a folder that are named after a stimulus."""
    ends = tuple(f"{stimulus}.h5" for stimulus in STIMULI)
    return [child for child in folder.children if child.name.endswith(ends)]


def _is_one(probe: Probe) -> bool:
    if probe.container != "hdf5":
        return False
    file = probe.source
    timed = file.info("train/time") is not None
    return timed and bool(file.names("train/response") and file.names("test/response"))


class _Recording:
    """One file, and the nodes of its tree."""

    def __init__(self, probe: Probe, session: str, response: str):
        self.path, self.session, self.response = probe.path, session, response
        self.stimulus = next((s for s in STIMULI if s in probe.name), "")
        self.file: Source = probe.source
        types = self.file.names("train/response")
        if not types:
            raise FormatError(self.path, "train/response", "responses", "none")
        if response not in types:
            raise NotInTree("response type", response, types, where=self.path)
        self.cells = cells.numbers(self.file, "spikes")

    def nodes(self, block: str) -> dict[str, xr.Dataset]:
        """Return session and retina, and for the train block also spikes."""
        part = BlockData(self.path, **self._arrays(block))
        rate = self._rate(block)
        part.attrs |= {
            "session_id": self.session,
            "species": "Ambystoma tigrinum",
            "um_per_pixel": _PIXEL,
            "stimulus_type": self.stimulus,
            **rate,
        }
        assert part.responses is not None
        units = part.responses.shape[1]
        part.responses = self._on_clock(part.responses, part, f"{block}/response/{self.response}")
        if block == retina.TRAIN:
            blocks = _BLOCKS.get(self.session, 0)
            if blocks and part.responses.shape[0] == blocks * _BLOCK_FRAMES:
                part.frames[schema.BLOCK] = np.repeat(np.arange(blocks), _BLOCK_FRAMES)
        part.units = self._units(units)
        part.area_attrs["response_type"] = self.response
        if block == retina.TEST:
            trials, unit = self._repeats(units)
            if trials is not None:
                by_time = self._on_clock(Arranged(trials, (1, 0, 2)), part, _REPEATS)
                part.by_trial = Arranged(by_time, (1, 0, 2))
                part.area_attrs["repeats"] = unit
        nodes = retina.part_nodes(block, part)
        area = nodes[f"{block}/{retina.RETINA}"]
        area[schema.RESPONSES].attrs["units"] = "1" if self.response == "binned" else "Hz"
        if block == retina.TRAIN and self.cells:
            nodes[f"{block}/{retina.RETINA}/{schema.SPIKES}"] = self._spikes()
        return nodes

    def _arrays(self, block: str) -> dict[str, Any]:
        path = f"{block}/response/{self.response}"
        stored = arrays.floats(file_array(self.file, path))
        if len(stored.shape) != 2:
            raise FormatError(self.path, path, "(unit, time)", f"shape {stored.shape}")
        movie = file_array(self.file, f"{block}/stimulus")
        if len(movie.shape) != 3:
            raise FormatError(self.path, f"{block}/stimulus", "(time, y, x)", f"{movie.shape}")
        fields: dict[str, Any] = {"responses": transposed(stored)}
        fields["stimulus"] = Arranged(arrays.pixels(movie), (0, Arranged.NEW, 1, 2))
        fields["time"] = file_array(self.file, f"{block}/time")
        if fields["time"].shape != movie.shape[:1]:
            raise FormatError(
                self.path,
                f"{block}/time",
                f"{movie.shape[0]} times, one per frame",
                f"shape {fields['time'].shape}",
            )
        return fields

    def _rate(self, block: str) -> dict[str, Any]:
        """Return frames per second, from the ends of the clock."""
        frames = (self.file.info(f"{block}/time") or source.Info((0,), np.dtype("f8"), None)).shape[
            0
        ]
        if frames < 2:
            return retina.rate_attrs(None, _RATE, "published")
        first, last = (float(self.file.read(f"{block}/time", (k,))) for k in (0, frames - 1))
        if not last > first:
            raise FormatError(
                self.path,
                f"{block}/time",
                "times that increase",
                f"{first} s first and {last} s last",
            )
        return retina.rate_attrs(None, round((frames - 1) / (last - first), 6))

    def _on_clock(self, array: LazyArray, part: BlockData, where: str) -> LazyArray:
        """Return the bins (time, ...) that the clock has; the number of others is recorded."""
        assert part.time is not None
        frames, length = part.time.shape[0], array.shape[0]
        if length < frames:
            raise FormatError(
                self.path,
                where,
                f"a bin for each of the {frames:,} times",
                f"{length:,} bins",
                "responses may be longer than the clock, not shorter",
            )
        if length > frames:
            part.attrs["dropped_trailing_bins"] = length - frames
        return arrays.cut(array, frames)

    def _units(self, count: int) -> dict[str, Any]:
        if len(self.cells) == count:
            return {
                schema.UNIT: np.array([*self.cells.values()]),
                "cell": np.array([*self.cells], object),
            }
        if self.cells:
            raise FormatError(
                self.path, "spikes", f"{count} cells, as in the responses", f"{len(self.cells)}"
            )
        return {schema.UNIT: np.arange(1, count + 1)}

    def _repeats(self, units: int) -> tuple[LazyArray | None, str]:
        """Return repeats as (trial, time, unit), with attributes about their unit."""
        if self.response in self.file.names(_REPEATS):
            path = f"{_REPEATS}/{self.response}"
            stored = arrays.floats(file_array(self.file, path))
            if len(stored.shape) != 3 or stored.shape[1] != units:
                raise FormatError(
                    self.path, path, f"(trial, {units} units, time)", f"shape {stored.shape}"
                )
            return Arranged(stored, (0, 2, 1)), self.response
        return cells.repeats(self.file, _REPEATS, units), "per cell, unit not documented"

    def _spikes(self) -> xr.Dataset:
        """Return spikes of the train stimulus as a ragged array."""
        bases = tuple(file_array(self.file, f"spikes/{cell}") for cell in self.cells)
        for cell, base in zip(self.cells, bases, strict=True):
            if len(base.shape) != 1 or base.dtype.kind != "f":
                raise FormatError(
                    self.path, f"spikes/{cell}", "times (spike,) in s", f"{base.dtype} {base.shape}"
                )
        sizes = np.array([base.shape[0] for base in bases], np.int64)
        variables = {
            schema.SPIKE_TIMES: schema.var("spikes", schema.SPIKE_TIMES, wrap(Joined(bases))),
            schema.ROW_SIZE: schema.var(
                "spikes", schema.ROW_SIZE, sizes, sample_dimension=schema.SPIKE
            ),
        }
        return dataset(variables)  # unit_id is that of the retina above
