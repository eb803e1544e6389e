"""Sridhar et al. 2025: marmoset ganglion cells, multi-electrode arrays, natural movie, white noise.

A folder for each stimulus, alone or beside the other, as open-retina distributes them::

    responses/cell_responses_<session>_fixation_movie.pkl, or ..._wn.pkl
        train_responses, test_responses (unit, time, trial); seeds, trial_separation
    stas/cell_data_<session>_WN_stas_cell_<unit>.npy              (lag, y, x)
  natural movie:
    fixations/<name>.txt                        a line per frame: image - - x y ... flip
    stimuli_padded_4/<image>_img_<number>.npy   (x, y)
  white noise:
    non_repeating_stimuli_<1|2>/trial_<trial>/all_images.npy, repeating_stimuli_<1|2>/all_images.npy
                                                (y, x, time)

The first lines of a file of fixations are the test, which was the same in every trial; those of
each train trial follow. Data: https://doi.org/10.12751/g-node.3dfiti; article:
https://doi.org/10.1101/2024.03.05.583449
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.files.probe import Probe
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.retina import arrays
from neuroarrays.formats.retina import nodes as retina
from neuroarrays.formats.retina.clips import Pickled
from neuroarrays.formats.retina.nodes import BlockData
from neuroarrays.formats.retina.sridhar import stimuli
from neuroarrays.formats.retina.sridhar.decode import fields
from neuroarrays.formats.sessions import Sessions
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import averaged
from neuroarrays.lazy.views import Arranged, ByRow, Folded, Taken

#: Stimulus -> how the names of its files of responses end.
STIMULI = {"natural_movie": "fixation_movie", "whitenoise": "wn"}
_FILE = re.compile(r"cell_responses_(.+)_(fixation_movie|wn)\.pkl")
RATE = 85.0
#: Width on the retina of the window on the movie, and of the whole noise, um.
_WIDTH = 6000.0
#: Test trials of a session that the authors use: the others were recorded with another seed.
_TEST_TRIALS = {"01": 10}
#: Fraction of trials for training, pairs of trials that show the same for 35 s, and the seed of the
#: random choice.
_SHARE, _PAIRS, _SEED = 0.8, ((0, 9), (10, 19)), 1000


class SridharReader(Reader):
    """Reads the folder of one stimulus, or a folder with those of both."""

    name = "sridhar_2025"
    description = "Sridhar et al. 2025: marmoset retina, film under eye movements and white noise"
    url = "https://doi.org/10.12751/g-node.3dfiti"
    only_area = retina.RETINA
    kind = schema.ALIGNED
    blocks = (retina.TRAIN, retina.TEST)

    def recognise(self, probe: Probe) -> bool:
        """Whether a path has files of responses with their names."""
        return bool(_folders(probe))

    def list_sessions(self, probe: Probe, *, stimulus: str | None = None) -> Sessions:
        """List the sessions by the names in their files of responses.

        Parameters
        ----------
        probe : Probe
            The folder of a stimulus, or the folder above it.
        stimulus : {"natural_movie", "whitenoise"}, optional
            The stimulus to open (default: the only one, or the natural movie if there are both).
        """
        if stimulus is not None:
            retina.choice("stimulus", stimulus, tuple(STIMULI))
        folders = _folders(probe)
        if not folders:
            raise probe.unknown(
                "responses/cell_responses_<session>_<fixation_movie|wn>.pkl, in it or one folder "
                "below",
                "",
            )
        shown = stimulus or next(s for s in STIMULI if s in folders)
        if shown not in folders:
            raise NotInTree("stimulus", shown, folders, where=probe.as_given)
        files = _files(folders[shown], shown)
        others = {name for kind in folders for name in _files(folders[kind], kind)} - set(files)
        notes = [f"{name} has no {shown}" for name in sorted(others)]
        stored = {
            name: _SridharFiles(folders[shown], file, name, shown) for name, file in files.items()
        }
        return Sessions(
            {schema.node_name(name): session for name, session in stored.items()}, notes
        )

    def open_session(
        self,
        session: _SridharFiles,
        name: str,
        request: Request,
        *,
        trials: str = "published",
        fixations: str | None = None,
        padding: int | None = None,
        mismatch: str = "error",
    ) -> dict[str, xr.Dataset]:
        """Open a session as the two blocks of an aligned tree.

        Parameters
        ----------
        session : _SridharFiles
            The file of its responses, and the folder of the stimulus.
        name : str
            Name of the session.
        request : Request
            The areas that the caller wants; the only area is "retina".
        trials : {"published", "all"}
            Which test trials of session 01 to open: the ten trials of its first seed, which the
            authors use, or all. Trials of its second seed do not match the published stimulus.
        fixations : str, optional
            Name or glob of the file of fixations of all sessions (default: the only file, or the
            one that is published for each session).
        padding : int, optional, pixels
            Width of the border of the images, which fixations do not count (default: a seventh of
            the width of an image if images have the published proportions, 7 x 6 borders).
        mismatch : {"error", "cut"}
            What to do with a trial whose stimulus is missing or differs in length from its
            responses: raise an error, or leave the trial out.
        """
        retina.choice("trials", trials, ("published", "all"))
        retina.choice("mismatch", mismatch, ("error", "cut"))
        opened = _SridharSession(
            session, _Wanted(trials == "published", fixations, padding, mismatch)
        )
        return opened.train() | opened.test()


@dataclass(frozen=True)
class _SridharFiles:
    """The folder and the file of one session.

    Attributes
    ----------
    folder, file : Probe
        The folder of the stimulus, and the file of responses in it.
    id, stimulus : str
        Name of the session in the name of the file, and name of the stimulus.
    """

    folder: Probe
    file: Probe
    id: str
    stimulus: str

    @property
    def path(self) -> str:
        """The path of the file, for messages."""
        return self.file.as_given


@dataclass(frozen=True)
class _Wanted:
    """The options of the reader."""

    published: bool
    fixations: str | None
    padding: int | None
    mismatch: str


def _folders(probe: Probe) -> dict[str, Probe]:
    """Return the folder of each stimulus: the given one, or those right below it."""
    by_stimulus: dict[str, Probe] = {}
    below = [child for child in probe.children if child.is_folder and child.name[0] != "_"]
    for folder in (probe, *below) if probe.is_folder else ():
        for stimulus in STIMULI:
            if not _files(folder, stimulus):
                continue
            if stimulus in by_stimulus:
                raise FormatError(
                    probe.as_given,
                    expected=f"one folder of the {stimulus}",
                    found=f"{by_stimulus[stimulus].name} and {folder.name}",
                    hint="open one of them",
                )
            by_stimulus[stimulus] = folder
    return by_stimulus


def _files(folder: Probe, stimulus: str) -> dict[str, Probe]:
    """Return the file of responses to a stimulus of each session."""
    if not folder.has("responses"):
        return {}
    matches = {file: _FILE.fullmatch(file.name) for file in folder.child("responses").children}
    return {m[1]: file for file, m in matches.items() if m and m[2] == STIMULI[stimulus]}


def validation_trials(trials: int) -> np.ndarray:
    """Return the trials for validation in open-retina: a fifth, drawn once.

    Parameters
    ----------
    trials : int
        Number of train trials.

    Returns
    -------
    (validation,) int64
        Numbers of the trials, in the order in which they were drawn. Trials 0 and 9, and trials
        10 and 19, show partly the same; of such a pair never is one for training and the other for
        validation.
    """
    draw = np.random.RandomState(_SEED)
    while True:
        order = draw.permutation(trials)
        validation = order[int(trials * _SHARE) :]
        sides = [{(trial in validation) for trial in pair if trial < trials} for pair in _PAIRS]
        if all(len(side) < 2 for side in sides):
            return validation.astype(np.int64)


class _SridharSession:
    """One session, and the nodes of its tree."""

    def __init__(self, session: _SridharFiles, wanted: _Wanted):
        self.folder, self.path, self.wanted = session.folder, session.file.path, wanted
        self.id, self.stimulus = session.id, session.stimulus
        session.file.check("file")
        pickled = Pickled(session.file.location, session.file.stamp)
        path, content = self.path, pickled.load()
        if not isinstance(content, dict):
            raise FormatError(path, expected="a dict", found=type(content).__name__)
        self.content: Mapping[Any, Any] = content
        self.responses = {}
        for block in (retina.TRAIN, retina.TEST):
            key = f"{block}_responses"
            if key not in content:
                raise FormatError(
                    path, expected=f"the key {key!r}", found=", ".join(map(str, content))
                )
            stored = arrays.floats(ByRow(pickled.array(content[key])))
            axes = len(stored.shape)
            if axes != 3 and (axes, block) != (2, retina.TEST):
                raise FormatError(path, key, "(unit, time, trial)", f"shape {stored.shape}")
            self.responses[block] = stored
        self.units, self.frames, self.count = self.responses[retina.TRAIN].shape
        if self.responses[retina.TEST].shape[0] != self.units:
            raise FormatError(
                path,
                "test_responses",
                f"{self.units} units, as in train_responses",
                f"{self.responses[retina.TEST].shape[0]}",
            )

    def train(self) -> dict[str, xr.Dataset]:
        """Return session and retina of the train block, with trials one after another."""
        part = self._part()
        test = self.responses[retina.TEST].shape[1]
        shown = self._shown(stimuli.BlockTrials(retina.TRAIN, self.count, self.frames, test))
        strict = self.wanted.mismatch == "error"
        if shown.misfit and (strict or not shown.trials.size):
            raise FormatError(
                self.path,
                "train_responses",
                f"a stimulus of {self.frames:,} frames for each of {self.count} trials",
                shown.misfit,
                'mismatch="cut" leaves out what has no stimulus' if strict else "",
            )
        by_time = Arranged(self.responses[retina.TRAIN], (1, 2, 0))
        if shown.misfit:
            left_out = np.setdiff1d(np.arange(self.count), shown.trials)
            part.attrs["dropped_trials"] = left_out.tolist()
            part.attrs["dropped_trailing_frames"] = self.frames - shown.frames
        trials = Arranged(arrays.cut(by_time, shown.frames), (1, 0, 2))
        whole = shown.trials.size == self.count
        part.responses = Folded(trials if whole else Taken(trials, shown.trials))
        labels = {
            schema.BLOCK: shown.trials,
            "validation": np.isin(shown.trials, validation_trials(self.count)),
        }
        if (seeds := self._seeds(self.count)) is not None:
            labels["seed"] = seeds[shown.trials]
        part.frames = {name: arrays.repeated(each, shown.frames) for name, each in labels.items()}
        return self._nodes(retina.TRAIN, part, shown)

    def test(self) -> dict[str, xr.Dataset]:
        """Return session and retina of the test block: one stimulus, by trial if the file has it."""
        part = self._part()
        stored = self.responses[retina.TEST]
        seeds = None
        if len(stored.shape) == 2:
            part.responses = Arranged(stored, (1, 0))
        else:
            trials: LazyArray = Arranged(stored, (2, 1, 0))
            seeds = self._seeds(trials.shape[0])
            limit = _TEST_TRIALS.get(self.id, trials.shape[0])
            if self.wanted.published and "seeds" in self.content and limit < trials.shape[0]:
                part.area_attrs["note"] = (
                    f'test trials from {limit} on are left out, their seed is another: trials="all"'
                )
                trials = arrays.cut(trials, limit)
                seeds = None if seeds is None else seeds[:limit]
            part.by_trial, part.responses = trials, averaged(trials)
        shown = self._shown(stimuli.BlockTrials(retina.TEST, 1, stored.shape[1]))
        nodes = self._nodes(retina.TEST, part, shown)
        if seeds is not None:
            area = f"{retina.TEST}/{retina.RETINA}"
            nodes[area] = nodes[area].assign_coords(seed=retina.along(schema.TRIAL, seeds))
        return nodes

    def _shown(self, trials: stimuli.BlockTrials) -> stimuli.Shown:
        if self.stimulus == "whitenoise":
            return stimuli.noise(self.folder, self.id, trials)
        return stimuli.windows(
            self.folder, self.id, trials, self.wanted.fixations, self.wanted.padding
        )

    def _part(self) -> BlockData:
        part = BlockData(self.path)
        part.attrs = {
            "session_id": self.id,
            "species": "marmoset",
            "stimulus_type": self.stimulus,
            **retina.rate_attrs(None, RATE, "published"),
        }
        return part

    def _nodes(self, block: str, part: BlockData, shown: stimuli.Shown) -> dict[str, xr.Dataset]:
        part.stimulus = shown.movie
        part.frames |= shown.labels
        part.attrs |= shown.attrs
        if shown.movie is not None:
            height, width = shown.movie.shape[2:]
            if 4 * height == 3 * width:
                part.attrs["um_per_pixel"] = round(_WIDTH / width, 9)
            part.units = self._fields((height, width))
        assert part.responses is not None
        part.time = retina.regular_clock(RATE, part.responses.shape[0])
        return retina.part_nodes(block, part, self.wanted.mismatch)

    def _fields(self, size: tuple[int, int]) -> dict[str, LazyArray]:
        """Return where each unit's average varies most, if averages have the size of the frames."""
        averages, stem = self.folder.child("stas"), f"cell_data_{self.id}_WN_stas_cell_"
        first = averages.child(f"{stem}0.npy")
        if not first.exists or arrays.npy_array(first).shape[1:] != size:
            return {}
        stored = tuple(averages.has(f"{stem}{unit}.npy") for unit in range(self.units))
        mirrored = self.stimulus == "natural_movie"
        axes = enumerate(("field_y", "field_x"))
        return {
            name: fields((averages.location, stem), stored, axis, size, mirrored)
            for axis, name in axes
        }

    def _seeds(self, trials: int) -> np.ndarray | None:
        """Return the seed of each trial, (trial,) int64, -1 if the file does not have it."""
        groups = self.content.get("trial_separation")
        if not isinstance(groups, dict):
            return None
        seeds = np.full(trials, -1)
        for seed, places in groups.items():
            where = np.asarray(places)
            if where.dtype.kind not in "iu" or not isinstance(seed, int | np.integer):
                raise FormatError(
                    self.path,
                    "trial_separation",
                    "numbers of trials by seed",
                    f"{seed!r}: {places!r}"[:80],
                )
            seeds[where[(where >= 0) & (where < trials)]] = seed
        return seeds
