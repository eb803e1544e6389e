"""Write the stimulus tables of a synthetic Allen session, and its invalid times."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuroarrays.synthetic.allen_pieces import AllenPieces, text

#: One frame of the stimulus monitor, s: 15 of them are 0.2502 s.
FRAME = 0.016680556
#: Monitor frames on and off, and blocks that a stimulus is shown in.
_TIMING = {
    "gabors": (15, 0, 1),
    "flashes": (15, 105, 1),
    "drifting_gratings": (120, 60, 3),
    "static_gratings": (15, 0, 3),
    "natural_scenes": (15, 0, 3),
    "drifting_gratings_contrast": (30, 30, 1),
    "drifting_gratings_75_repeats": (120, 60, 2),
    "dot_motion": (60, 60, 1),
}


def _cycle(random: np.random.Generator, values: Any, n: int) -> np.ndarray:
    """Return the values in repetition, shuffled."""
    return np.asarray(random.permutation(np.resize(np.asarray(values), n)))


def parameters(name: str, n: int, random: np.random.Generator) -> dict[str, Any]:
    """Return parameter columns of a stimulus, with the dtypes and blanks (NaN, "N/A", -1) of real files."""
    look: dict[str, Any] = {
        "contrast": np.full(n, 0.8),
        "units": text("deg", n),
        "mask": text("None", n),
        "color": text("[1.0, 1.0, 1.0]", n),
        "size": text("[250.0, 250.0]", n),
        "phase": text("[3644.93333333, 3644.93333333]", n),
    }
    blank = np.zeros(n, bool)
    blank[random.choice(n, max(1, n // 20), replace=False)] = True

    def blanked(values: np.ndarray) -> np.ndarray:
        """Return values with NaN for blank presentations."""
        return np.where(blank, np.nan, values)

    if name == "natural_scenes":
        frame = _cycle(random, np.arange(0.0, 118), n)
        return {"frame": np.where(blank, -1.0, frame)}
    if name == "dot_motion":
        return {
            "Dir": blanked(_cycle(random, [-45.0, 0.0, 45.0, 90.0], n)),
            "Speed": blanked(_cycle(random, [0.0, 0.0005, 0.001, 0.005, 0.01], n)),
            "coherence": np.full(n, 0.9),
            "nDots": np.full(n, 200.0),
            "fieldShape": text("sqr", n),
            "noiseDots": text("direction", n),
        }
    if name == "gabors":
        return look | {
            "x_position": _cycle(random, np.arange(-40.0, 50, 10), n),
            "y_position": _cycle(random, np.arange(-40.0, 50, 10), n),
            "orientation": _cycle(random, [0.0, 45.0, 90.0], n),
            "temporal_frequency": np.full(n, 4.0),
            "spatial_frequency": text(0.08, n),
        }
    if name == "flashes":
        return look | {
            "color": _cycle(random, ["-1.0", "1.0"], n).tolist(),
            "orientation": np.zeros(n),
            "spatial_frequency": text("[0.0, 0.0]", n),
        }
    return look | _gratings(name, n, random, blank)


def _gratings(name: str, n: int, random: np.random.Generator, blank: np.ndarray) -> dict[str, Any]:
    """Return parameter columns of gratings; `blank` marks rows that showed nothing."""
    contrast = np.where(blank, np.nan, 0.8)
    if name == "drifting_gratings":
        orientation = _cycle(random, np.arange(0.0, 360, 45), n)
        frequency = _cycle(random, [1.0, 2.0, 4.0, 8.0, 15.0], n)
        return {
            "orientation": np.where(blank, np.nan, orientation),
            "temporal_frequency": np.where(blank, np.nan, frequency),
            "contrast": contrast,
            "spatial_frequency": ["N/A" if b else "0.04" for b in blank],
        }
    if name == "static_gratings":
        phase = _cycle(random, ["0.0", "0.25", "0.5", "0.75"], n)
        orientation = _cycle(random, np.arange(0.0, 180, 30), n)
        frequency = _cycle(random, [0.02, 0.04, 0.08, 0.16, 0.32], n)
        return {
            "orientation": np.where(blank, np.nan, orientation),
            "spatial_frequency": np.where(blank, np.nan, frequency),
            "contrast": contrast,
            "phase": np.where(blank, "N/A", phase).tolist(),
        }
    if name in ("drifting_gratings_contrast", "drifting_gratings_75_repeats"):
        of_contrast = name.endswith("contrast")
        contrasts = [0.01, 0.04, 0.13, 0.35, 1.0] if of_contrast else [0.1, 0.8]
        return {
            "orientation": _cycle(random, [0.0, 45.0, 90.0, 135.0], n),
            "contrast": _cycle(random, contrasts, n),
            "temporal_frequency": np.full(n, 2.0),
            "spatial_frequency": text(0.04, n) if of_contrast else np.full(n, 0.04),
        }
    msg = f"no synthetic stimulus {name!r}; there are {', '.join([*_TIMING, 'natural_movie_*'])}"
    raise ValueError(msg)


def stimuli(writer: AllenPieces) -> None:
    """Return blocks of the stimuli in turn, with spontaneous activity between them."""
    blocks: list[tuple[int, int, str, int]] = []
    for position, name in enumerate(writer.options.stimuli):
        movie = name.startswith("natural_movie")
        n_blocks = 2 if movie else _TIMING[name][2]
        total = writer.options.movie[0] if movie else _rows(writer, name)
        sizes = [len(part) for part in np.array_split(np.arange(total), n_blocks)]
        blocks += [(turn, position, name, size) for turn, size in enumerate(sizes) if size]
    now, spontaneous = 30.0, [(5.0, 30.0)]
    shown: dict[str, list[Any]] = {name: [] for name in writer.options.stimuli}
    for number, (_, _, name, size) in enumerate(sorted(blocks)):
        start, stop = _block(writer, name, size, now)
        shown[name].append((start, stop, np.full(start.size, float(number))))
        now = float(stop[-1])
        spontaneous.append((now, now + 2.0))
        now += 2.0
    for position, (name, parts) in enumerate(shown.items()):
        start, stop, block = (np.concatenate(part) for part in zip(*parts, strict=True))
        columns = {
            "start_time": start,
            "stop_time": stop,
            "stimulus_name": text(name, start.size),
            "stimulus_block": block,
            "stimulus_index": np.full(start.size, float(position)),
        }
        writer.plan.tables[name] = columns | _parameters(writer, name, start.size)
    first, last = (np.array(part) for part in zip(*spontaneous, strict=True))
    writer.plan.tables["spontaneous"] = {
        "start_time": first,
        "stop_time": last,
        "stimulus_name": text("spontaneous", first.size),
    }
    writer.plan.end = now + 20.0
    writer.truth["tables"] = writer.plan.tables


def _rows(writer: AllenPieces, name: str) -> int:
    """Return the number of presentations of a stimulus."""
    rows = writer.options.rows
    return rows if isinstance(rows, int) else rows[name]


def _block(writer: AllenPieces, name: str, size: int, now: float) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and stops of a block's presentations; for movies, those of every frame."""
    movie = name.startswith("natural_movie")
    on, off, _ = (2, 0, 2) if movie else _TIMING[name]
    n = size * writer.options.movie[1] if movie else size
    dropped = writer.random.random(n) < writer.options.irregular / (200 if movie else 1)
    jitter = writer.random.normal(0, 1e-6 if movie else 1.5e-5, n)
    duration = (on + dropped) * FRAME + jitter
    start = now + np.concatenate([[0.0], np.cumsum(duration + off * FRAME)[:-1]])
    stop = start + duration
    if not off:
        stop[:-1] = start[1:]
    return start, stop


