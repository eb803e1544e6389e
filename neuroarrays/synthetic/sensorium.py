"""Write small SENSORIUM folders, static and dynamic, with units that respond to the stimulus.

Seeded, written with numpy alone, in the layout of the releases::

    from neuroarrays.synthetic.sensorium import write_static

    truth = write_static("static26872-17-20-GrayImageNet-94c6ff", competition=True)

Every unit has a Gaussian receptive field and a gain; responses are its drive with noise, so that
repeats of an image agree, and behaviour has a share in them.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

STATISTICS = ("mean", "std", "min", "max", "median")
MOVIE_TIERS = (
    "oracle",
    "live_test_main",
    "live_test_bonus",
    "final_test_main",
    "final_test_bonus",
)
#: The first moment of a session.
_BEGINS = np.datetime64("2022-01-14T09:12:00")


@dataclass(frozen=True)
class StaticOptions:
    """The contents of a synthetic session of images.

    Attributes
    ----------
    train, validation, test : int
        Images of each tier; those of train and validation are shown once.
    repeats : int
        Presentations of a test image.
    units : int
        Number of units; the first is silent.
    areas : tuple of str
        The units' areas, in turn; empty: no such file.
    size : tuple of int
        Pixels along y and x.
    channels : int
        1 for grey.
    competition : bool
        Test responses are zeros, as many final_test images more are too, trial indices are hashed.
    behavior : bool
        False: behaviour and pupil are zeros, as in the track without behaviour.
    folders : tuple of str
        Names of the folders of images, responses, behaviour and pupil centres.
    prefix : str
        Of the columns of meta/trials about the image.
    seed : int
        Of everything random.
    """

    train: int = 40
    validation: int = 6
    test: int = 4
    repeats: int = 5
    units: int = 8
    areas: tuple[str, ...] = ("V1",)
    size: tuple[int, int] = (9, 16)
    channels: int = 1
    competition: bool = False
    behavior: bool = True
    folders: tuple[str, str, str, str] = ("images", "responses", "behavior", "pupil_center")
    prefix: str = "frame_"
    seed: int = 0


@dataclass(frozen=True)
class DynamicOptions:
    """The contents of a synthetic session of movies.

    Attributes
    ----------
    train, repeated, repeats : int
        Movies of the train tier, shown once; of each other tier, and presentations of these.
    surplus : int
        Rows of tier "none" without files.
    units, frames : int
        Number of units, the first silent; frames of the longest movie.
    size : tuple of int
        Pixels along y and x.
    competition : bool
        Responses of the four test tiers are zeros over the whole width.
    seed : int
        Of everything random.
    """

    train: int = 6
    repeated: int = 1
    repeats: int = 3
    surplus: int = 0
    units: int = 6
    frames: int = 40
    size: tuple[int, int] = (6, 8)
    competition: bool = False
    seed: int = 0


def write_static(
    folder: str | os.PathLike[str], options: StaticOptions | None = None
) -> dict[str, np.ndarray]:
    """Write a session of images.

    Parameters
    ----------
    folder : str or path
        Made anew; named like a release, ``static<animal>-<session>-<scan>-...``, by habit.
    options : StaticOptions, optional
        What it holds.

    Returns
    -------
    dict of str to array
        What files do not tell: ``responses`` (trial, unit) before any were blanked, ``images``
        (trial, channel, y, x), ``onset`` (trial,) in s, ``signal`` (trial, unit) without noise.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_static
    >>> truth = write_static("static1-2-3")
    >>> list(na.open_datatree("static1-2-3").children)
    ['1-2-3']
    """
    options = options or StaticOptions()
    random, root = np.random.default_rng(options.seed), Path(folder)
    image, tier = _plan(options, random)
    trials = image.size
    unique = _images(random, (int(image.max()) + 1, options.channels, *options.size))
    order = random.permutation(trials)  # how many were shown before
    onset = np.cumsum(0.5 + random.uniform(0.3, 0.5, trials))[order]
    speed = random.gamma(0.6, 6.0, trials)
    behavior = np.c_[
        35 + 0.6 * speed + random.normal(0, 4, trials), random.normal(0, 1, trials), speed
    ]
    center = np.c_[random.normal(298, 9, trials), random.normal(245, 7, trials)]
    signal = _drive(random, unique[:, 0], options.units)[image] * (1 + 0.02 * speed[:, None])
    responses = signal * random.gamma(4.0, 0.25, signal.shape) + 1e-8 * random.random(signal.shape)
    responses = responses.astype(np.float32)
    hidden = np.isin(tier, ("test", "final_test")) & options.competition
    written = np.where(hidden[:, None], np.float32(0), responses)
    blank = 1.0 if options.behavior else 0.0
    signals = (unique[image], written, behavior * blank, center * blank)
    for name, values in zip(options.folders, signals, strict=True):
        _write_trials(root / "data" / name, values)
    train = tier == "train"
    of_train = (unique[image[train]], responses[train], behavior[train], center[train])
    for name, values in zip(options.folders, of_train, strict=True):
        for scope in ("all", "stimulus_Frame"):
            _write_statistics(root, name, scope, values, None if values.ndim == 4 else 0)
    _write_units(root, random, options.units, options.areas)
    _write_columns(root, options, {"image": image, "tier": tier, "place": order, "onset": onset})
    return {"responses": responses, "images": unique[image], "onset": onset, "signal": signal}


def _plan(options: StaticOptions, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return image and tier of each trial, (trial,) each, in the order of the files."""
    single = options.train + options.validation
    tiers = ("test", "final_test") if options.competition else ("test",)
    repeated = [np.repeat(np.arange(options.test), options.repeats)] * len(tiers)
    image = np.concatenate(
        [np.arange(single), *(single + k * options.test + r for k, r in enumerate(repeated))]
    )
    names = ["train"] * options.train + ["validation"] * options.validation
    for tier, those in zip(tiers, repeated, strict=True):
        names += [tier] * those.size
    order = random.permutation(image.size)
    return image[order], np.array(names)[order]


