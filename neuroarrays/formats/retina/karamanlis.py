"""Karamanlis et al. 2024: mouse and marmoset ganglion cells, multi-electrode arrays.

``<date>_<252MEA|60MEA>_<species>_<eye>_<part>[.zip]/`` with MATLAB v7.3 files (HDF5), one per
stimulus, `<...><stimulus>_data.mat`, and `expdata.mat`; as h5py sees them::

    frozenbin    (trial, time, unit)    spikes per frame, repeated sequence: the test
    runningbin   (block, time, unit)    never repeated: the train
    frozenImages, runningImages         (image, x, y) uint8
    frozenfixations (time, 3), runningfixations (block, time, 3): 1-based image, x, y
    rawdata.spikesbin (time, unit)      gratings, in place of frozenbin and runningbin: trials of
    rawdata.stimPara.{Running,Frozen}Frames    as many running, then as many frozen frames
    trialCounts (presentation, unit), presentOrder, imageEnsemble (image, x, y), isartificial
                                        flashed images, in place of frozenbin and runningbin
    expdata.mat: projector/{refreshrate,pixelsize,screen}, units, cellclus_id, typelabels

Checkers and gratings were made on the fly from seeds. Checkers are drawn again from theirs
(`stimPara.{seed,secondseed,Nx,Ny,RunningFrames,FrozenFrames}`) with the generator that the lab
published, https://github.com/dimokaramanlis/subunit_grid_model; gratings come without a stimulus.
Data: https://doi.org/10.12751/g-node.ejk8kx; article: https://doi.org/10.1038/s41586-024-08212-3
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.files.probe import Probe, asked
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.retina import arrays, containers
from neuroarrays.formats.retina import nodes as retina
from neuroarrays.formats.retina.containers import Recorded
from neuroarrays.formats.retina.expdata import Experiment, species_of
from neuroarrays.formats.retina.flashes import Flashes, flash_nodes
from neuroarrays.formats.retina.movies import Checkers, FixationMovie
from neuroarrays.formats.retina.nodes import BlockData
from neuroarrays.formats.sessions import Sessions, find
from neuroarrays.lazy.arrays import LazyArray, file_array
from neuroarrays.lazy.computed import Movie, averaged
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Arranged, Blocks, Folded, Taken

STIMULI = ("fixationmovie", "frozencheckerflicker", "gratingflicker", "imagesequence")
_PREFIX = {retina.TRAIN: "running", retina.TEST: "frozen"}
#: Checkers of a block that are drawn at once.
_MOST_CHECKERS = 1 << 30
_NO_STIMULUS = "the file does not hold what was shown (it was made from seeds on the fly)"


class KaramanlisReader(Reader):
    """Reads a folder of sessions, one session's folder, or zips of these without unpacking."""

    name = "karamanlis_2024"
    description = "Karamanlis et al. 2024: mouse and marmoset retina, images under eye movements"
    url = "https://doi.org/10.12751/g-node.ejk8kx"
    only_area = retina.RETINA
    kind = schema.ALIGNED
    blocks = (retina.TRAIN, retina.TEST)

    def recognise(self, probe: Probe) -> bool:
        """Whether a session has a `<stimulus>_data.mat`."""
        return any(asked(_holds, session) for session in _folders(probe).good.values())

    def list_sessions(
        self, probe: Probe, *, species: str | None = None, stimulus: str = "fixationmovie"
    ) -> Sessions:
        """List the file of the stimulus in each session.

        Parameters
        ----------
        probe : Probe
            A folder of sessions, a session's folder, or its zip.
        species : {"mouse", "marmoset"}, optional
            Open only sessions of this species (default: both).
        stimulus : str
            The stimulus whose responses to open: "fixationmovie", "frozencheckerflicker",
            "gratingflicker" or "imagesequence".
        """
        retina.choice("stimulus", stimulus, STIMULI)
        sessions = _folders(probe)
        if species is not None:
            present = sorted({species_of(name) for name in sessions})
            of_species = {
                name: session for name, session in sessions.items() if species_of(name) == species
            }
            if not of_species:
                raise NotInTree("species", species, present)
            sessions = Sessions(of_species, sessions.notes)
        return containers.with_ending(probe, sessions, "{}_data.mat", (stimulus, *STIMULI))

    def open_session(
        self,
        session: Recorded,
        name: str,
        request: Request,
        *,
        stimulus: str = "fixationmovie",
        size: tuple[int, int] | None = (60, 80),
        geometry: str = "matlab",
    ) -> dict[str, xr.Dataset]:
        """Open a session as the two blocks of an aligned tree.

        Parameters
        ----------
        session : Recorded
            The file of the stimulus in the session.
        name : str
            Name of the session.
        request : Request
            The areas that the caller wants; the only area is "retina".
        stimulus : str
            The stimulus, as in `list_sessions`.
        size : (int, int) or None, pixels
            Height and width of the rendered frames of movies, by antialiased bilinear interpolation.
            None renders them at the size of the screen, 1.9 MB per frame. Flashed images are not
            changed.
        geometry : {"matlab", "openretina"}
            What a frame shows where the image does not cover the screen. "matlab" shows black.
            "openretina" shows black too, but repeats one column and one row of the opposite edge at
            the left and the top of the image, as open-retina does.
        """
        retina.choice("geometry", geometry, ("matlab", "openretina"))
        opened = _KaramanlisSession(name, session, stimulus)
        wrap = geometry == "openretina"
        nodes = opened.nodes(retina.TRAIN, size, wrap) | opened.nodes(retina.TEST, size, wrap)
        request.notes.extend(filter(None, [opened.experiment.note]))
        return nodes


