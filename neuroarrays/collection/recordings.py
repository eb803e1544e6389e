"""The recordings that paths stand for: files, and folders that one reader opens as one.

A folder in which sessions lie in files of their own stands for these files, each with its own reader where
they are of several formats; one that no reader knows, for what is in the folders below it. Looking into
every file of a folder takes milliseconds each, so what was found is kept beside the tables; files that are
added later are the only ones that are looked at again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuroarrays._version import __version__
from neuroarrays.collection.layout import VERSION
from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError, UnknownFormat
from neuroarrays.files import sidecars
from neuroarrays.files.locating import locate
from neuroarrays.files.location import FOLDER, Location, Status
from neuroarrays.files.probe import Probe, asked
from neuroarrays.files.stamps import stamp_of
from neuroarrays.files.together import MOST
from neuroarrays.files.writing import written
from neuroarrays.formats import registry
from neuroarrays.formats.door import checked_probe, reader_of, readers_of
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.sessions import find

#: Levels of folders below one that no reader knows.
_DEPTH = 4
_LOOKED = "folders.json"


@dataclass(frozen=True)
class Recording:
    """What is opened and indexed as one.

    Attributes
    ----------
    location : Location
        Where it lies.
    engine : str
        The reader, by name or address; "" where it is found by looking.
    root : str
        Path of the folder with which it is kept: the one that was given, or the one it is in.
    status : Status, optional
        What is there, if it was looked at.
    """

    location: Location
    engine: str
    root: str
    status: Status | None = None

    @property
    def path(self) -> str:
        """The absolute path, or the address without what is secret."""
        return self.location.path


@dataclass
class Listing:
    """The recordings of several paths.

    Attributes
    ----------
    recordings : list of Recording
        Each once, in the order of the paths and of the names in a folder.
    notes : list of str
        What was passed over.
    """

    recordings: list[Recording] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def stamps_of(recordings: Sequence[Recording]) -> list[list[int]]:
    """The stamp of each recording; of those behind an address, several at a time."""
    with ThreadPoolExecutor(MOST if any(r.location.waits for r in recordings) else 1) as threads:
        return list(threads.map(lambda r: stamp_of(r.location, r.status), recordings))


class TableCache:
    """The folder of the user's cache in which the tables of one root are kept.

    Parameters
    ----------
    root : str
        Path of the folder that the recordings are in.
    engine : str
        The reader asked for, or "".
    options : dict
        Of the reader.
    """

    def __init__(self, root: str, engine: str, options: dict[str, Any]):
        top = sidecars.folder("tables")
        asked_for = json.dumps([root, engine, options], sort_keys=True, default=repr)
        name = hashlib.sha256(asked_for.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        # Another version may open files in another way.
        self.folder = None if top is None else top / f"{VERSION}-{__version__}" / name

    def table(self, name: str) -> Path | None:
        """The file of a table; None where nothing is kept."""
        return None if self.folder is None else self.folder / f"{name}.parquet"

    def touch(self) -> None:
        """Note that its tables were used: those of the least recently used roots go first."""
        if self.folder is not None:
            with contextlib.suppress(OSError):
                os.utime(self.folder)

    def evict(self) -> None:
        """Delete the least recently used roots, but not this one, until all take no more than they may."""
        self.touch()
        top = sidecars.folder("tables")
        if top is None:
            return
        kept = []
        for folder in top.glob("*/*"):
            with contextlib.suppress(OSError):
                size = sum(file.stat().st_size for file in folder.iterdir())
                kept.append((folder.stat().st_mtime_ns, size, folder))
        total = sum(size for _, size, _ in kept)
        for _, size, folder in sorted(kept):
            if total <= sidecars.LIMIT:
                return
            if folder != self.folder:
                shutil.rmtree(folder, ignore_errors=True)
                total -= size

    def read_folders(self) -> dict[str, Any]:
        """What was found in folders: path -> stamps of its entries, reader, members and notes."""
        try:
            assert self.folder is not None
            content = json.loads((self.folder / _LOOKED).read_bytes())
        except (AssertionError, OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def write_folders(self, looked: dict[str, Any]) -> None:
        """Write what was found in folders; silently nothing where that fails."""
        if self.folder is not None:
            with contextlib.suppress(OSError, NeuroArraysError):
                self.folder.mkdir(parents=True, exist_ok=True)
                with written(self.folder / _LOOKED, overwrite=True) as work:
                    work.write_text(json.dumps(looked, separators=(",", ":")))


def recordings_of(
    path: Any, engine: str | type[Reader] | None, options: dict[str, Any], keeps: bool
) -> Listing:
    """The recordings that one path stands for.

    Parameters
    ----------
    path : str or path
        A file, folder, archive or address.
    engine : str or type of Reader, optional
        The reader; found by looking unless given.
    options : dict
        Of the reader.
    keeps : bool
        Whether what was found in folders is kept and used.

    Raises
    ------
    MissingPath, UnknownFormat, FormatError
        As `neuroarrays.open_datatree`.
    """
    probe = checked_probe(path)
    name = registry.address(engine) if isinstance(engine, type) else engine or ""
    if not probe.is_folder:
        return Listing([Recording(probe.location, name, probe.parent.path, probe.status)])
    cache = TableCache(probe.path, name, options)
    before = cache.read_folders() if keeps else {}
    looked: dict[str, Any] = {}
    listing = Listing()
    for member, reader in _inside(probe, engine, before, looked, listing.notes, 0):
        status = member.status_if_known
        listing.recordings.append(Recording(member.location, reader, probe.path, status))
    if keeps and looked != before:
        cache.write_folders(looked)
    if not listing.recordings:
        reader_of(probe, engine)  # which says what is there instead
    return listing


def _inside(
    folder: Probe,
    engine: str | type[Reader] | None,
    before: dict[str, Any],
    looked: dict[str, Any],
    notes: list[str],
    depth: int,
) -> Iterator[tuple[Probe, str]]:
    """The recordings in a folder with their readers, or the folder itself; and what was found."""
    local = folder.location.local_path is not None  # elsewhere each would be a request
    stamps = {c.name: list(c.status.stamp) if local else [] for c in folder.children}
    known = before.get(folder.path)
    if known is None or known["stamps"] != stamps:
        known = _added(folder, stamps, known) or _looked(folder, engine, stamps)
    looked[folder.path] = known
    notes += known["notes"]
    if known["engine"] == "":
        each = known.get("each", {})
        for child in folder.children:
            if child.name in each:
                yield child, each[child.name]
            elif depth < _DEPTH and child.kind == FOLDER and not child.container:
                yield from _inside(child, engine, before, looked, notes, depth + 1)
    elif known["members"] is None:
        yield folder, known["engine"]
    else:
        for member in known["members"]:
            yield folder.child(member), known["engine"]


def _looked(
    folder: Probe, engine: str | type[Reader] | None, stamps: dict[str, Any]
) -> dict[str, Any]:
    """What a folder is: by which reader it is opened, and whether its members are."""
    facts: dict[str, Any] = {"stamps": stamps, "engine": "", "members": None, "notes": []}
    try:
        reader = reader_of(folder, engine)
    except UnknownFormat:
        if engine is not None or folder.denied:
            raise
        if len(readers_of(folder)) > 1:
            facts["each"] = _readers_of_files(folder)
            if not facts["each"]:
                raise
        return facts
    facts["engine"] = registry.address(type(reader))
    if reader.opens_members and asked(reader.claims, folder):
        try:
            sessions = reader.list_sessions(folder)
        except (FormatError, MissingPath):  # two files are one session: each is opened by itself
            sessions = find(folder, reader.claims)
        places = [
            session.location if isinstance(session, Probe) else locate(session.path)
            for session in sessions.values()
            if isinstance(session, Probe | FormatError)
        ]
        inside = [_below(place.path, folder.path) for place in places]
        if inside and all(inside):
            facts |= {"members": inside, "notes": list(getattr(sessions, "notes", []))}
    return facts


def _readers_of_files(folder: Probe) -> dict[str, str]:
    """The reader of each recording in a folder with several formats, by name.

    A file that no reader recognises, with the ending of one that is recognised, may be damaged: it is
    given to the same reader, which says so.
    """
    files = [child for child in folder.children if child.kind != FOLDER or child.container]
    readers = {file: reader_of(file, None) for file in files if readers_of(file)}
    by_ending = {file.suffix: reader for file, reader in readers.items() if file.suffix}
    known = {file.name: readers.get(file) or by_ending.get(file.suffix) for file in files}
    return {name: registry.address(type(reader)) for name, reader in known.items() if reader}


def _below(path: str, folder: str) -> str:
    """The path below a folder, with /; "" where it is not."""
    rest = path.removeprefix(folder.rstrip("/\\"))
    return rest[1:].replace("\\", "/") if rest != path and rest[:1] in ("/", "\\") else ""


def _added(
    folder: Probe, stamps: dict[str, Any], known: dict[str, Any] | None
) -> dict[str, Any] | None:
    """What a folder is whose files were added to, changed or removed; None where it has to be looked at."""
    if known is None or not known["members"]:
        return None
    if any("/" in member for member in known["members"]):
        return None
    format_ = registry.named(known["engine"])
    members = set(known["members"])
    fresh = [name for name, stamp in stamps.items() if known["stamps"].get(name) != stamp]
    if format_ is None:
        return None
    reader = format_.load()
    if any(not asked(reader.claims, folder.child(name)) for name in fresh):
        return None
    there = [name for name in stamps if name in members or name in fresh]
    return known | {"stamps": stamps, "members": there} if there else None