def _write_columns(root: Path, options: StaticOptions, facts: dict[str, np.ndarray]) -> None:
    """Write the columns of trials."""
    trials, prefix = facts["image"].size, options.prefix
    index: np.ndarray = facts["place"].astype(np.int64)
    if options.competition:
        texts = [f"{options.seed}:{i}".encode() for i in index.tolist()]
        index = np.array([hashlib.sha256(text).hexdigest()[:16] for text in texts])
    stamps = _BEGINS + facts["onset"].astype("timedelta64[s]")
    columns: dict[str, Any] = {
        "tiers": facts["tier"],
        "trial_idx": index,
        f"{prefix}image_id": 1000 + 7 * facts["image"].astype(np.int64),
        f"{prefix}image_class": np.full(trials, "imagenet"),
        f"{prefix}presentation_time": np.full(trials, 0.5),
        f"{prefix}pre_blank_period": np.full(trials, 0.4),
        f"{prefix}trial_ts": np.array(
            [f"Timestamp('{str(stamp).replace('T', ' ')}')" for stamp in stamps]
        ),
        "animal_id": np.full(trials, 26872, np.int64),
    }
    for name, column in columns.items():
        _write(root / "meta" / "trials" / f"{name}.npy", column)


def write_dynamic(
    folder: str | os.PathLike[str], options: DynamicOptions | None = None
) -> dict[str, np.ndarray]:
    """Write a session of movies.

    Parameters
    ----------
    folder : str or path
        Made anew; named like a release, ``dynamic<animal>-<session>-<scan>-...``, by habit.
    options : DynamicOptions, optional
        What it holds.

    Returns
    -------
    dict of str to array
        What files do not tell: ``movie`` (row,) which was shown, -1 for none; ``length`` (row,) its
        frames; ``responses`` (row, unit, frame) before any were blanked.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_dynamic
    >>> truth = write_dynamic("dynamic1-2-3")
    >>> list(na.open_datatree("dynamic1-2-3").children)
    ['1-2-3']
    """
    options = options or DynamicOptions()
    random, root = np.random.default_rng(options.seed), Path(folder)
    movies = [*range(options.train)]
    names = ["train"] * options.train
    for group in MOVIE_TIERS:
        those = len(set(movies)) + np.repeat(np.arange(options.repeated), options.repeats)
        movies += those.tolist()
        names += [group] * those.size
    movies += [-1] * options.surplus
    names += ["none"] * options.surplus
    order = random.permutation(len(movies))
    movie, tier = np.array(movies)[order], np.array(names)[order]
    count, frames = int(movie.max()) + 1, options.frames
    bonus = np.unique(movie[np.char.endswith(tier, "bonus")])
    lengths = np.full(count, frames - 4)
    lengths[bonus] = random.choice([frames - 10, frames], bonus.size)
    clips = _images(random, (count * frames, 1, *options.size))[:, 0].reshape(
        count, frames, *options.size
    )
    drive = _drive(random, clips.reshape(-1, *options.size), options.units)
    drive = drive.reshape(count, frames, -1).transpose(0, 2, 1)
    shape = (movie.size, options.units, frames)
    responses = (drive[movie] * random.gamma(4.0, 0.25, shape)).astype(np.float32)
    speed = np.abs(random.normal(0, 4, (movie.size, frames)))
    behavior = np.stack([50 + 0.5 * speed, speed], axis=1)
    center = 120 + random.normal(0, 8, (movie.size, 2, frames))
    past = np.arange(frames) >= lengths[movie][:, None]
    hidden = np.array(["_test_" in name for name in tier]) & options.competition
    streams = {
        "videos": clips[movie].transpose(0, 2, 3, 1),
        "responses": responses,
        "behavior": behavior,
        "pupil_center": center,
    }
    for name, values in streams.items():
        shown = past.reshape(movie.size, *(1,) * (values.ndim - 2), frames)
        padded = np.where(shown, np.nan, values).astype(values.dtype)
        if name == "responses":
            padded[hidden] = 0
        _write_trials(root / "data" / name, padded, np.flatnonzero(movie >= 0))
        for scope in ("all", "stimulus_Clip"):
            _write_statistics(root, name, scope, padded[tier == "train"], 0)
    _write_units(root, random, options.units, ())
    _write(root / "meta" / "trials" / "tiers.npy", tier)
    length = np.where(movie < 0, 0, lengths[movie])
    return {"movie": movie, "length": length, "responses": responses}


