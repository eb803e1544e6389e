"""Write two small fields of view under a natural movie in the layout of Hoefling et al. 2024."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuroarrays.files.writing import new_hdf5
from neuroarrays.synthetic.cells import rates

if TYPE_CHECKING:
    import h5py

#: Frames of a clip, and clips of the movie; frames that a picture stays; samples per second.
CLIP, CLIPS, HOLD, SAMPLING = 150, 108, 15, 7.8125
#: Clips as presented: 5 test, 54 train, 5 test, 54 train, 5 test.
PLACES = np.r_[-5:0, 0:54, -5:0, 54:108, -5:0]
#: Units of a field, of which all but one pass the published filters; height and width of the movie.
UNITS, SIZE = 12, (9, 8)


def write_hoefling(folder: str | os.PathLike[str], seed: int = 0) -> Path:
    """A field of a left and one of a right eye, and the movie that both saw in orders of their own.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_hoefling
    >>> path = write_hoefling("hoefling")
    >>> list(na.open_datatree(path).children)
    ['train', 'test']
    """
    out, rng = Path(folder), np.random.default_rng(seed)
    out.mkdir(parents=True, exist_ok=True)
    pictures = rng.standard_normal((2, (CLIPS + 5) * CLIP // HOLD, *SIZE), dtype=np.float32)
    movie = np.repeat(pictures, HOLD, axis=1)
    orders = np.stack([rng.permutation(CLIPS) for _ in range(20)], axis=1).astype("u1")
    _write_movie(out, movie, orders)
    with new_hdf5(out / "rgc_natstim.h5", replaced=True) as (file, _):
        for number, eye in enumerate(("left", "right")):
            group = file.create_group(f"session_{number + 1}_ventral1_20200226")
            group.attrs.update(
                date="2020-02-26",
                exp_num=number + 1,
                experimenter="generated",
                eye=eye,
                field="GCL0",
                scan_sequence_idx=3 + number,
            )
            order = np.append(orders[:, 3 + number].astype(int), CLIPS + np.arange(5))
            frames = (order[PLACES][:, None] * CLIP + np.arange(CLIP)).ravel()
            shown = movie[0][frames][..., :: -1 if eye == "left" else 1]
            drive = rates(shown, UNITS, np.random.default_rng([seed, 9]))
            triggers = 3.0 + 5.0 * np.arange(PLACES.size)
            frame_times = (triggers[:, None] + np.linspace(0, 4.9666667, CLIP)).ravel()
            _write_traces(group, "natural", triggers, (frame_times, drive), rng)
            for stimulus, starts in (("chirp", 16.5 * np.arange(10)), ("mb", 4.1 * np.arange(24))):
                still = (np.array([0.0, starts[-1] + 20]), np.ones((UNITS, 2)))
                _write_traces(group, stimulus, starts, still, rng)
            _write_units(group, UNITS, rng)
    return out


def _write_movie(out: Path, movie: np.ndarray, orders: np.ndarray) -> None:
    """Write the pickle of the movie in a zip, as it is distributed."""
    statistics = {"mean": np.array([36.98]), "sd": np.array([36.98])}
    contents = {
        "train": movie[:, : CLIPS * CLIP],
        "test": movie[:, CLIPS * CLIP :],
        "eye": "right",
        "random_sequences": orders,
        "movie_stats": {"dichromatic": statistics},
    }
    name = f"rgc_natstim_{movie.shape[2]}x{movie.shape[3]}_joint_normalized"
    with zipfile.ZipFile(out / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.pkl", pickle.dumps(contents, protocol=4))


def _write_traces(
    group: h5py.Group,
    stimulus: str,
    triggers: np.ndarray,
    drive: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> None:
    """Write traces of one stimulus, sampled from times (frame,) in s and rates (unit, frame)."""
    frame_times, rate = drive
    units, samples = len(rate), int((frame_times[-1] + 4) * SAMPLING)
    start = rng.uniform(0, 0.1, units)
    times = start[:, None] + np.arange(samples) / SAMPLING
    clean = np.stack([np.interp(t, frame_times, r) for t, r in zip(times, rate, strict=True)])
    spikes = (clean * rng.gamma(4.0, 0.25, clean.shape)).astype("f4")
    group[f"{stimulus}_trigger_times"] = np.repeat(triggers[None], units, axis=0)
    group[f"{stimulus}_smoothed_traces"] = clean.astype("f4")
    group[f"{stimulus}_raw_traces"] = (clean + rng.normal(0, 0.3, clean.shape)).astype("f4")
    if group.attrs["eye"] == "left":  # times in full, and as later exports have them
        group[f"{stimulus}_inferred_spikes"], group[f"{stimulus}_traces_times"] = spikes, times
    else:
        group[f"{stimulus}_spikes"], group[f"{stimulus}_traces_t0"] = spikes, start
        group[f"{stimulus}_traces_dt"] = np.full(units, 1 / SAMPLING)


def _write_units(group: h5py.Group, units: int, rng: np.random.Generator) -> None:
    """Write types, quality and outlines; the first unit is an amacrine cell, the others pass."""
    types = 1 + np.arange(units) % 32
    types[:1] = 40
    confidence = np.full((units, 46), 0.01, "f4")
    confidence[np.arange(units), types - 1] = 0.5
    mask = np.ones((64, 64), "i4")
    for unit in range(units):
        y, x = 4 + 10 * (unit // 6), 4 + 10 * (unit % 6)
        mask[y % 60 : y % 60 + 3, x : x + 3] = -(unit + 1)
    group["group_assignment"], group["group_confidences"] = types.astype("i4"), confidence
    group["d_qi"], group["chirp_qi"] = rng.uniform(0.6, 1, units), rng.uniform(0, 1, units)
    group["roi_ids"], group["roi_mask"] = np.arange(1, units + 1, dtype="i4"), mask
