"""The stimuli of a session of Sridhar et al.: their files, and the length of each trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files.probe import Probe
from neuroarrays.formats.retina import arrays
from neuroarrays.formats.retina.nodes import TEST, TRAIN
from neuroarrays.formats.retina.sridhar.decode import Fixations, Images, Windows
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import Movie
from neuroarrays.lazy.views import Arranged, ByRow
from neuroarrays.schema.names import chosen

#: Session -> its file of fixations, and the number of its noise.
_FIXATIONS, _OTHER_FIXATIONS = {"02": "*2022_s4.txt"}, "*2022and2023_s4_fixed.txt"
_NOISE = {"01": 1, "02": 1, "03": 1, "04": 2}
_IMAGES = "stimuli_padded_4"
_COLUMNS = {"image_id": (0, "i8"), "gaze_x": (1, "f8"), "gaze_y": (2, "f8"), "flip": (3, "i8")}


@dataclass(frozen=True)
class BlockTrials:
    """The trials of a block of responses.

    Attributes
    ----------
    block : str
        "train" or "test". All test trials showed the same stimulus, which is stored once.
    count, frames : int
        Number of trials, and number of frames of each.
    before : int
        Number of lines before the first trial in a file of fixations.
    """

    block: str
    count: int
    frames: int
    before: int = 0


@dataclass(frozen=True)
class Shown:
    """The stimulus of a block.

    Attributes
    ----------
    movie : (trial x time, channel, y, x) lazy array, optional
        Trials that have a stimulus, one after another, in grey levels.
    trials : (trial,) int64 array
        Numbers of the trials in `movie`.
    frames : int
        Number of frames of a trial that stimulus and responses both have.
    misfit : str
        How the lengths of stimulus and responses differ; "" if they are equal.
    labels : dict of str to (trial x time,) lazy array
        Labels of frames.
    attrs : dict
        Attributes of the session.
    """

    movie: LazyArray | None
    trials: np.ndarray
    frames: int
    misfit: str = ""
    labels: Mapping[str, LazyArray] = field(default_factory=dict)
    attrs: Mapping[str, str] = field(default_factory=dict)


def _nothing(trials: BlockTrials, why: str) -> Shown:
    """Return an empty stimulus, with the reason why the files do not have it."""
    return Shown(
        None, np.arange(trials.count), trials.frames, attrs={"note": f"no stimulus: {why}"}
    )


def noise(folder: Probe, session: str, trials: BlockTrials) -> Shown:
    """Return white noise, from a file per train trial and one for the test.

    Raises
    ------
    FormatError
        If a file is damaged, or has other axes or another size than the first.
    """
    kind = "non_repeating_stimuli" if trials.block == TRAIN else "repeating_stimuli"
    number = _NOISE.get(session)
    folders = [child for child in folder.glob(f"{kind}_{number or '*'}") if child.is_folder]
    if len(folders) != 1:
        return _nothing(trials, f"{len(folders) or 'no'} folders {kind}_{number or '<n>'}")
    files = [folders[0].child("all_images.npy")]
    if trials.block == TRAIN:
        files = [folders[0].child(f"trial_{k:03d}/all_images.npy") for k in range(trials.count)]
    movies: dict[int, LazyArray] = {}
    for k, file in enumerate(files):
        if not file.exists:
            continue
        stored = arrays.pixels(ByRow(arrays.npy_array(file)))
        size = next(iter(movies.values())).shape[2:] if movies else stored.shape[:2]
        if len(stored.shape) != 3 or stored.shape[:2] != size:
            raise FormatError(
                file.as_given,
                expected="(y, x, time), of the size of the other trials",
                found=f"shape {stored.shape}",
            )
        movies[k] = Arranged(stored, (2, Arranged.NEW, 0, 1))
    if not movies:
        return _nothing(trials, f"no {files[0].name} in {folders[0].name}")
    if trials.block == TEST:
        return Shown(movies[0], np.arange(1), trials.frames)
    lengths = [movies[k].shape[0] if k in movies else 0 for k in range(len(files))]
    frames = min(trials.frames, *(movie.shape[0] for movie in movies.values()))
    same = lengths == [trials.frames] * len(files)
    cut = [arrays.cut(movie, frames) for movie in movies.values()]
    movie = arrays.joined(cut, folders[0].as_given, "trials")
    return Shown(movie, np.array(list(movies)), frames, "" if same else _several(lengths))


def _several(lengths: list[int]) -> str:
    """Return lengths as text, such as "3 of 40 frames, 1 of 39 frames"."""
    counts = {length: lengths.count(length) for length in dict.fromkeys(lengths)}
    return ", ".join(f"{n} of {length} frames" for length, n in counts.items())


def windows(
    folder: Probe, session: str, trials: BlockTrials, wanted: str | None, padding: int | None
) -> Shown:
    """Return windows on the frames of a film, around fixations.

    Parameters
    ----------
    folder : Probe
        The folder of the natural movie.
    session : str
        Name of the session.
    trials : BlockTrials
        The trials of the responses.
    wanted : str, optional
        Name or glob of the file of fixations.
    padding : int, optional, pixels
        Width of the border of the images, if they do not have the published proportions.

    Raises
    ------
    FormatError
        If files contradict each other, or several files of fixations fit.
    """
    images = Images.in_folder(folder.child(_IMAGES)) if folder.child(_IMAGES).is_folder else None
    file = _fixations(folder.child("fixations"), session, wanted)
    if images is None or file is None:
        return _nothing(trials, f"no {_IMAGES if images is None else 'fixations'}")
    margin = _padding(images.size, padding)
    if margin is None:
        why = f"how far images of {images.size} pixels are padded is not known; say it: padding="
        return _nothing(trials, why)
    lines = Fixations.in_file(file)
    over = lines.lines - trials.before
    whole = over // trials.frames if trials.frames else trials.count
    count = max(min(trials.count, whole), 0)
    misfit = ""
    if trials.block == TEST:
        some = lines.part(0, trials.frames)
    else:
        if count < trials.count or over != whole * trials.frames:
            misfit = (
                f"{max(over, 0):,} lines after the {trials.before:,} of the test in {file.name}"
            )
        some = lines.part(trials.before, trials.before + count * trials.frames)
    labels = {
        name: arrays.column(some, column, np.dtype(kind))
        for name, (column, kind) in _COLUMNS.items()
    }
    movie = Movie(Windows(images, some, margin))
    return Shown(movie, np.arange(count), trials.frames, misfit, labels, {"fixations": file.name})


def _fixations(folder: Probe, session: str, wanted: str | None) -> Probe | None:
    """Return the fixations of a session, or None if there are none."""
    files = {file.name: file for file in folder.glob("*.txt")}
    names = list(files)
    if wanted is not None:
        names = chosen(files, wanted, "file of fixations")
    elif len(files) > 1:
        known = _FIXATIONS.get(session, _OTHER_FIXATIONS)
        names = [name for name in files if fnmatchcase(name, known)]
    if len(names) > 1 or (files and not names):
        raise FormatError(
            folder.as_given,
            expected=f"one file of fixations for session {session}",
            found=", ".join(names or files),
            hint="say which: fixations=",
        )
    return files[names[0]] if names else None


def _padding(size: tuple[int, int], padding: int | None) -> int | None:
    """Return the pixels around an image: a seventh of its width for the published proportions."""
    if padding is None:
        known = size[0] // 7
        return known if known and size == (7 * known, 6 * known) else None
    if not 0 <= 3 * padding < min(size):
        msg = f"padding: expected 0 to {(min(size) - 1) // 3} pixels, got {padding}"
        raise ValueError(msg)
    return padding
