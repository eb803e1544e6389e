"""Every error this package raises on purpose.

::

    NeuroArraysError
    ├── FormatError       (also ValueError)   a file is not what a reader can read
    │   └── UnknownFormat                     no reader, or more than one, claims a path
    ├── MissingPath       (also FileNotFoundError)
    ├── PathExists        (also FileExistsError)
    ├── WriteFailed       (also OSError)      a full disk, or another reason why nothing was written
    ├── SchemaError       (also ValueError)   a tree is not one of the two trees
    ├── NotInTree         (also KeyError)     a table, unit, area or variable that is not there
    ├── QueryError        (also ValueError)   a condition that cannot be understood
    ├── NothingLeft       (also ValueError)   a selection that no unit, trial or time fits
    ├── TooLarge          (also ValueError)   more memory than is taken unless it is asked for
    ├── BrokenReader      (also ImportError)  an installed reader of another package cannot be used
    └── MissingDependency (also ImportError)  an optional package is not installed

All of them say where the fault is, what was expected, what was found and what to try.
"""

from __future__ import annotations

import difflib
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType


class NeuroArraysError(Exception):
    """Base of all errors of this package; what they print has no control characters."""

    def __str__(self) -> str:
        return printable(super().__str__(), keep="\n")


class FormatError(NeuroArraysError, ValueError):
    """A file cannot be read as what it claims to be.

    Parameters
    ----------
    path : str or path-like
        The file or folder.
    where : str
        The place inside it (an HDF5 path, an entry, a byte range), or "".
    expected, found : str
        What a good file has there, and what this one has.
    hint : str, optional
        What to do next.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        where: str = "",
        expected: str = "",
        found: str = "",
        hint: str = "",
    ):
        self.path, self.where = os.fspath(path), where
        self.expected, self.found, self.hint = expected, found, hint
        location = f"{self.path}:{where}" if where else self.path
        text = "; ".join(
            part
            for part in (
                f"expected {expected}" if expected else "",
                f"found {found}" if found else "",
                hint,
            )
            if part
        )
        super().__init__(f"{location}: {text}")

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return type(self), (self.path, self.where, self.expected, self.found, self.hint)


class UnknownFormat(FormatError):
    """No reader recognises the path, or several do."""


class MissingPath(NeuroArraysError, FileNotFoundError):
    """The path does not exist."""


class PathExists(NeuroArraysError, FileExistsError):
    """There is something at the path already, and nothing said to replace it."""


class WriteFailed(NeuroArraysError, OSError):
    """A file or archive could not be written; what was there before is as it was.

    Parameters
    ----------
    path : str or path-like
        What was to be written.
    number : int
        The system's number of the error (`errno`), 0 if it has none.
    reason : str
        Why, how much room was needed and how much there is, and what to do.
    """

    def __init__(self, path: str | os.PathLike[str], number: int, reason: str):
        self.path, self.reason = os.fspath(path), reason
        super().__init__(number, f"{self.path}: {reason}")

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"

    def __reduce__(self) -> tuple[type, tuple[str, int, str]]:
        return type(self), (self.path, self.errno or 0, self.reason)


class ThreadEnded(NeuroArraysError, RuntimeError):
    """A thread in the background ended before its work was done."""


class SchemaError(NeuroArraysError, ValueError):
    """A tree does not follow the schema; the message lists every fault with its node."""


class NotInTree(NeuroArraysError, KeyError):
    """A name that the tree does not have.

    Parameters
    ----------
    kind : str
        What was looked for: "presentation table", "unit", "area".
    name : object
        The name asked for.
    available : iterable
        The names there are; close ones are suggested.
    hint : str, optional
        What to do next.
    where : str, optional
        In what it was looked for: "session 'mouse-3'".
    """

    def __init__(
        self,
        kind: str,
        name: object,
        available: Iterable[object],
        hint: str = "",
        where: str = "",
    ):
        self.kind, self.name, self.available = kind, name, list(available)
        self.hint, self.where = hint, where
        folded = {str(a).lower(): str(a) for a in self.available}
        close = [
            folded[a] for a in difflib.get_close_matches(str(name).lower(), folded, 1, cutoff=0.5)
        ]
        guess = f"; did you mean {close[0]!r}?" if close else ""
        location = f" in {where}" if where else ""
        shown = quoted(name) if isinstance(name, str) else f"{name!r:.200}"
        self.message = (
            f"no {kind} {shown}{location}; there are {shorten(self.available)}{guess}"
            + (f"; {hint}" if hint else "")
        )
        super().__init__(self.message)

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return printable(self.message, keep="\n")

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.kind, self.name, self.available, self.hint, self.where)


class QueryError(NeuroArraysError, ValueError):
    """A condition such as "contrast > 0.5" that cannot be understood; the message says which part."""


class NothingLeft(NeuroArraysError, ValueError):
    """A selection that nothing fits; the message says which condition emptied it."""


class TooLarge(NeuroArraysError, ValueError):
    """What was not asked for in so many words would take more memory than a stated bound."""


class BrokenReader(NeuroArraysError, ImportError):
    """A reader of another installed package is asked for and cannot be used.

    Parameters
    ----------
    reader : str
        Name of its format.
    package : str
        The package that it belongs to, with its version.
    fault : str
        What is wrong with it.
    """

    def __init__(self, reader: str, package: str, fault: str):
        self.reader, self.package, self.fault = reader, package, fault
        super().__init__(f"the reader {reader!r} of {package} cannot be used: {fault}")

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return type(self), (self.reader, self.package, self.fault)


class MissingDependency(NeuroArraysError, ImportError):
    """An optional package is needed and not installed.

    Parameters
    ----------
    package : str
        The package to import.
    extra : str
        The extra of neuroarrays that installs it; "" where none does.
    purpose : str
        What it is needed for.
    """

    def __init__(self, package: str, extra: str, purpose: str):
        self.package, self.extra, self.purpose = package, extra, purpose
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed: "
            + (f"pip install 'neuroarrays[{extra}]'" if extra else f"pip install {package}")
        )

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return type(self), (self.package, self.extra, self.purpose)


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the user's program that called into this package, however far up it is."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_globals.get("__name__", "").startswith("neuroarrays."):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)


def option(name: str, value: object) -> str:
    """An option with its value, as the caller writes it: ``bin_width=0.0``.

    Parameters
    ----------
    name : str
        Keyword of a public function.
    value : object
        What it was, or should be.

    Returns
    -------
    str
        As a keyword; as a flag, ``--bin-width 0.0``, of the names given to `options_typed`.
    """
    if name not in _typed.get():
        return f"{name}={value!r:.60}"
    values = value if isinstance(value, list | tuple) else [value]
    words = [typed_word(each) for each in values if each is not True]
    return " ".join([f"--{name.replace('_', '-')}", *words])


def typed_word(word: object) -> str:
    """A path, name or value as it is typed in a shell: in quotes where it has a space or the like."""
    import shlex  # listing engines loads this module

    return shlex.quote(str(word))


@contextmanager
def options_typed(names: Iterable[str]) -> Iterator[None]:
    """Have `option` write these options as they are typed on the command line."""
    token = _typed.set(frozenset(names))
    try:
        yield
    finally:
        _typed.reset(token)


def typed_options() -> list[str]:
    """The names that `options_typed` was given: for a process that writes errors for this one."""
    return sorted(_typed.get())


_typed: ContextVar[frozenset[str]] = ContextVar("_typed", default=frozenset())


def printable(text: object, keep: str = "") -> str:
    r"""A text from a file, or with names from one, as a terminal may show it.

    Parameters
    ----------
    text : object
        Its `str` is taken.
    keep : str
        Control characters that may stay, such as line ends.

    Returns
    -------
    str
        Control characters, those that turn the direction of writing, and halves of characters
        that no encoding has are written as Python escapes them: "\x1b".
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or character in keep
        else " "
        if character.isspace() and character > "\x7f"
        else character.encode("unicode_escape").decode()
        for character in text
    )


def quoted(text: str, most: int = 200) -> str:
    """A text in quotes, as in Python; of a long one the beginning, and how long it is."""
    return repr(text) if len(text) <= most else f"{text[:most]!r}... ({len(text):,} characters)"


def many(number: int, noun: str, plural: str = "") -> str:
    """A number of things in words: "1 area", "2 areas", "1,000 stimuli" (`plural`)."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def shorten(names: Iterable[object], limit: int = 12) -> str:
    """A readable list of names: all of them, or the first few and how many more."""
    names = list(names)
    if not names:
        return "none"
    shown = ", ".join(repr(n) if isinstance(n, str) else str(n) for n in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
