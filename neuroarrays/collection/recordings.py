"""The recordings at a path: a file, a folder that a reader opens as one, or the recordings in a folder.

A folder with one file per session contains these recordings, which may have different formats and
readers. A folder that no reader recognises contains the recordings in the folders below it. Recognising a
file takes milliseconds, so the result for each folder is cached beside the tables, and only files that
are added or changed later are looked at again.
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
from neuroarrays.files.neighbours import MOST
from neuroarrays.files.probe import Probe, asked
from neuroarrays.files.stamps import stamp_of
from neuroarrays.files.writing import written
from neuroarrays.formats import registry
from neuroarrays.formats.door import checked_probe, reader_of, readers_of
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.sessions import find

#: How many levels of folders are searched below one that no reader recognises.
_DEPTH = 4
#: The cached results for folders.
_FOLDERS = "folders.json"


@dataclass(frozen=True)
class Recording:
    """A file or folder that a reader opens as one.

    Attributes
    ----------
    location : Location
        Where it lies.
    engine : str
        The reader, by name or address; "" for the one that recognises the recording.
    root : str
        Path of the folder whose table it belongs to: the folder that the user gave, or its own.
    status : Status, optional
        The status of the file or folder, if it was looked up.
    """

    location: Location
    engine: str
    root: str
    status: Status | None = None

    @property
    def path(self) -> str:
        """The absolute path, or the address without secrets."""
        return self.location.path


@dataclass
class Listing:
    """The recordings of several paths.

    Attributes
    ----------
    recordings : list of Recording
        The recordings, each once, in the order of paths and of names in a folder.
    notes : list of str
        What was left out.
    """

    recordings: list[Recording] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def stamps_of(recordings: Sequence[Recording]) -> list[list[int]]:
    """Return the stamp of each recording; remote ones are looked up several at a time."""
    with ThreadPoolExecutor(MOST if any(r.location.waits for r in recordings) else 1) as threads:
        return list(threads.map(lambda r: stamp_of(r.location, r.status), recordings))


class TableCache:
    """The folder in the user's cache with the tables over the recordings of one folder.

    Parameters
    ----------
    root : str
        Path of the folder that the recordings are in.
    engine : str
        The requested reader; "" for the one that recognises a recording.
    options : dict
        Options of the reader.
    """

    def __init__(self, root: str, engine: str, options: dict[str, Any]):
        top = sidecars.folder("tables")
        key = json.dumps([root, engine, options], sort_keys=True, default=repr)
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        # Other versions have their own folders, as they may read files differently.
        self.folder = None if top is None else top / f"{VERSION}-{__version__}" / name

    def table(self, name: str) -> Path | None:
        """Return the file of a table; None if there is no cache folder."""
        return None if self.folder is None else self.folder / f"{name}.parquet"

    def touch(self) -> None:
        """Record that the tables were used now."""
        if self.folder is not None:
            with contextlib.suppress(OSError):
                os.utime(self.folder)

    def evict(self) -> None:
        """Delete the tables of least recently used folders until the cache is within its limit."""
        self.touch()
        top = sidecars.folder("tables")
        if top is None:
            return
        folders = []
        for folder in top.glob("*/*"):
            with contextlib.suppress(OSError):
                size = sum(file.stat().st_size for file in folder.iterdir())
                folders.append((folder.stat().st_mtime_ns, size, folder))
        total = sum(size for _, size, _ in folders)
        for _, size, folder in sorted(folders):
            if total <= sidecars.LIMIT:
                return
            if folder != self.folder:
                shutil.rmtree(folder, ignore_errors=True)
                total -= size

    def read_folders(self) -> dict[str, Any]:
        """Return folder -> stamps of its entries, reader, members and notes, as cached."""
        try:
            assert self.folder is not None
            content = json.loads((self.folder / _FOLDERS).read_bytes())
        except (AssertionError, OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def write_folders(self, looked: dict[str, Any]) -> None:
        """Cache the results for folders; if writing fails, nothing is cached."""
        if self.folder is not None:
            with contextlib.suppress(OSError, NeuroArraysError):
                self.folder.mkdir(parents=True, exist_ok=True)
                with written(self.folder / _FOLDERS, overwrite=True) as work:
                    work.write_text(json.dumps(looked, separators=(",", ":")))


def recordings_of(
    path: Any, engine: str | type[Reader] | None, options: dict[str, Any], keeps: bool
) -> Listing:
    """Return the recordings at one path.

    Parameters
    ----------
    path : str or path
        A file, folder, archive or address.
    engine : str or type of Reader, optional
        The reader (default: the one that recognises a recording).
    options : dict
        Options of the reader.
    keeps : bool
        Whether cached results for folders are used, and new ones are cached.

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
    folders_before = cache.read_folders() if keeps else {}
    folders_now: dict[str, Any] = {}
    listing = Listing()
    for member, reader in _inside(probe, engine, folders_before, folders_now, listing.notes, 0):
        status = member.status_if_known
        listing.recordings.append(Recording(member.location, reader, probe.path, status))
    if keeps and folders_now != folders_before:
        cache.write_folders(folders_now)
    if not listing.recordings:
        reader_of(probe, engine)  # raises an error that describes what is there instead
    return listing


