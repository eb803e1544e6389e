"""The layout of folders of SENSORIUM: names of files, their variants, and their meaning."""

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

#: Names in the tree of folders below ``data``, with their names in the exports.
FOLDERS = {
    "stimulus": ("videos", "images", "inputs"),
    "responses": ("responses", "targets"),
    "behavior": ("behavior",),
    "pupil_center": ("pupil_center", "eye_position"),
}
#: Signals in a file of behaviour, if trials are images (False) or movies (True).
BEHAVIOR = {
    False: ("pupil_dilation", "pupil_dilation_derivative", "speed"),
    True: ("pupil_dilation", "speed"),
}
CENTER = ("pupil_x", "pupil_y")
#: Unit and meaning of each signal; "" if the unit is unknown.
MEANING = {
    "speed": ("cm/s", "running speed"),
    "pupil_dilation": ("", "diameter of the pupil, unit unknown"),
    "pupil_dilation_derivative": ("", "derivative of the dilation, unit unknown"),
    "pupil_x": ("", "horizontal position of the pupil's centre in the image of the eye camera"),
    "pupil_y": ("", "vertical position of the pupil's centre in the image of the eye camera"),
}
#: Columns of meta/trials with another name in the tree, after their prefix was removed.
COLUMNS = {"tiers": "tier", "presentation_time": "duration", "trial_ts": "time_stamp"}
_STIMULUS_PREFIX = re.compile(r"^(frame|colorframeprojector)_")
#: Columns of meta/neurons with another name in the tree.
UNITS = {"unit_ids": schema.UNIT, "animal_ids": "animal_id", "sessions": "session"}
MOTOR_FILE, MOTOR = "cell_motor_coordinates", ("motor_x", "motor_y", "motor_z")
#: Tiers whose responses a competition may have replaced by zeros.
HIDDEN_TIERS = re.compile(r"(live_|final_)?test(_main|_bonus)?|(live|final)_(main|bonus)")
#: Frames per second of the movies, from the description of the data; the files do not have it.
RATE = 30.0

_NUMBER = re.compile(r"(\d+)\.npy")
_STAMP = re.compile(r"^Timestamp\('(.*)'.*\)$")


# ------------------------------------------------------------------------------------ its trials


@dataclass(frozen=True)
class Trials:
    """The trials of a session: the numbers of their files, the columns of meta/trials, and notes."""

    numbers: Numbers
    columns: dict[str, np.ndarray]
    notes: list[str]


def data_folders(listing: Listing, files: Store) -> dict[str, str]:
    """Return the folders with a file per trial, by their names in the tree.

    Raises
    ------
    FormatError
        If responses are missing, or two folders have the same meaning.
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
    """Return the names of files that opening reads: the first of each kind, and those of tables."""
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
    """Read the trials of a session.

    Raises
    ------
    FormatError
        If files are missing or too many, or columns differ in length.
    """
    numbers = {folder: _numbers(listing[folder]) for folder in folders.values()}
    first = numbers[folders["responses"]]
    for folder, present in numbers.items():
        if not np.array_equal(present, first):
            lacking, extra = np.setdiff1d(first, present), np.setdiff1d(present, first)
            difference = f"; it lacks {_files(lacking)}" if lacking.size else ""
            difference += f"; only it has {_files(extra)}" if extra.size else ""
            raise FormatError(
                files.path,
                folder,
                f"the same {len(first):,} files as in {folders['responses']}",
                f"{len(present):,}{difference}",
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
    # A range takes no memory, and is the usual case.
    has_no_gap = bool(first.size) and first[-1] - first[0] + 1 == first.size
    file_numbers: Numbers = range(int(first[0]), int(first[-1]) + 1) if has_no_gap else first
    return Trials(file_numbers, {name: column[first] for name, column in columns.items()}, notes)


def plain_name(name: str) -> str:
    """Return the name of a file of meta/trials without the kind of stimulus before it.

    Examples
    --------
    >>> plain_name("frame_image_id"), plain_name("colorframeprojector_image_id")
    ('image_id', 'image_id')
    """
    return _STIMULUS_PREFIX.sub("", name)


def _files(numbers: np.ndarray) -> str:
    """Return the names of a few files by their numbers, for messages."""
    return shorten([f"{n}.npy" for n in numbers.tolist()], 5)


def _numbers(names: Sequence[str]) -> np.ndarray:
    """Return the numbers of files ``<number>.npy``, (n,) int64 ascending."""
    matches = (_NUMBER.fullmatch(name) for name in names)
    return np.sort(np.array([int(m[1]) for m in matches if m], np.int64))


def _columns(listing: Listing, files: Store, notes: list[str]) -> dict[str, np.ndarray]:
    """Read the columns of meta/trials, (row,) each, under the names of the tree."""
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
    """Return the order in which trials were shown.

    Returns
    -------
    (trial,) int64 and str, or None
        The number of trials before each trial, and the source and resolution of the order. Trials
        with the same time stamp have the same number, because the files do not tell which was first.
    """
    index, stamps = columns.get("trial_idx"), seconds_of(columns)
    if index is not None and index.dtype.kind in "iu" and np.unique(index).size == index.size:
        return np.argsort(np.argsort(index)).astype(np.int64), "exact, from trial_idx"
    if stamps is None:
        return None
    rank = np.searchsorted(np.sort(stamps), stamps, side="left").astype(np.int64)
    ties = stamps.size - np.unique(stamps).size
    return rank, f"1 s, from time stamps; {many(ties, 'trial')} with the number of another"


def seconds_of(columns: dict[str, np.ndarray]) -> np.ndarray | None:
    """Return the time stamps relative to the first, (trial,) float64 in s, or None if there are none."""
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
    """Read the columns of meta/neurons, (unit,) each: ids, area, layer, motor coordinates in µm, ...

    Parameters
    ----------
    listing, files
        The files of the session.
    size : int
        Number of units.
    first : str
        The file with this number of units, for the error.

    Raises
    ------
    FormatError
        If a column has another number of units, or ids are not whole numbers.
    """
    columns: dict[str, np.ndarray] = {}
    for name in sorted(listing.get("meta/neurons", ())):
        if not name.endswith(".npy") or name[0] == ".":
            continue
        path, plain = f"meta/neurons/{name}", name.removesuffix(".npy")
        column = npy.values_in(files, path)
        shape = (size, 3) if plain == MOTOR_FILE else (size,)
        if column.shape != shape:
            raise FormatError(
                files.path_of(path),
                "",
                f"shape {shape}, as {first} has {size} units",
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
