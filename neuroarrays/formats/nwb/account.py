"""`Account` records for each dataset of a file whether it is in the tree, or why it is not.

Readers work in steps, one for each object of the file. If a step fails, only its object is left out,
and a note tells why. At the end, a walk over the whole file finds the objects that no step read.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from itertools import groupby

from neuroarrays.errors import FormatError, MissingDependency, MissingPath
from neuroarrays.files.source import Info, Source

#: Names of times, of which each value is needed.
_TIMES = ("spike_times", "timestamps", "start_time", "stop_time", "timestamp", "event_times")
#: The most characters of an error message in a note.
_LONGEST = 200
#: Groups with metadata and definitions of types, which have no recorded data.
_METADATA = ("general", "specifications")
#: The reason that is given for leaving out an object of these groups.
_IS_METADATA = "metadata"
#: The deepest level of groups that is searched, because HDF5 walks each path from its root.
_DEEPEST = 24
#: Types of groups that only contain other objects.
_CONTAINERS = (
    "acquisition",
    "analysis",
    "events",
    "general",
    "intervals",
    "processing",
    "scratch",
    "stimulus",
    "stimulus/presentation",
    "stimulus/templates",
)
#: Errors of the machine (too many open files, no memory), which are not caused by an object.
_MACHINE_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
#: Kinds of errors that are never caused by one object.
_FATAL = (MemoryError, MissingPath, MissingDependency)


class Account:
    """A record of the datasets of a file that are in the tree, and of those that are not, and why.

    Parameters
    ----------
    source : Source
        The source of the file.
    """

    def __init__(self, source: Source):
        self.source = source
        self._taken: set[str] = set()
        self._left: dict[str, str] = {}
        self._remarks: dict[str, str] = {}
        self._passed: set[str] = set()
        self._walked: dict[str, list[str]] = {}
        self._first: dict[object, str] = {source.identity("/"): "/"}

    def take(self, *paths: str) -> None:
        """Record that datasets, or their values under other names, are in the tree.

        A remark is added for times of which the file has not all values.
        """
        for path in (path.strip("/") for path in paths):
            is_time = path.rpartition("/")[2] in _TIMES and path not in self._taken
            self._taken.add(path)
            if is_time and (part := self.source.unwritten(path)):
                self.remark(
                    path, f"{part} were never written, or not copied: they read as fill values"
                )

    def leave(self, path: str, reason: str) -> None:
        """Record that a group or dataset is not in the tree; the first reason counts."""
        self._left.setdefault(path.strip("/"), reason)

    def pass_over(self, path: str) -> None:
        """Record that the caller does not want a group, so that no note names it."""
        self._passed.add(path.strip("/"))

    def walked(self, path: str, names: list[str]) -> None:
        """Record the children of a group, so that they need not be looked up again."""
        self._walked[path] = names

    def first_name(self, path: str) -> str:
        """Return the path by which a group was met first, which differs if the group has two names."""
        identity = self.source.identity(path)
        return path if identity is None else self._first.setdefault(identity, path)

    def is_whole(self, path: str) -> bool:
        """Whether the children of a group are known, and all of them are taken or left."""
        names = self._walked.get(path)
        return bool(names) and all(self.is_settled(f"{path}/{name}") for name in names or ())

    def remark(self, path: str, text: str) -> None:
        """Record a remark about a dataset that is in the tree."""
        self._remarks.setdefault(path.strip("/"), text)

    def is_settled(self, path: str) -> bool:
        """Whether a dataset or group is taken, left or passed over."""
        path = path.strip("/")
        return path in self._taken or path in self._left or path in self._passed

    def is_left(self, path: str) -> bool:
        """Whether a dataset or group is known not to be in the tree."""
        return path.strip("/") in self._left

    def step(self, path: str) -> Step:
        """Read one object in a ``with`` block; if reading fails, the object is left, with the reason.

        Errors of the whole file (it changed or is gone) and of the machine are still raised.
        """
        return Step(self, path)

    def summary(self, notes: list[str]) -> dict[str, list[str]]:
        """Return attributes of the session about objects of the file that are not in the tree.

        Parameters
        ----------
        notes : list of str
            Further notes, which come first.

        Returns
        -------
        dict of str to list of str
            ``notes``: the given notes, remarks, and the paths that are not in the tree, with
            reasons. ``metadata_in_file``: paths of metadata (devices, electrodes) and definitions
            of types, of which only labels are read. Empty lists are left out.
        """
        with self.step("/"):
            for path, reason in _unsettled(self, "")[0]:
                self.leave(path, reason)
        remarks = [f"{path}: {text}" for path, text in self._remarks.items()]
        metadata = [path for path, reason in self._left.items() if reason == _IS_METADATA]
        lost = [entry for entry in self._left.items() if entry[1] != _IS_METADATA]
        groups = groupby(lost, lambda entry: (entry[0].rpartition("/")[0], entry[1]))
        left = [
            f"{', '.join(path for path, _ in entries)} ({reason})"
            for (_, reason), entries in groups
        ]
        attrs = {
            "notes": [*notes, *remarks, *(["not in the tree: " + "; ".join(left)] if left else [])],
            "metadata_in_file": metadata,
        }
        return {name: list(map(printable, texts)) for name, texts in attrs.items() if texts}


@dataclass(frozen=True)
class Step:
    """A ``with`` block that reads one object of a file; an error becomes the reason to leave it."""

    account: Account
    path: str

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None:
            return False
        if not isinstance(error, Exception) or isinstance(error, _FATAL):
            return False
        if _is_of_file(error, self.account.source.path):
            return False
        self.account.leave(self.path, reason_of(error, self.path))
        return True


def printable(text: str) -> str:
    """Return a text that can be encoded; bytes of a name that are not UTF-8 are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def unreadable(info: Info | None) -> str:
    """Return why values cannot be in a tree; "" if they can."""
    if info is None:
        return "no array"
    if info.dtype.kind == "V":
        return "compound values" if info.dtype.names else "opaque values"
    if info.dtype.kind == "O" and not info.text and info.dtype.metadata:
        return "an array in each cell"
    if info.dtype.kind not in "iufbO":
        return f"values of type {info.dtype}"
    return ""


