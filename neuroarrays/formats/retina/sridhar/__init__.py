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

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.files import opening
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.retina import arrays, containers
from neuroarrays.formats.retina import nodes as retina
from neuroarrays.formats.retina.clips import Pickled
from neuroarrays.formats.retina.nodes import Part
from neuroarrays.formats.retina.sridhar import stimuli
from neuroarrays.formats.retina.sridhar.decode import fields
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.views import Arranged, Averaged, ByRow, Folded, Taken

#: Stimulus -> how the names of its files of responses end.
STIMULI = {"natural_movie": "fixation_movie", "whitenoise": "wn"}
_FILE = re.compile(r"cell_responses_(.+)_(fixation_movie|wn)\.pkl")
RATE = 85.0
#: What the window on a movie, or the whole noise, is wide on the retina, um.
_WIDTH = 6000.0
#: Test trials of a session that the authors use: the others were recorded with another seed.
_TEST_TRIALS = {"01": 10}
#: Share of trials that train, pairs of trials that show the same for 35 s, and the seed of the draw.
_SHARE, _PAIRS, _SEED = 0.8, ((0, 9), (10, 19)), 1000


class SridharReader(Reader):
    """Reads the folder of one stimulus, or a folder in which those of both are."""

    name = "sridhar_2025"
    description = "Sridhar et al. 2025: marmoset retina, film under eye movements and white noise"
    url = "https://doi.org/10.12751/g-node.3dfiti"
    only_area = retina.RETINA

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether there are files of responses under their names."""
        return containers.recognised(filename_or_obj, lambda path: bool(_folders(path)))

    def open_groups(
        self,
        filename_or_obj: Any,
        request: Request,
        *,
        stimulus: str | None = None,
        trials: str = "published",
        fixations: str | None = None,
        padding: int | None = None,
        mismatch: str = "error",
        skip_damaged: bool = False,
    ) -> dict[str, xr.Dataset]:
        """Open sessions as the groups of an aligned tree.

        Parameters
        ----------
        filename_or_obj : str or path
            The folder of a stimulus, or the one above.
        request : Request
            What to open; the only area is "retina".
        stimulus : {"natural_movie", "whitenoise"}, optional
            Needed where there are both and the natural movie is not meant.
        trials : {"published", "all"}
            Which test trials of session 01: the ten of its first seed, or all; those of the second
            do not match.
        fixations : str, optional
            Name or glob of the file of fixations, for all sessions; else the only one, or the one
            that is published for a session.
        padding : int, optional, pixels
            How much wider images are on every side than fixations count from, where they are not
            of the published proportions (7 x 6 paddings).
        mismatch : {"error", "cut"}
            Where a trial has no stimulus as long as its responses: refuse, or leave it out.
        skip_damaged : bool
            Leave out a session that cannot be read, and say so in ``notes``.
        """
        retina.choice("trials", trials, ("published", "all"))
        retina.choice("mismatch", mismatch, ("error", "cut"))
        if stimulus is not None:
            retina.choice("stimulus", stimulus, tuple(STIMULI))
        folders = _folders(filename_or_obj)
        if not folders:
            raise FormatError(
                filename_or_obj,
                expected="responses/cell_responses_<session>_"
                "<fixation_movie|wn>.pkl, in it or one folder below",
                found=opening.describe(filename_or_obj),
            )
        shown = stimulus or next(s for s in STIMULI if s in folders)
        if shown not in folders:
            raise NotInTree("stimulus", shown, folders, where=os.fspath(filename_or_obj))
        files = _files(folders[shown], shown)
        others = {name for kind in folders for name in _files(folders[kind], kind)} - set(files)
        notes = [f"{name} has no {shown}" for name in sorted(others)]
        wanted = _Wanted(shown, trials == "published", fixations, padding, mismatch)
        try:
            names = request.sessions(files)
        except NotInTree as error:
            raise NotInTree("session", error.name, error.available, "; ".join(notes)) from None

        def open_one(name: str) -> dict[str, dict[str, xr.Dataset]]:
            session = _Session(folders[shown], name, files[name], wanted)
            return {retina.TRAIN: session.train(), retina.TEST: session.test()}

        places = {name: files[name] for name in names}
        made = retina.by_block(places, open_one, skip_damaged, notes)
        return retina.assemble(made, {"source": self.name, "notes": notes})


@dataclass(frozen=True)
class _Wanted:
    """The options of a reading."""

    stimulus: str
    published: bool
    fixations: str | None
    padding: int | None
    mismatch: str


def _folders(path: str | os.PathLike[str]) -> dict[str, Path]:
    """Stimulus -> its folder: the one given, or one right below."""
    path = containers.existing(path)
    if not path.is_dir():
        return {}
    found: dict[str, Path] = {}
    for folder in (path, *containers.folders(path)):
        for stimulus in STIMULI:
            if not _files(folder, stimulus):
                continue
            if stimulus in found:
                raise FormatError(
                    path,
                    expected=f"one folder of the {stimulus}",
                    found=f"{found[stimulus].name} and {folder.name}",
                    hint="open one of them",
                )
            found[stimulus] = folder
    return found


def _files(folder: Path, stimulus: str) -> dict[str, Path]:
    """Session -> its responses to a stimulus."""
    if not (folder / "responses").is_dir():
        return {}
    found = {path: _FILE.fullmatch(path.name) for path in sorted((folder / "responses").iterdir())}
    return {m[1]: path for path, m in found.items() if m and m[2] == STIMULI[stimulus]}


def validation_trials(trials: int) -> np.ndarray:
    """Numbers of the trials that open-retina validates on: a fifth, drawn once.

    Parameters
    ----------
    trials : int
        How many train trials there are.

    Returns
    -------
    (validation,) int64
        In the order drawn. Trials 0 and 9, and 10 and 19, show in part the same, and are never on
        both sides.
    """
    draw = np.random.RandomState(_SEED)
    while True:
        order = draw.permutation(trials)
        held = order[int(trials * _SHARE) :]
        sides = [{(trial in held) for trial in pair if trial < trials} for pair in _PAIRS]
        if all(len(side) < 2 for side in sides):
            return held.astype(np.int64)


class _Session:
    """One session on its way to the tree."""

    def __init__(self, folder: Path, name: str, path: Path, wanted: _Wanted):
        self.folder, self.path, self.wanted = folder, path, wanted
        self.id, self.name = name, schema.node_name(name)
        pickled = Pickled(os.path.abspath(path))
        held = pickled.load()
        if not isinstance(held, dict):
            raise FormatError(path, expected="a dict", found=type(held).__name__)
        self.held: Mapping[Any, Any] = held
        self.responses = {}
        for block in (retina.TRAIN, retina.TEST):
            key = f"{block}_responses"
            if key not in held:
                raise FormatError(
                    path, expected=f"the key {key!r}", found=", ".join(map(str, held))
                )
            stored = arrays.floats(ByRow(pickled.array(held[key])))
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
        """Session and retina of the train block: trials one after another."""
        part = self._part()
        test = self.responses[retina.TEST].shape[1]
        shown = self._shown(stimuli.Trials(retina.TRAIN, self.count, self.frames, test))
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
        """Session and retina of the test block: one stimulus, by trial where the file has it."""
        part = self._part()
        stored = self.responses[retina.TEST]
        seeds = None
        if len(stored.shape) == 2:
            part.responses = Arranged(stored, (1, 0))
        else:
            trials: LazyArray = Arranged(stored, (2, 1, 0))
            seeds = self._seeds(trials.shape[0])
            limit = _TEST_TRIALS.get(self.id, trials.shape[0])
            if self.wanted.published and "seeds" in self.held and limit < trials.shape[0]:
                part.area_attrs["note"] = (
                    f'test trials from {limit} on are left out, their seed is another: trials="all"'
                )
                trials = arrays.cut(trials, limit)
                seeds = None if seeds is None else seeds[:limit]
            part.by_trial, part.responses = trials, Averaged(trials)
        shown = self._shown(stimuli.Trials(retina.TEST, 1, stored.shape[1]))
        made = self._nodes(retina.TEST, part, shown)
        if seeds is not None:
            place = f"{retina.TEST}/{self.name}/{retina.RETINA}"
            made[place] = made[place].assign_coords(seed=retina.along(schema.TRIAL, seeds))
        return made

    def _shown(self, trials: stimuli.Trials) -> stimuli.Shown:
        if self.wanted.stimulus == "whitenoise":
            return stimuli.noise(self.folder, self.id, trials)
        return stimuli.windows(
            self.folder, self.id, trials, self.wanted.fixations, self.wanted.padding
        )

    def _part(self) -> Part:
        part = Part(str(self.path))
        part.attrs = {
            "session_id": self.id,
            "species": "marmoset",
            "stimulus_type": self.wanted.stimulus,
            **retina.rate_attrs(None, RATE, "published"),
        }
        return part

    def _nodes(self, block: str, part: Part, shown: stimuli.Shown) -> dict[str, xr.Dataset]:
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
        return retina.part_nodes(f"{block}/{self.name}", part, self.wanted.mismatch)

    def _fields(self, size: tuple[int, int]) -> dict[str, LazyArray]:
        """Where each unit's average varies most, if averages are of the size of the frames."""
        stem = f"{self.folder / 'stas' / f'cell_data_{self.id}_WN_stas_cell_'}"
        if not os.path.exists(f"{stem}0.npy") or arrays.npy_array(f"{stem}0.npy").shape[1:] != size:
            return {}
        mirrored = self.wanted.stimulus == "natural_movie"
        axes = enumerate(("field_y", "field_x"))
        return {name: fields(stem, self.units, axis, size, mirrored) for axis, name in axes}

    def _seeds(self, trials: int) -> np.ndarray | None:
        """(trial,) int64: the seed of each trial, -1 where the file does not say."""
        groups = self.held.get("trial_separation")
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
