"""What stands where in the folders of SENSORIUM: names, their variants, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuroarrays import schema
from neuroarrays.errors import FormatError, many, shorten
from neuroarrays.files import npy
from neuroarrays.files.source import text_array
from neuroarrays.files.store import Listing, Store
from neuroarrays.formats.sensorium.folders import MARK
from neuroarrays.formats.sensorium.trials import Numbers

#: Our name of a folder below ``data`` -> its names in the exports.
FOLDERS = {
    "stimulus": ("videos", "images", "inputs"),
    "responses": ("responses", "targets"),
    "behavior": ("behavior",),
    "pupil_center": ("pupil_center", "eye_position"),
}
#: Signals in a behaviour file, by whether trials are movies.
BEHAVIOR = {
    False: ("pupil_dilation", "pupil_dilation_derivative", "speed"),
    True: ("pupil_dilation", "speed"),
}
CENTER = ("pupil_x", "pupil_y")
#: What a signal is of: unit and meaning, where known.
MEANING = {
    "speed": ("cm/s", "running speed"),
    "pupil_dilation": ("", "diameter of the pupil, unit unknown"),
    "pupil_dilation_derivative": ("", "derivative of the dilation, unit unknown"),
    "pupil_x": ("", "horizontal place of the pupil's centre in the image of the eye camera"),
    "pupil_y": ("", "vertical place of the pupil's centre in the image of the eye camera"),
}
#: Columns of meta/trials that get another name; "frame_" and "colorframeprojector_" go first.
COLUMNS = {"tiers": "tier", "presentation_time": "duration", "trial_ts": "time_stamp"}
_STIMULUS_PREFIX = re.compile(r"^(frame|colorframeprojector)_")
#: Columns of meta/neurons.
UNITS = {"unit_ids": schema.UNIT, "animal_ids": "animal_id", "sessions": "session"}
MOTOR_FILE, MOTOR = "cell_motor_coordinates", ("motor_x", "motor_y", "motor_z")
#: Tiers whose responses a competition may have replaced by zeros.
HIDDEN_TIERS = re.compile(r"(live_|final_)?test(_main|_bonus)?|(live|final)_(main|bonus)")
#: Frames per second of the movies, by the description of the data; no file says it.
RATE = 30.0

_NUMBER = re.compile(r"(\d+)\.npy")
_STAMP = re.compile(r"^Timestamp\('(.*)'.*\)$")


# ------------------------------------------------------------------------------------ its trials


@dataclass(frozen=True)
class Trials:
    """The trials of a session: numbers of their files, and the columns of meta/trials for them."""

    numbers: Numbers
    columns: dict[str, np.ndarray]
    notes: list[str]


def data_folders(listing: Listing, files: Store) -> dict[str, str]:
    """Our names -> folders with a file per trial.

    Raises
    ------
    FormatError
        If responses are missing, or two folders mean the same.
    """
    by_kind: dict[str, str] = {}
    for name, variants in FOLDERS.items():
        present = [f"data/{v}" for v in variants if listing.get(f"data/{v}")]
        if len(present) > 1:
            raise FormatError(files.path, "data", f"one folder of {name}", shorten(present))
        by_kind |= {name: present[0]} if present else {}
    if "responses" not in by_kind:
        have = [folder for folder in listing if folder.startswith("data/")]
        raise FormatError(files.path, "data", "a folder responses with files", shorten(have))
    return by_kind


def read_on_opening(listing: Listing, folders: dict[str, str]) -> list[str]:
    """Names of the files of which opening reads something: the first of each kind, and tables."""
    names = [
        f"{folder}/{file}"
        for folder, files in listing.items()
        if folder.startswith("meta/")
        for file in files
        if file.endswith(".npy") and not file.startswith(".")
    ]
    first = [_numbers(listing[folder])[:1].tolist() for folder in folders.values()]
    return names + [
        f"{folder}/{number}.npy"
        for folder, numbers in zip(folders.values(), first, strict=True)
        for number in numbers
    ]


def trials_of(listing: Listing, files: Store, folders: dict[str, str]) -> Trials:
    """The trials of a session.

    Raises
    ------
    FormatError
        If files are missing or too many, or columns differ in length.
    """
    numbers = {folder: _numbers(listing[folder]) for folder in folders.values()}
    first = numbers[folders["responses"]]
    for folder, those in numbers.items():
        if not np.array_equal(those, first):
            lacking, more = np.setdiff1d(first, those), np.setdiff1d(those, first)
            told = f"; it lacks {_files(lacking)}" if lacking.size else ""
            told += f"; only it has {_files(more)}" if more.size else ""
            raise FormatError(
                files.path,
                folder,
                f"the same {len(first):,} files as in {folders['responses']}",
                f"{len(those):,}{told}",
                "restore the missing files from the original",
            )
    notes: list[str] = []
    columns = _columns(listing, files, notes)
    tiers = columns["tier"]
    if first.size and first[-1] >= tiers.size:
        raise FormatError(
            files.path, MARK, f"a tier for each file, {first[-1] + 1:,}", f"{tiers.size:,}"
        )
    absent = np.setdiff1d(np.arange(tiers.size), first)
    lost = absent[tiers[absent] != "none"]
    if lost.size:
        raise FormatError(
            files.path,
            folders["responses"],
            f"a file for each of the {tiers.size:,} rows of {MARK}",
            f"none for {_files(lost)}",
            "restore them from the original; only rows of tier 'none' may lack files",
        )
    if absent.size:
        notes.append(
            f"{many(absent.size, 'row')} of meta/trials, of tier 'none', left out: no files"
        )
    even = bool(first.size) and first[-1] - first[0] + 1 == first.size
    kept: Numbers = range(int(first[0]), int(first[-1]) + 1) if even else first
    return Trials(kept, {name: column[first] for name, column in columns.items()}, notes)


def plain_name(name: str) -> str:
    """The name of a file of meta/trials without the kind of stimulus in front of it.

    Examples
    --------
    >>> plain_name("frame_image_id"), plain_name("colorframeprojector_image_id")
    ('image_id', 'image_id')
    """
    return _STIMULUS_PREFIX.sub("", name)


def _files(numbers: np.ndarray) -> str:
    """Names of files from their numbers, a few of them, for messages."""
    return shorten([f"{n}.npy" for n in numbers.tolist()], 5)


def _numbers(names: Sequence[str]) -> np.ndarray:
    matches = (_NUMBER.fullmatch(name) for name in names)
    return np.sort(np.array([int(m[1]) for m in matches if m], np.int64))


def _columns(listing: Listing, files: Store, notes: list[str]) -> dict[str, np.ndarray]:
    """The columns of meta/trials under stable names, text as it is."""
    columns: dict[str, np.ndarray] = {}
    for name in sorted(listing.get("meta/trials", ())):
        if not name.endswith(".npy") or name[0] == ".":
            continue
        path = f"meta/trials/{name}"
        try:
            column = npy.values_in(files, path)
        except FormatError as error:
            if path == MARK or not error.found.startswith("Python objects"):
                raise
            notes.append(f"{path} left out: {error.found}")
            continue
        if path == MARK and column.ndim != 1:
            raise FormatError(files.path_of(path), "", "one tier per trial", f"{column.shape}")
        if column.ndim != 1:
            notes.append(f"{path} left out: it has shape {column.shape}")
            continue
        plain = plain_name(name.removesuffix(".npy"))
        columns.setdefault(COLUMNS.get(plain, plain), column)
    if "tier" not in columns:
        raise FormatError(
            files.path,
            MARK,
            "a tier for each trial",
            "no such file",
            "restore it from the original",
        )
    for name, column in columns.items():
        if column.size != columns["tier"].size:
            raise FormatError(
                files.path,
                "meta/trials",
                "columns of one length",
                f"{columns['tier'].size:,} rows of tier, {column.size:,} of {name}",
                "restore the one that is damaged from the original",
            )
        if column.dtype.kind == "S":
            columns[name] = text_array(column).astype(str)
    if "time_stamp" in columns and columns["time_stamp"].dtype.kind == "U":
        texts = [_STAMP.sub(r"\1", text) for text in columns["time_stamp"].tolist()]
        columns["time_stamp"] = np.array(texts)
    return columns


def order_of(columns: dict[str, np.ndarray]) -> tuple[np.ndarray, str] | None:
    """How many trials were shown before each, `(trial,)` int64, and what this was found from.

    Returns
    -------
    (trial,) int64 and str, or None
        Trials with one time stamp have one place: files do not say which was first.
    """
    index, stamps = columns.get("trial_idx"), seconds_of(columns)
    if index is not None and index.dtype.kind in "iu" and np.unique(index).size == index.size:
        return np.argsort(np.argsort(index)).astype(np.int64), "exact, from trial_idx"
    if stamps is None:
        return None
    rank = np.searchsorted(np.sort(stamps), stamps, side="left").astype(np.int64)
    ties = stamps.size - np.unique(stamps).size
    return rank, f"1 s, from time stamps; {many(ties, 'trial')} with the place of another"


def seconds_of(columns: dict[str, np.ndarray]) -> np.ndarray | None:
    """`(trial,)` float64, s: time stamps since the first of them; None where there are none."""
    texts = columns.get("time_stamp")
    if texts is None or texts.dtype.kind != "U" or not texts.size:
        return None
    try:
        stamps = np.array(texts, "datetime64[us]")
    except ValueError:
        return None
    since: np.ndarray = (stamps - stamps.min()).astype(np.int64) / 1e6
    return since


# ------------------------------------------------------------------------------------- its units


def units_of(listing: Listing, files: Store, size: int, first: str) -> dict[str, np.ndarray]:
    """Columns of meta/neurons, `(unit,)`: ids, area, layer, motor coordinates in µm, ...

    Parameters
    ----------
    listing, files
        The session's.
    size : int
        Number of units.
    first : str
        The file that says so, for the error.

    Raises
    ------
    FormatError
        If a column is not of `size` units, or ids are not whole numbers.
    """
    columns: dict[str, np.ndarray] = {}
    for name in sorted(listing.get("meta/neurons", ())):
        if not name.endswith(".npy") or name[0] == ".":
            continue
        path, plain = f"meta/neurons/{name}", name.removesuffix(".npy")
        column = npy.values_in(files, path)
        wanted = (size, 3) if plain == MOTOR_FILE else (size,)
        if column.shape != wanted:
            raise FormatError(
                files.path_of(path),
                "",
                f"shape {wanted}, as {first} has {size} units",
                f"{column.shape}",
                "restore the one of the two that is damaged from the original",
            )
        if column.dtype.kind == "S":
            column = text_array(column).astype(str)
        if plain == MOTOR_FILE:
            columns |= dict(zip(MOTOR, column.T.copy(), strict=True))
        else:
            columns[UNITS.get(plain, plain)] = column
    ids = columns.get(schema.UNIT, np.arange(size))
    if ids.dtype.kind not in "iu":
        raise FormatError(files.path, "meta/neurons/unit_ids.npy", "whole numbers", str(ids.dtype))
    columns[schema.UNIT] = ids.astype(np.int64)
    return columns
