"""Names of files by the convention of the Open Neurophysiology Environment (ALF), and what is in them."""

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
from neuroarrays.lazy.arrays import LazyArray, file_array
from neuroarrays.lazy.views import InMemory, Taken
from neuroarrays.schema import node_name
from neuroarrays.tree.columns import plain_column

_NAME = re.compile(
    r"(?:_(?P<namespace>[a-zA-Z0-9]+)_)?(?P<object>[a-zA-Z]\w*)"
    r"\.(?P<attribute>(?:_[a-z]+_)?[a-zA-Z0-9]+(?:_times(?=[_.])|_intervals(?=[_.]))?)"
    r"(?:_(?P<timescale>\w+))?(?:\.(?P<extra>.+))?\.(?P<extension>[a-zA-Z]\w*)"
)
_REVISION = re.compile(r"#(.+)#")
#: What separates the columns of tables of text; files that are read, the preferred first.
_SEPARATORS = {"csv": ",", "tsv": "\t", "htsv": "\t", "ssv": " "}
_READ = ("pqt", "npy", *_SEPARATORS)
#: Levels of folders below a session that are looked into; columns of an array that become labels.
_DEPTH, _COLUMNS = 5, 16
_TIMES = ("times", "timestamps", "intervals")


@dataclass(frozen=True)
class Dataset:
    """One file of a session.

    Attributes
    ----------
    collection, revision : str
        Folders that it is in: "probe00/pykilosort", "2024-05-06"; "" for none.
    object, attribute, timescale, extension : str
        Parts of its name, as in ``object.attribute_timescale.extension``.
    file : Probe
        Where it lies.
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
        """The attribute with what is after it: "brainLocationIds_ccf_2017"."""
        return "_".join(filter(None, (self.attribute, self.timescale)))

    @property
    def on_another_clock(self) -> bool:
        """Whether it has times that are not those of the session."""
        last = self.attribute.rpartition("_")[2]
        return bool(self.timescale) and last in _TIMES

    def array(self) -> LazyArray:
        """The array of an npy file; a column of numbers has one axis."""
        stored = file_array(self.file.source, self.file.stem)
        flat = len(stored.shape) == 2 and stored.shape[1] == 1
        return Taken(stored, 0, 1) if flat else stored

    def columns(self) -> dict[str, LazyArray]:
        """Its columns, (row,) each: of an array of several `<attribute>_0`, `<attribute>_1`, ...

        {} of an array of other than one or two axes, or of more than 16 columns.

        Raises
        ------
        FormatError
            If it is damaged.
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
        """The columns of a table of text."""
        text = self.file.read_text()
        with safety.readable(self.file.given, "", "a table of text"):
            table = read_csv(text, sep=_SEPARATORS[self.extension])
        columns = {str(name): plain_column(table[name]) for name in table}
        return {
            node_name(name): values
            if values.dtype.kind in "biuf"
            else np.array(["" if text is None else str(text) for text in values], object)
            for name, values in columns.items()
        }


def readable(each: Dataset, notes: list[str]) -> dict[str, LazyArray]:
    """The columns of a file, with a note on one that has none."""
    columns = each.columns()
    if not columns:
        shape = f", of shape {each.array().shape}" if each.extension == "npy" else ""
        notes.append(f"not read: {each.file.name}{shape}")
    unread = parquet_source(each.file).left_out() if each.extension == "pqt" else {}
    if unread:
        notes.append(f"{each.file.name}: columns not read, of another kind: {shorten(unread)}")
    return columns


def parsed(name: str) -> Mapping[str, str] | None:
    """The parts of the name of a file, "" for those that it does not have; None if it is none of these."""
    match = _NAME.fullmatch(name)
    return None if match is None else {key: part or "" for key, part in match.groupdict().items()}


def datasets_of(session: Probe, revision: str | None, notes: list[str]) -> list[Dataset]:
    """The files of a session; of several revisions of one the newest, or the newest up to one.

    Parameters
    ----------
    session : Probe
        The folder of the session, or its folder ``alf``.
    revision : str, optional
        The revision that the others may not be after, in the order of text.
    notes : list of str
        Takes the revisions that are taken, and what is not read.
    """
    inside = session.child("alf") if session.child("alf").is_folder else session
    by_name: dict[tuple[str, ...], list[Dataset]] = {}
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
    taken: list[Dataset] = []
    chosen: dict[str, list[str]] = {}
    for datasets in by_name.values():
        newest = max(datasets, key=lambda each: (each.revision, -_READ.index(each.extension)))
        if newest.revision:
            chosen.setdefault(newest.revision, []).append(newest.file.name)
        same = {each.file.name for each in datasets if each.revision == newest.revision}
        other += same - {newest.file.name}
        taken.append(newest)
    for name, files in chosen.items():
        notes.append(f"revision {name} of {shorten(sorted(files), 4)} is taken")
    if missing := set(later) - {each.file.name for each in taken}:
        notes.append(f"not read: {shorten(sorted(missing))}: only in revisions after {revision}")
    notes += [f"not read: {shorten(sorted(set(other)))}"] if other else []
    notes += [f"on another clock, not read: {shorten(sorted(set(clocks)))}"] if clocks else []
    return taken


def _walk(folder: Probe, collection: str, revision: str, depth: int) -> Iterator[Dataset | str]:
    """The files in a folder and those below it; the names of those that are called otherwise."""
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
        yield Dataset(
            collection,
            revision,
            parts["object"],
            parts["attribute"],
            parts["timescale"],
            parts["extension"],
            child,
        )
