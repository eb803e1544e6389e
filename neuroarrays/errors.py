"""Every error this package raises on purpose.

::

    NeuroArraysError
    ├── FormatError       (also ValueError)   a reader cannot read a file
    │   └── UnknownFormat                     no reader, or more than one, claims a path
    ├── MissingPath       (also FileNotFoundError)
    ├── PathExists        (also FileExistsError)
    ├── WriteFailed       (also OSError)      a full disk, or another reason why nothing was written
    ├── SchemaError       (also ValueError)   a tree or a part of it is not what was expected
    ├── NotInTree         (also KeyError)     a tree has no such table, unit, area or variable
    ├── QueryError        (also ValueError)   a condition cannot be understood
    ├── NothingLeft       (also ValueError)   a selection fits no unit, trial or time
    ├── TooLarge          (also ValueError)   a result needs more memory than a stated limit
    ├── BrokenReader      (also ImportError)  a reader from another package cannot be used
    └── MissingDependency (also ImportError)  an optional package is not installed

Each message tells where the fault is, what was expected, what was found and what to try.
"""

from __future__ import annotations

import difflib
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from types import FrameType, ModuleType
from typing import ClassVar, Self


class NeuroArraysError(Exception):
    """The base of all errors of this package; their text has no control characters."""

    def __str__(self) -> str:
        return printable(super().__str__(), keep="\n")


class _ErrorOfFields(NeuroArraysError):
    """An error whose text is made of its parameters, which it keeps as attributes.

    So it can be pickled, and raised again with some parameters changed and none lost.
    """

    _fields: ClassVar[tuple[str, ...]]
    hint: str

    def changed(self, **fields: object) -> Self:
        """Return the same error with other values of some parameters: ``changed(where="area")``."""
        kept = {name: getattr(self, name) for name in self._fields}
        return type(self)(**kept | fields)

    def with_hint(self, *hints: str) -> Self:
        """Return the same error with more hints after its own."""
        return self.changed(hint="; ".join(filter(None, (self.hint, *hints))))

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), tuple(getattr(self, name) for name in self._fields)


class FormatError(_ErrorOfFields, ValueError):
    """A file cannot be read as what it claims to be.

    Parameters
    ----------
    path : str or path-like
        The file or folder.
    where : str
        The place in the file (an HDF5 path, an entry, a byte range), or "".
    expected, found : str
        What a good file has there, and what this file has.
    hint : str, optional
        What to do next.
    """

    _fields = ("path", "where", "expected", "found", "hint")

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


class UnknownFormat(FormatError):
    """No reader recognises the path, or several do."""


class MissingPath(NeuroArraysError, FileNotFoundError):
    """The path does not exist."""


class PathExists(NeuroArraysError, FileExistsError):
    """The path exists, and `overwrite` was not given."""


class WriteFailed(NeuroArraysError, OSError):
    """A file or archive could not be written; what was there before is unchanged.

    Parameters
    ----------
    path : str or path-like
        The file or archive that was to be written.
    number : int
        The error number of the system (`errno`), or 0.
    reason : str
        The reason, the space that was needed and the space that is free, and what to do.
    """

    def __init__(self, path: str | os.PathLike[str], number: int, reason: str):
        self.path, self.reason = os.fspath(path), reason
        super().__init__(number, f"{self.path}: {reason}")

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"

    def __reduce__(self) -> tuple[type, tuple[str, int, str]]:
        return type(self), (self.path, self.errno or 0, self.reason)


class ThreadEnded(NeuroArraysError, RuntimeError):
    """A background thread ended before its work was done."""


class SchemaError(NeuroArraysError, ValueError):
    """A tree does not follow the schema; the message names each fault and its node."""


class NotInTree(_ErrorOfFields, KeyError):
    """The tree does not have the name that was asked for.

    Parameters
    ----------
    kind : str
        The kind of thing: "presentation table", "unit", "area".
    name : object
        The name that was asked for.
    available : iterable
        The names that exist; a similar one is suggested.
    hint : str, optional
        What to do next.
    where : str, optional
        Where it was looked for: "session 'mouse-3'".
    """

    _fields = ("kind", "name", "available", "hint", "where")

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
            f"no {kind} {shown}{location}; there are {shorten(self.available)}"
            + (f"; {hint}" if hint else "")
            + guess
        )
        super().__init__(self.message)

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return printable(self.message, keep="\n")


class QueryError(NeuroArraysError, ValueError):
    """A condition such as "contrast > 0.5" cannot be understood; the message names the part."""


class NothingLeft(NeuroArraysError, ValueError):
    """Nothing fits a selection; the message names the condition that nothing fits."""


