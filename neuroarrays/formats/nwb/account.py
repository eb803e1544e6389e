"""What becomes of every dataset of a file: in the tree, or in the notes with its place and why.

Readers work in steps, one for each object of the file. A step that fails costs that object and
is a note; what no step has taken or left is found by a walk over the whole file at the end.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from itertools import groupby

from neuroarrays.errors import FormatError, MissingDependency, MissingPath
from neuroarrays.files.source import Info, Source

#: Characters of a message that a note quotes.
_LONGEST = 200
#: Where metadata stand, and definitions of types: no recorded data.
_METADATA = ("general", "specifications")
#: The reason of what is left there.
_IS_METADATA = "metadata"
#: Groups in groups are looked into down to here: HDF5 walks each path from its root.
_DEEPEST = 24
#: Groups that are no object themselves.
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
#: What the machine cannot do is no fault of an object.
_OF_THE_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

_NEVER_OF_AN_OBJECT = (MemoryError, MissingPath, MissingDependency)


class Account:
    """Which datasets of a file are in the tree, which are not, and why.

    Parameters
    ----------
    source : Source
        The file.
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
        """These datasets are in the tree (or their values are, under other names)."""
        self._taken.update(path.strip("/") for path in paths)

    def leave(self, path: str, reason: str) -> None:
        """A group or dataset is not in the tree; the first reason counts."""
        self._left.setdefault(path.strip("/"), reason)

    def pass_over(self, path: str) -> None:
        """A group was not asked for; nothing is said of it."""
        self._passed.add(path.strip("/"))

    def walked(self, path: str, names: list[str]) -> None:
        """The children of a group, so that they need not be looked up again."""
        self._walked[path] = names

    def first_name(self, path: str) -> str:
        """The path by which a group was met first: another one where it has two names."""
        identity = self.source.identity(path)
        return path if identity is None else self._first.setdefault(identity, path)

    def is_whole(self, path: str) -> bool:
        """Whether a group was walked and every child of it is settled."""
        names = self._walked.get(path)
        return bool(names) and all(self.is_settled(f"{path}/{name}") for name in names or ())

    def remark(self, path: str, text: str) -> None:
        """A dataset is in the tree, and something about it must be known."""
        self._remarks.setdefault(path.strip("/"), text)

    def is_settled(self, path: str) -> bool:
        """Whether a dataset or group is taken or left."""
        path = path.strip("/")
        return path in self._taken or path in self._left or path in self._passed

    def is_left(self, path: str) -> bool:
        """Whether a dataset or group is known not to be in the tree."""
        return path.strip("/") in self._left

    def step(self, path: str) -> Step:
        """Read one object, in a ``with`` block: where that fails it is left, reading goes on.

        What is the fault of the whole file (it changed, it is gone) or of the machine is raised.
        """
        return Step(self, path)

    def told(self, notes: list[str]) -> dict[str, list[str]]:
        """Attributes of a session that say what became of the rest of its file.

        Parameters
        ----------
        notes : list of str
            What is to be said before.

        Returns
        -------
        dict of str to list of str
            ``notes``: these, remarks, then what is not in the tree, with its place and why.
            ``metadata_in_file``: places of metadata (devices, electrodes) and of definitions of
            types, of which no more than labels are read. Without what would be empty.
        """
        with self.step("/"):
            for path, reason in _unsettled(self, "")[0]:
                self.leave(path, reason)
        remarks = [f"{path}: {text}" for path, text in self._remarks.items()]
        metadata = [path for path, reason in self._left.items() if reason == _IS_METADATA]
        lost = [entry for entry in self._left.items() if entry[1] != _IS_METADATA]
        groups = groupby(lost, lambda entry: (entry[0].rpartition("/")[0], entry[1]))
        left = [f"{', '.join(path for path, _ in ones)} ({reason})" for (_, reason), ones in groups]
        attrs = {
            "notes": [*notes, *remarks, *(["not in the tree: " + "; ".join(left)] if left else [])],
            "metadata_in_file": metadata,
        }
        return {name: list(map(printable, texts)) for name, texts in attrs.items() if texts}


@dataclass(frozen=True)
class Step:
    """A ``with`` block that reads one object of a file; a failure is recorded as the reason to leave it."""

    account: Account
    path: str

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None:
            return False
        if not isinstance(error, Exception) or isinstance(error, _NEVER_OF_AN_OBJECT):
            return False
        if _of_the_file(error, self.account.source.path):
            return False
        self.account.leave(self.path, reason_of(error, self.path))
        return True


def printable(text: str) -> str:
    """A text that can be encoded: bytes of a name that were no UTF-8 are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def unreadable(info: Info | None) -> str:
    """Why values cannot stand in a tree; "" if they can."""
    if info is None:
        return "no array"
    if info.dtype.kind == "V":
        return "compound values" if info.dtype.names else "opaque values"
    if info.dtype.kind == "O" and not info.text and info.dtype.metadata:
        return "an array in each cell"
    if info.dtype.kind not in "iufbO":
        return f"values of type {info.dtype}"
    return ""


def _of_the_file(error: Exception, path: str) -> bool:
    if isinstance(error, FormatError) and error.path == path and not error.where:
        return True
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _OF_THE_MACHINE:
            return True
        cause = cause.__cause__
    return False


def reason_of(error: Exception, path: str) -> str:
    """An error in the words of a note, without the file, which the note is of."""
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
    """Objects below a group that are neither taken nor left, and whether there is anything else.

    A typed group of which nothing was taken is one entry.
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
                entries, some = _of_child(account, child)
                unsettled += entries
                used |= some
        used |= account.is_settled(child)
    return unsettled, used


def _of_child(account: Account, path: str) -> tuple[list[tuple[str, str]], bool]:
    source = account.source
    target = source.link(path)
    info = source.info(path)
    if target is not None:  # what it leads to is met at its own place
        if info is not None or source.exists(path) or source.attrs(path):
            return [], False
        account.leave(path, f"a link to {target}, which is not there")
        return [], True
    if info is not None:
        return [(path, _what(source, path, info))], False
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
    return [(path, _what(source, path, None))], False


def _what(source: Source, path: str, info: Info | None) -> str:
    """A short description of an object that is not read."""
    if path.partition("/")[0] in _METADATA:
        return _IS_METADATA
    kind = str(source.attr(path, "neurodata_type") or "")
    if info is None:
        names = source.names(path)
        if not names:
            return f"{kind}, empty"
        if "id" in names or source.attr(path, "colnames") is not None:
            return "a table without times"
        return f"a group of type {kind}, which is not read" if kind else "a group that is not read"
    shape = " x ".join(map(str, info.shape)) if info.shape else "one value"
    return f"{kind or 'values'}, {shape}"