def _parameters(writer: AllenPieces, name: str, n: int) -> dict[str, Any]:
    """Return the parameters of n presentations of a stimulus."""
    if not name.startswith("natural_movie"):
        return parameters(name, n, writer.random)
    frames = np.arange(writer.options.movie[1])
    if name.endswith("shuffled"):
        frames = writer.random.permutation(frames)
    return {
        "frame": np.resize(frames, n).astype(float),
        "contrast": np.ones(n),
        "opacity": np.ones(n),
        "orientation": np.zeros(n),
        "units": text("pix", n),
        "size": text("[1920.0, 1080.0]", n),
        "color": text("[1.0, 1.0, 1.0]", n),
    }


def images(writer: AllenPieces) -> None:
    """Return the tables of Visual Behavior: images, some omitted, then flashes."""
    n, now = _rows(writer, "images") if isinstance(writer.options.rows, int) else 12, 30.0
    start = now + 0.75 * np.arange(n)
    omitted = np.arange(n) % 5 == 4
    names = [f"im{i % 3:03d}_r" if not o else "omitted" for i, o in enumerate(omitted)]
    writer.plan.tables["Natural_Images_Lum_Matched_set_ophys_G_2019"] = {
        "start_time": start,
        "stop_time": start + 0.25,
        "end_time": start + 0.25,
        "duration": np.full(n, 0.25),
        "stimulus_name": text("Natural_Images", n),
        "image_name": names,
        "omitted": omitted,
        "is_change": np.arange(n) % 4 == 2,
        "active": np.ones(n, bool),
        "stimulus_block": np.zeros(n, np.int64),
    }
    first = start[-1] + 2.0
    flash = first + 2.0 * np.arange(4)
    writer.plan.tables["flash_250ms"] = {
        "start_time": flash,
        "stop_time": flash + 0.25,
        "color": ["1.0", "-1.0"] * 2,
        "stimulus_name": text("flash_250ms", 4),
        "active": np.zeros(4, bool),
        "stimulus_block": np.full(4, 2),
    }
    writer.plan.tables["spontaneous"] = {
        "start_time": np.array([5.0]),
        "stop_time": np.array([now]),
        "stimulus_name": ["spontaneous"],
        "stimulus_block": np.array([1]),
    }
    writer.plan.end = float(flash[-1]) + 20.0
    writer.truth["tables"] = writer.plan.tables