def write_zip(folder: str | os.PathLike[str], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Pack a folder as the releases are: the folder itself in a zip beside it.

    Parameters
    ----------
    folder : str or path
        What to pack.
    method : int
        ``zipfile.ZIP_DEFLATED`` or ``ZIP_STORED``.

    Returns
    -------
    Path
        The zip.
    """
    folder = Path(folder)
    target = folder.with_name(folder.name + ".zip")
    with zipfile.ZipFile(target, "w", method) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder.parent))
    return target


# ------------------------------------------------------------------------------------------ parts


def _images(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return grey images with about the spectrum of natural ones, float32 from 0 to 255."""
    height, width = shape[-2:]
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    falls = 1 / np.maximum(np.hypot(fy, fx), 1 / max(height, width))
    phase = random.uniform(0, 2 * np.pi, (*shape[:-2], height, width // 2 + 1))
    pixels = np.fft.irfft2(falls * np.exp(1j * phase), s=(height, width))
    pixels -= pixels.mean(axis=(-2, -1), keepdims=True)
    pixels /= pixels.std(axis=(-2, -1), keepdims=True)
    clipped: np.ndarray = np.clip(110 + 60 * pixels, 0, 255).astype(np.float32)
    return clipped


def _drive(random: np.random.Generator, images: np.ndarray, units: int) -> np.ndarray:
    """Return the rectified input of each unit's receptive field, (image, unit); 0 for the first unit."""
    height, width = images.shape[-2:]
    y, x = np.mgrid[:height, :width]
    centres = random.uniform(0.2, 0.8, (units, 2)) * (height, width)
    apart = (y - centres[:, 0, None, None]) ** 2 + (x - centres[:, 1, None, None]) ** 2
    field = np.exp(-apart / (2 * (height / 5) ** 2))
    inputs = np.einsum("iyx,uyx->iu", (images - 110) / 60, field)
    inputs = inputs / (inputs.std(axis=0) + 1e-9)
    gain = random.gamma(2.0, 1.5, units)
    gain[0] = 0
    drive: np.ndarray = np.maximum(inputs + 0.5, 0) * gain
    return drive


def _write(path: Path, values: np.ndarray) -> None:
    """Save an array as npy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)


def _write_trials(folder: Path, values: np.ndarray, rows: np.ndarray | None = None) -> None:
    """Save each trial as a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for row in range(len(values)) if rows is None else rows.tolist():
        np.save(folder / f"{row}.npy", np.ascontiguousarray(values[row]))


def _write_statistics(
    root: Path, name: str, scope: str, values: np.ndarray, axis: int | None
) -> None:
    """Over trials (`axis` 0), or over every value (None): float32, deviations with ddof=1.

    Of no trial there are none, and no file.
    """
    if not len(values):
        return
    values = values.astype(np.float64)
    known = ~np.isnan(values).all(axis=axis)  # beyond the last frame there is nothing
    filled = np.where(known, values, 0)
    statistics = {
        "mean": np.nanmean(filled, axis),
        "std": np.nanstd(filled, axis, ddof=1),
        "min": np.nanmin(filled, axis),
        "max": np.nanmax(filled, axis),
        "median": np.nanmedian(filled, axis),
    }
    for stat in STATISTICS:
        filled_in = np.where(known, statistics[stat], np.nan).astype(np.float32)
        _write(root / "meta" / "statistics" / name / scope / f"{stat}.npy", filled_in)


def _write_units(
    root: Path, random: np.random.Generator, units: int, areas: tuple[str, ...]
) -> None:
    """Write the columns of units."""
    folder = root / "meta" / "neurons"
    ids = np.arange(1, units + 1) + (np.arange(units) > 2)  # a gap, as in the releases
    coordinates = np.c_[
        random.integers(-1400, -800, units),
        random.integers(-700, 100, units),
        random.choice(np.arange(200, 320, 25), units),
    ]
    _write(folder / "unit_ids.npy", ids.astype(np.uint16))
    _write(folder / "cell_motor_coordinates.npy", coordinates.astype(np.int64))
    if areas:
        _write(folder / "area.npy", np.resize(np.array(areas), units))
        _write(folder / "layer.npy", np.full(units, "L2/3"))
        _write(folder / "animal_ids.npy", np.full(units, 26872, np.uint16))
        _write(folder / "sessions.npy", np.full(units, 17, np.uint8))
        _write(folder / "scan_idx.npy", np.full(units, 20, np.uint8))
