"""Files named by the convention of the Open Neurophysiology Environment (ALF), and their columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from neuroarrays.errors import shorten
from neuroarrays.files import safety
from neuroarrays.files.parquet import parquet_source
from neuroarrays.files.probe import Probe
from neuroarrays.files.texts import read_csv
from neuroarrays.formats.labels import label_column
from neuroarrays.lazy.arrays import LazyArray, file_array
from neuroarrays.lazy.views import InMemory, Taken
from neuroarrays.schema import node_name

_NAME = re.compile(
    r"(?:_(?P<namespace>[a-zA-Z0-9]+)_)?(?P<object>[a-zA-Z]\w*)"
    r"\.(?P<attribute>(?:_[a-z]+_)?[a-zA-Z0-9]+(?:_times(?=[_.])|_intervals(?=[_.]))?)"
    r"(?:_(?P<timescale>\w+))?(?:\.(?P<extra>.+))?\.(?P<extension>[a-zA-Z]\w*)"
)
_REVISION = re.compile(r"#(.+)#")
#: Separators of the columns of text tables; extensions of files that are read, the preferred first.
_SEPARATORS = {"csv": ",", "tsv": "\t", "htsv": "\t", "ssv": " "}
_READ = ("pqt", "npy", *_SEPARATORS)
#: Levels of folders below a session that are searched; the most columns of an array that are read.
_DEPTH, _COLUMNS = 5, 16
_TIMES = ("times", "timestamps", "intervals")


@dataclass(frozen=True)
class ALFFile:
    """One file of a session.

    Attributes
    ----------
    collection, revision : str
        Folders of the file, such as "probe00/pykilosort" and "2024-05-06"; "" for none.
    object, attribute, timescale, extension : str
        Parts of the file name ``object.attribute_timescale.extension``.
    file : Probe
        The path of the file.
    """

    collection: str
    revision: str
    object: str
    attribute: str
    timescale: str
    extension: str
    file: Probe

    @property
    def label(self) -> str:
        """The attribute with the timescale after it, such as "brainLocationIds_ccf_2017"."""
        return "_".join(filter(None, (self.attribute, self.timescale)))

    @property
    def on_another_clock(self) -> bool:
        """Whether the file has times of another clock than that of the session."""
        last = self.attribute.rpartition("_")[2]
        return bool(self.timescale) and last in _TIMES

    def array(self) -> LazyArray:
        """Return the array of an npy file; an array of one column becomes one of one axis."""
        stored = file_array(self.file.source, self.file.stem)
        flat = len(stored.shape) == 2 and stored.shape[1] == 1
        return Taken(stored, 0, 1) if flat else stored

    def columns(self) -> dict[str, LazyArray]:
        """Return the columns of the file by name, (row,) each.

        The columns of an array are called `<attribute>_0`, `<attribute>_1`, ... if there are several.
        An array with more than two axes or more than 16 columns gives no column.

        Raises
        ------
        FormatError
            If the file is damaged.
        """
        if self.extension == "npy":
            array = self.array()
            if len(array.shape) == 1:
                return {self.label: array}
            if len(array.shape) != 2 or array.shape[1] > _COLUMNS:
                return {}
            count = array.shape[1]
            return {f"{self.label}_{i}": Taken(array, i, 1) for i in range(count)}
        if self.extension == "pqt":
            source = parquet_source(self.file)
            return {node_name(name): file_array(source, name) for name in source.members()}
        return {name: InMemory(values) for name, values in self.table().items()}

    def table(self) -> dict[str, np.ndarray]:
        """Read the columns of a text table, (row,) each."""
        text = self.file.read_bytes()
        with safety.readable(self.file.as_given, "", "a table of text"):
            table = read_csv(text, sep=_SEPARATORS[self.extension])
        return {node_name(str(name)): label_column(table[name]) for name in table}


def readable(alf_file: ALFFile, notes: list[str]) -> dict[str, LazyArray]:
    """Return the columns of a file; a note is added if it has none, or some are not read."""
    columns = alf_file.columns()
    if not columns:
        shape = f", of shape {alf_file.array().shape}" if alf_file.extension == "npy" else ""
        notes.append(f"not read: {alf_file.file.name}{shape}")
    unread = parquet_source(alf_file.file).left_out() if alf_file.extension == "pqt" else {}
    if unread:
        notes.append(f"{alf_file.file.name}: columns not read, of another kind: {shorten(unread)}")
    return columns


def parsed(name: str) -> Mapping[str, str] | None:
    """Return the parts of a file name by ALF, "" for missing ones; None if the name is not one of ALF."""
    match = _NAME.fullmatch(name)
    return None if match is None else {key: part or "" for key, part in match.groupdict().items()}


def datasets_of(session: Probe, revision: str | None, notes: list[str]) -> list[ALFFile]:
    """Return the files of a session, each in its newest revision, or the newest up to `revision`.

    Parameters
    ----------
    session : Probe
        The folder of the session, or its folder ``alf``.
    revision : str, optional
        The last revision that is read; revisions are ordered as text.
    notes : list of str
        Notes are added about the revisions that are read, and the files that are not.
    """
    inside = session.child("alf") if session.child("alf").is_folder else session
    by_name: dict[tuple[str, ...], list[ALFFile]] = {}
    other: list[str] = []
    clocks: list[str] = []
    later: list[str] = []
    for dataset in _walk(inside, "", "", _DEPTH):
        if isinstance(dataset, str):
            other.append(dataset)
        elif dataset.extension not in _READ:
            other.append(dataset.file.name)
        elif dataset.on_another_clock:
            clocks.append(dataset.file.name)
        elif revision is not None and dataset.revision > revision:
            later.append(dataset.file.name)
        else:
            key = dataset.collection, dataset.object, dataset.label
            by_name.setdefault(key, []).append(dataset)
    newest_files: list[ALFFile] = []
    by_revision: dict[str, list[str]] = {}
    for datasets in by_name.values():
        newest = max(
            datasets, key=lambda alf_file: (alf_file.revision, -_READ.index(alf_file.extension))
        )
        if newest.revision:
            by_revision.setdefault(newest.revision, []).append(newest.file.name)
        same = {alf_file.file.name for alf_file in datasets if alf_file.revision == newest.revision}
        other += same - {newest.file.name}
        newest_files.append(newest)
    for name, files in by_revision.items():
        notes.append(f"revision {name} of {shorten(sorted(files), 4)} is taken")
    if missing := set(later) - {alf_file.file.name for alf_file in newest_files}:
        notes.append(f"not read: {shorten(sorted(missing))}: only in revisions after {revision}")
    notes += [f"not read: {shorten(sorted(set(other)))}"] if other else []
    notes += [f"on another clock, not read: {shorten(sorted(set(clocks)))}"] if clocks else []
    return newest_files


def _walk(folder: Probe, collection: str, revision: str, depth: int) -> Iterator[ALFFile | str]:
    """Yield the files in and below a folder, and the names of files that are not named by ALF."""
    for child in folder.children:
        marked = _REVISION.fullmatch(child.name)
        if child.is_folder:
            inner = collection if marked else f"{collection}/{child.name}".lstrip("/")
            if depth and not child.name.startswith("raw_"):
                yield from _walk(child, inner, marked[1] if marked else "", depth - 1)
            continue
        parts = parsed(child.name)
        if parts is None:
            yield child.name
            continue
        yield ALFFile(
            collection,
            revision,
            parts["object"],
            parts["attribute"],
            parts["timescale"],
            parts["extension"],
            child,
        )