def invalid_rows(writer: AllenPieces) -> None:
    """Return rows with three tags each, out of order in time as in real files."""
    rows: list[tuple[str, str, str, float, float]] = []
    if "invalid" in writer.options.parts:
        table = next(iter(writer.plan.tables.values()))
        start, stop = table["start_time"], table["stop_time"]
        middle, end = start.size // 2, writer.plan.end
        session = str(writer.options.session_id)
        rows = [
            ("EcephysSession", session, "optotagging", end - 5, end - 4),
            ("EcephysSession", session, "stimulus", start[middle] + 0.01, stop[middle] - 0.01),
            ("EcephysProbe", "810755797", "probeA", start[1] + 0.03, start[1] + 0.05),
            ("EcephysSession", session, "all_probes", start[3] + 0.03, start[3] + 0.05),
        ]
    if writer.options.splice:
        movie = writer.plan.tables["natural_movie_one"]
        n = writer.options.movie[1]
        first, last = movie["start_time"][n // 2], movie["stop_time"][n + n // 2 - 1]
        session = str(writer.options.session_id)
        rows.append(("EcephysSession", session, "stimulus", first + 1e-4, last - 1e-4))
    writer.truth["invalid"] = rows


def intervals(writer: AllenPieces) -> None:
    """Write the tables, and that of invalid times."""
    for name, table in writer.plan.tables.items():
        n = table["start_time"].size
        pairs = np.zeros(n, [("idx_start", "i4"), ("count", "i4")])
        more = {
            "tags": text("stimulus_time_interval", n),
            "tags_index": writer.ends(np.ones(n)),
            "timeseries": pairs,
            "timeseries_index": writer.ends(np.ones(n)),
        }
        path = f"intervals/{name}_presentations"
        writer.table(path, "TimeIntervals", table | more, np.arange(n))
    starts = np.sort(np.concatenate([t["start_time"] for t in writer.plan.tables.values()]))
    writer.series("processing/stimulus/timestamps", starts, starts, "s")
    rows = writer.truth["invalid"]
    if rows:
        columns = {
            "start_time": np.array([row[3] for row in rows]),
            "stop_time": np.array([row[4] for row in rows]),
            "tags": [tag for row in rows for tag in row[:3]],
            "tags_index": writer.ends([3] * len(rows)),
        }
        writer.table("intervals/invalid_times", "TimeIntervals", columns, np.arange(len(rows)))