def _inside(
    folder: Probe,
    engine: str | type[Reader] | None,
    folders_before: dict[str, Any],
    folders_now: dict[str, Any],
    notes: list[str],
    depth: int,
) -> Iterator[tuple[Probe, str]]:
    """Yield the recordings in a folder, or the folder itself, with their readers.

    The result for each folder is taken from `folders_before` if nothing has changed, and is put into
    `folders_now`.
    """
    is_local = folder.location.local_path is not None  # each status of a remote file is a request
    stamps = {c.name: list(c.status.stamp) if is_local else [] for c in folder.children}
    facts = folders_before.get(folder.path)
    if facts is None or facts["stamps"] != stamps:
        facts = _added(folder, stamps, facts) or _looked(folder, engine, stamps)
    folders_now[folder.path] = facts
    notes += facts["notes"]
    if facts["engine"] == "":
        readers = facts.get("each", {})
        for child in folder.children:
            if child.name in readers:
                yield child, readers[child.name]
            elif depth < _DEPTH and child.kind == FOLDER and not child.container:
                yield from _inside(child, engine, folders_before, folders_now, notes, depth + 1)
    elif facts["members"] is None:
        yield folder, facts["engine"]
    else:
        for member in facts["members"]:
            yield folder.child(member), facts["engine"]


def _looked(
    folder: Probe, engine: str | type[Reader] | None, stamps: dict[str, Any]
) -> dict[str, Any]:
    """Look at a folder; return which reader opens it, or the recordings in it."""
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
        except (FormatError, MissingPath):  # two files have the same session name
            sessions = find(folder, reader.claims)
        locations = [
            session.location if isinstance(session, Probe) else locate(session.path)
            for session in sessions.values()
            if isinstance(session, Probe | FormatError)
        ]
        members = [_below(location.path, folder.path) for location in locations]
        if members and all(members):
            facts |= {"members": members, "notes": list(getattr(sessions, "notes", []))}
    return facts


def _readers_of_files(folder: Probe) -> dict[str, str]:
    """Return file name -> reader for the recordings in a folder with several formats.

    A file that no reader recognises may be damaged. If another file has the same suffix, it is given to
    the reader of that file, which then reports the damage.
    """
    files = [child for child in folder.children if child.kind != FOLDER or child.container]
    readers = {file: reader_of(file, None) for file in files if readers_of(file)}
    by_ending = {file.suffix: reader for file, reader in readers.items() if file.suffix}
    known = {file.name: readers.get(file) or by_ending.get(file.suffix) for file in files}
    return {name: registry.address(type(reader)) for name, reader in known.items() if reader}


def _below(path: str, folder: str) -> str:
    """Return a path relative to a folder, with slashes; "" if it is not below the folder."""
    rest = path.removeprefix(folder.rstrip("/\\"))
    return rest[1:].replace("\\", "/") if rest != path and rest[:1] in ("/", "\\") else ""


def _added(
    folder: Probe, stamps: dict[str, Any], facts: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Return the updated result for a folder in which files were added, changed or removed.

    None if the folder has to be looked at again.
    """
    if facts is None or not facts["members"]:
        return None
    if any("/" in member for member in facts["members"]):
        return None
    format_ = registry.named(facts["engine"])
    members = set(facts["members"])
    changed = [name for name, stamp in stamps.items() if facts["stamps"].get(name) != stamp]
    if format_ is None:
        return None
    reader = format_.load()
    if any(not asked(reader.claims, folder.child(name)) for name in changed):
        return None
    names = [name for name in stamps if name in members or name in changed]
    return facts | {"stamps": stamps, "members": names} if names else None