def _is_of_file(error: Exception, path: str) -> bool:
    """Whether an error concerns the whole file or the machine, and not one object."""
    if isinstance(error, FormatError) and error.path == path and not error.where:
        return True
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _MACHINE_ERRORS:
            return True
        cause = cause.__cause__
    return False


def reason_of(error: Exception, path: str) -> str:
    """Return an error as text for a note about the object at `path`."""
    if not isinstance(error, FormatError):
        return f"{type(error).__name__}: {error}"[:_LONGEST]
    where = error.where.strip("/")
    prefix = f"{where}: " if where and where != path.strip("/") else ""
    parts = (
        f"expected {error.expected}" if error.expected else "",
        f"found {error.found}" if error.found else "",
    )
    return (prefix + ", ".join(part for part in parts if part))[:_LONGEST]


def _unsettled(account: Account, path: str) -> tuple[list[tuple[str, str]], bool]:
    """Return the objects below a group that are not settled, with descriptions, and whether any is settled.

    A typed group of which no member is settled is one entry.
    """
    source = account.source
    unsettled: list[tuple[str, str]] = []
    used = False
    for name in source.names(path or "/"):
        child = f"{path}/{name}".strip("/")
        with account.step(child):
            if account.is_whole(child):
                used = True
            elif child.count("/") > _DEEPEST:
                account.leave(child, f"more than {_DEEPEST} groups deep, not looked into")
            elif not account.is_settled(child):
                entries, child_used = _unsettled_in_child(account, child)
                unsettled += entries
                used |= child_used
        used |= account.is_settled(child)
    return unsettled, used


def _unsettled_in_child(account: Account, path: str) -> tuple[list[tuple[str, str]], bool]:
    """Return what `_unsettled` returns, for a link, dataset or group."""
    source = account.source
    target = source.link(path)
    info = source.info(path)
    if target is not None:  # the target of a link is met at its own path
        if info is not None or source.exists(path) or source.attrs(path):
            return [], False
        account.leave(path, f"a link to {target}, which is not there")
        return [], True
    if info is not None:
        return [(path, _description(source, path, info))], False
    first = account.first_name(path)
    if first != path:
        account.leave(path, f"another name of {first}")
        return [], True
    if path.partition("/")[0] in _METADATA and path != "general":
        return [(path, _IS_METADATA)], False
    entries, used = _unsettled(account, path)
    kind = str(source.attr(path, "neurodata_type") or "")
    is_empty = not entries and not kind
    if used or is_empty or path in _CONTAINERS or kind == "ProcessingModule":
        return entries, used
    if len(entries) == 1:
        return entries, False
    return [(path, _description(source, path, None))], False


def _description(source: Source, path: str, info: Info | None) -> str:
    """Return a short description of an object that is not read."""
    if path.partition("/")[0] in _METADATA:
        return _IS_METADATA
    kind = str(source.attr(path, "neurodata_type") or "")
    if info is None:
        names = source.names(path)
        if not names:
            return f"{kind}, empty"
        if "id" in names or source.attr(path, "colnames") is not None:
            without = "start_time" if "stop_time" in names else "times"
            return f"a table without {without}"
        return f"a group of type {kind}, which is not read" if kind else "a group that is not read"
    shape = " x ".join(map(str, info.shape)) if info.shape else "one value"
    return f"{kind or 'values'}, {shape}"