def _folders(probe: Probe) -> Sessions:
    """Return folders and zips of sessions: the given one, or those in a folder."""
    if not probe.is_folder or any(name.endswith("_data.mat") for name in probe.names):
        return Sessions({schema.node_name(_name(probe)): probe})
    names = [_name(child) for child in probe.children if _is_there(child)]
    for name in names:
        if names.count(name) > 1:
            raise FormatError(probe.as_given, name, "a session once", "its folder and its zip")
    return find(probe, _is_there, _is_named, called=_name)


def _is_there(probe: Probe) -> bool:
    return _is_named(probe) and (probe.is_folder or probe.container == "zip")


def _is_named(probe: Probe) -> bool:
    """Whether a path has the name of a session or of its zip."""
    return "MEA_" in probe.name and probe.suffix in ("", ".zip")


def _holds(session: Probe) -> bool:
    ends = tuple(f"{stimulus}_data.mat" for stimulus in STIMULI)
    return any(name.endswith(ends) for name in containers.members(session))


def _name(probe: Probe) -> str:
    return probe.name.removesuffix(".zip")


class _KaramanlisSession:
    """One stimulus of one session, and the nodes of its tree."""

    def __init__(self, name: str, recorded: Recorded, stimulus: str):
        self.name, self.stimulus, self.where = name, stimulus, recorded.path
        self.file = containers.member_source(recorded.probe, recorded.name)
        self.experiment = Experiment(name, recorded.probe)
        flat = self.file.info("stimPara") is None and bool(self.file.names("stimPara"))
        #: Groups of the stimulus' parameters: of the file, or of each part of the recording.
        self.parameters = ["stimPara"] if flat else self._parts("stimPara")
        binned = [f"{prefix}bin" for prefix in _PREFIX.values()]
        #: Whether images were flashed, so that responses are along presentations.
        self.flashed = self.file.info("trialCounts") is not None and not any(
            self.file.info(name) is not None for name in binned
        )

    def nodes(self, block: str, size: tuple[int, int] | None, wrap: bool) -> dict[str, xr.Dataset]:
        """Return session, images and retina of one block; all flashed images are in the train block."""
        prefix, node = _PREFIX[block], block
        if self.flashed:
            return self._flashes(node) if block == retina.TRAIN else {}
        binned = self._binned(prefix)
        part = BlockData(self.where, attrs=self._attrs())
        if block == retina.TRAIN:
            part.responses = Folded(binned)
            part.frames[schema.BLOCK] = np.repeat(np.arange(binned.shape[0]), binned.shape[1])
        else:
            part.by_trial, part.responses = binned, averaged(binned)
        part.units = self.experiment.units(binned.shape[2])
        part.time = retina.regular_clock(part.attrs.get("sampling_rate"), part.responses.shape[0])
        images = self._show(part, prefix, size, wrap)
        nodes = retina.part_nodes(node, part)
        for name in (schema.RESPONSES, "responses_by_trial"):
            if name in (area := nodes[f"{node}/{retina.RETINA}"]):
                area[name].attrs["units"] = "spikes per frame"
        return nodes | ({f"{node}/images": images} if images is not None else {})

    def _attrs(self) -> dict[str, Any]:
        """Return facts of the session, and the parameters of its stimulus."""
        facts = {
            "session_id": self.name,
            "species": self.experiment.species,
            "stimulus_type": self.stimulus,
            **self.experiment.rate,
        }
        for group in self.parameters[:1]:
            for name in self.file.names(group):
                info = self.file.info(f"{group}/{name}")
                if info is not None and info.dtype.kind in "iuf" and math.prod(info.shape) == 1:
                    facts[f"stimulus_{name}"] = self._number(group, name)
        return facts

    def _number(self, group: str, name: str) -> float:
        if self.file.info(f"{group}/{name}") is None:
            raise FormatError(self.where, f"{group}/{name}", "a number", "nothing of that name")
        return float(np.ravel(self.file.read(f"{group}/{name}"))[0])

    def _parts(self, name: str) -> list[str]:
        """Return the paths of a field of `rawdata`: one, or one for each part of the recording."""
        info = self.file.info(f"rawdata/{name}")
        if info is not None and info.dtype.kind == "O":
            return [str(reference) for reference in np.ravel(self.file.read(f"rawdata/{name}"))]
        stored = info is not None or bool(self.file.names(f"rawdata/{name}"))
        return [f"rawdata/{name}"] if stored else []

    def _binned(self, prefix: str) -> LazyArray:
        """Return spikes per frame, (trial or block, time, unit)."""
        recorded = self._parts("spikesbin")
        if not recorded or self.file.info(f"{prefix}bin") is not None:
            return self._three(f"{prefix}bin", "(trial or block, time, unit)")
        trials: list[LazyArray] = []
        for path, parameters in zip(recorded, self.parameters, strict=True):
            stored = arrays.floats(file_array(self.file, path))
            running, frozen = (
                int(self._number(parameters, f"{kind}Frames")) for kind in ("Running", "Frozen")
            )
            if len(stored.shape) != 2 or running < 1 or frozen < 1:
                raise FormatError(
                    self.where,
                    path,
                    "(time, unit), and running and frozen frames",
                    f"{stored.shape}, {running} and {frozen}",
                )
            period = running + frozen
            cut = range(running) if prefix == "running" else range(running, period)
            trials.append(Taken(Blocks(stored, period), cut, 1))
        return arrays.joined(trials, self.where, "rawdata/spikesbin")

    def _flashes(self, block: str) -> dict[str, xr.Dataset]:
        """Return flashed images: spikes of each presentation, and the image that was shown."""
        counts = arrays.floats(file_array(self.file, "trialCounts"))
        order = np.ravel(self.file.read("presentOrder")).astype(np.int64)
        attrs, table = self._attrs(), {"image_id": order}
        stored: LazyArray | None = None
        if self.file.info("imageEnsemble") is None:
            attrs["note"] = "the file does not hold the images"
        else:
            stored = arrays.pixels(file_array(self.file, "imageEnsemble"))
            if len(stored.shape) != 3:
                raise FormatError(self.where, "imageEnsemble", "(image, x, y)", f"{stored.shape}")
            if order.size and not 1 <= order.min() <= order.max() <= stored.shape[0]:
                raise FormatError(
                    self.where,
                    "presentOrder",
                    f"images from 1 to {stored.shape[0]}",
                    f"{order.min()} to {order.max()}",
                )
            attrs["um_per_pixel"] = round(self.experiment.pixel, 9)
            artificial = self.file.info("isartificial")
            if artificial is not None and math.prod(artificial.shape) == stored.shape[0]:
                kinds = np.ravel(self.file.read("isartificial")).astype(bool)
                table["artificial"] = kinds[order - 1]
        if len(counts.shape) != 2 or counts.shape[0] != order.size:
            raise FormatError(
                self.where,
                "trialCounts",
                f"({order.size} presentations, unit)",
                f"shape {counts.shape}",
            )
        shown = None if stored is None else Taken(Arranged(stored, (0, 2, 1)), order - 1)
        units = self.experiment.units(counts.shape[1])
        return flash_nodes(
            block, Flashes(self.where, shown, counts, None, units, table, "1", attrs)
        )

    def _three(self, name: str, axes: str) -> LazyArray:
        """Return an array of three axes; MATLAB drops its last axis (our first) if its length is 1."""
        if self.file.info(name) is None:
            raise FormatError(
                self.where,
                name,
                f"{axes}",
                "nothing of that name",
                "responses of this stimulus are laid out otherwise",
            )
        stored = arrays.floats(file_array(self.file, name))
        if len(stored.shape) == 2:
            stored = Arranged(stored, (Arranged.NEW, 0, 1))
        if len(stored.shape) != 3:
            raise FormatError(self.where, name, axes, f"shape {stored.shape}")
        return stored

    def _draw(self, part: BlockData, prefix: str) -> None:
        """Add the checkers to the block, if the file tells how they were drawn."""
        seed = {"running": "seed", "frozen": "secondseed"}[prefix]
        wanted = (seed, "Nx", "Ny", f"{prefix.capitalize()}Frames")
        known = [part.attrs.get(f"stimulus_{name}") for name in wanted]
        black_and_white = part.attrs.get("stimulus_blackwhite", 1.0)
        if self.stimulus != "frozencheckerflicker" or None in known or not black_and_white:
            part.attrs["note"] = _NO_STIMULUS
            return
        number, across, down, frames = (int(value) for value in known if value is not None)
        blocks, length, _ = self._binned(prefix).shape
        if min(across, down, frames) < 1 or frames != length:
            part.attrs["note"] = _NO_STIMULUS
            return
        if across * down * frames > _MOST_CHECKERS:
            raise FormatError(
                self.where,
                "stimPara",
                f"at most {_MOST_CHECKERS:,} checkers a block",
                f"{across} x {down} x {frames}",
            )
        blocks = blocks if prefix == "running" else 1  # repeats begin anew
        part.stimulus = Movie(Checkers(number, blocks, frames, down, across))
        part.attrs["note"] = "checkers drawn again from their seed, white 255, black 0"
        if (stixel := part.attrs.get("stimulus_stixelheight")) is not None:
            part.attrs["um_per_pixel"] = round(self.experiment.pixel * stixel, 9)

    def _show(
        self, part: BlockData, prefix: str, size: tuple[int, int] | None, wrap: bool
    ) -> xr.Dataset | None:
        """Add the movie to the block, and return the images it is rendered from as a node."""
        names = (f"{prefix}Images", f"{prefix}fixations")
        if any(self.file.info(name) is None for name in names):
            self._draw(part, prefix)
            return None
        images = arrays.pixels(file_array(self.file, names[0]))
        if len(images.shape) == 2:
            images = Arranged(images, (Arranged.NEW, 0, 1))
        fixations = Folded(self._three(names[1], "(block, time, 3)"))
        if len(images.shape) != 3 or fixations.shape[1] != 3:
            raise FormatError(
                self.where,
                names[0],
                "(image, x, y), and fixations (..., 3)",
                f"{images.shape} and {fixations.shape}",
            )
        screen = self.experiment.screen
        height, width = screen if size is None else (int(size[0]), int(size[1]))
        if height < 1 or width < 1:
            msg = f"size: expected a height and a width of 1 or more pixels, got {size}"
            raise ValueError(msg)
        part.stimulus = Movie(
            FixationMovie(self.where, names[1], images, fixations, screen, (height, width), wrap)
        )
        part.frames["image_id"] = arrays.column(fixations, 0, np.dtype("i8"))
        part.frames["gaze_x"] = arrays.column(fixations, 1, np.dtype("f8"))
        part.frames["gaze_y"] = arrays.column(fixations, 2, np.dtype("f8"))
        scale = screen[0] / height, screen[1] / width
        part.attrs |= {
            "um_per_pixel": round(self.experiment.pixel * scale[0], 9),
            "um_per_pixel_x": round(self.experiment.pixel * scale[1], 9),
            "screen_pixels": list(screen),
            "geometry": "openretina" if wrap else "matlab",
        }
        dims = (schema.IMAGE, "image_y", "image_x")
        stored = Arranged(images, (0, 2, 1)).variable(dims, {"long_name": "images as stored"})
        ids = retina.along(schema.IMAGE, np.arange(1, images.shape[0] + 1))
        return dataset({"image": stored}, {schema.IMAGE: ids})