class TooLarge(NeuroArraysError, ValueError):
    """A result that was not asked for explicitly would need more memory than a stated limit."""


class BrokenReader(NeuroArraysError, ImportError):
    """A reader of another installed package was asked for and cannot be used.

    Parameters
    ----------
    reader : str
        The name of its format.
    package : str
        The package of the reader, with its version.
    fault : str
        What is wrong with the reader.
    """

    def __init__(self, reader: str, package: str, fault: str):
        self.reader, self.package, self.fault = reader, package, fault
        super().__init__(f"the reader {reader!r} of {package} cannot be used: {fault}")

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return type(self), (self.reader, self.package, self.fault)


class MissingDependency(NeuroArraysError, ImportError):
    """An optional package is needed and is not installed.

    Parameters
    ----------
    package : str
        The package to import.
    extra : str
        The extra of neuroarrays that installs it, or "".
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


def required(module: str, extra: str, purpose: str, package: str = "") -> ModuleType:
    """Import and return a module of an optional package, or raise `MissingDependency`.

    The package is the first name of the module, unless it is called otherwise where it is installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependency(package or module.partition(".")[0], extra, purpose) from error


#: Text and kind of a warning.
Held = tuple[str | Warning, type[Warning]]


def warn(text: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the user's program that called this package.

    Frames of packages that call ours are passed over: torch's loaders call our datasets, and xarray
    asks our lazy arrays for values. Within `warnings_held` the warning waits there.
    """
    held = _held.get()
    if held is not None:
        held.append((text, category))
        return
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_PASSED_OVER):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)


@contextmanager
def warnings_held() -> Iterator[list[Held]]:
    """Hold what `warn` is given in this thread; whoever waits for the thread warns of it.

    A thread has no line of the user's program above it that a warning could point to.
    """
    held: list[Held] = []
    token = _held.set(held)
    try:
        yield held
    finally:
        _held.reset(token)


def warn_of(held: Iterable[Held]) -> None:
    """Warn at the line of the user's program of what `warnings_held` held in a thread or process."""
    for text, category in held:
        warn(text, category)


def option(name: str, value: object) -> str:
    """An option with its value, as the caller writes it: ``bin_width=0.0``.

    Parameters
    ----------
    name : str
        Keyword of a public function.
    value : object
        The value that was given, or should be given.

    Returns
    -------
    str
        The option as a keyword, or as a flag, ``--bin-width 0.0``, if `options_typed` has its name.
    """
    if name not in _typed.get():
        return f"{name}={value!r:.60}"
    values = value if isinstance(value, list | tuple) else [value]
    words = [typed_word(each) for each in values if each is not True]
    return " ".join([f"--{name.replace('_', '-')}", *words])


def typed_word(word: object) -> str:
    """A path, name or value as it is typed in a shell: in quotes if the shell needs them."""
    import shlex  # a late import: listing the engines loads this module

    return shlex.quote(str(word))


@contextmanager
def options_typed(names: Iterable[str]) -> Iterator[None]:
    """Make `option` write these options as they are typed on the command line."""
    token = _typed.set(frozenset(names))
    try:
        yield
    finally:
        _typed.reset(token)


def typed_options() -> list[str]:
    """The names given to `options_typed`, for another process that writes errors for this one."""
    return sorted(_typed.get())


_typed: ContextVar[frozenset[str]] = ContextVar("_typed", default=frozenset())
_held: ContextVar[list[Held] | None] = ContextVar("_held", default=None)
#: Modules whose frames a warning does not point to.
_PASSED_OVER = ("neuroarrays.", "torch.", "xarray.", "dask.")


def printable(text: object, keep: str = "") -> str:
    r"""A text that may come from a file, made safe for a terminal.

    Parameters
    ----------
    text : object
        Any object; its `str` is used.
    keep : str
        Control characters to keep, such as line ends.

    Returns
    -------
    str
        The text. Control characters, characters that change the direction of writing, and halves of
        characters that no encoding has become Python escapes such as "\x1b".
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
    """A text in quotes, as in Python; a long text is cut, and its length is told."""
    return repr(text) if len(text) <= most else f"{text[:most]!r}... ({len(text):,} characters)"


def many(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: "1 area", "2 areas", "1,000 stimuli" (`plural`)."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def shorten(names: Iterable[object], limit: int = 12) -> str:
    """A readable list of names: all of them, or the first few and the number of the others."""
    names = list(names)
    if not names:
        return "none"
    shown = ", ".join(repr(n) if isinstance(n, str) else str(n) for n in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
