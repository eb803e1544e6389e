"""The door: find the reader of a path, open it, check what comes out."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import xarray as xr

from neuroarrays.errors import (
    FormatError,
    MissingPath,
    NotInTree,
    SchemaError,
    UnknownFormat,
    option,
    shorten,
    typed_options,
)
from neuroarrays.files import guard, safety, state
from neuroarrays.files.location import FOLDER, OTHER
from neuroarrays.files.openings import opening
from neuroarrays.files.probe import Probe, naming_as_given, probe_of
from neuroarrays.files.probe import asked as answered
from neuroarrays.formats import members, registry, rows
from neuroarrays.lazy.chunking import chunked
from neuroarrays.lazy.labels import show_labels
from neuroarrays.schema import given
from neuroarrays.schema.validation import validate

if TYPE_CHECKING:
    import pandas as pd

    from neuroarrays.formats.reader import Reader

PathLike = str | os.PathLike[str]
#: Ending of a file, or container -> the word for it in the descriptions of formats.
_KINDS = {"h5": "hdf5", "mat": "matlab", "mat5": "matlab", "nc": "netcdf", "netcdf3": "netcdf"}


def open_datatree(
    path_or_url: PathLike | Sequence[PathLike] | Probe | pd.DataFrame,
    engine: str | type[Reader] | None = None,
    chunks: Any = None,
    sessions: str | Sequence[str] | None = None,
    areas: str | Sequence[str] | None = None,
    probe: bool = False,
    cache: bool = True,
    **options: Any,
) -> xr.DataTree:
    """Open a recording as one lazy, labelled tree.

    Parameters
    ----------
    path_or_url : str, path, list of these, or DataFrame
        A file, a folder, or several files. Of a table of `neuroarrays.units`, or any rows of it, just
        the sessions, areas and units in its rows are opened, as one tree; see the page "Large archives".
    engine : str or type of Reader, optional
        Name of the format (``neuroarrays formats`` lists them, those of other packages too), a
        reader's class, or where that is, ``"package.module:Class"``; found by looking when not given.
    chunks : None, {}, "auto" or dict, optional
        None gives lazily indexed arrays, anything else dask arrays, as in xarray.
    sessions, areas : str or list of str, optional
        Names or globs (``"VIS*"``) of what to open; the rest is not built. Of a folder in which
        sessions are called as their files, those asked for by name are opened and no other file.
    probe : bool
        Open it in another process first, with bounds of time and memory, and read something of every
        variable: a file that would hang this process or end it is a `FormatError` instead.
    cache : bool
        Keep on disk what opening reads from behind an address, for the next opening, and use what is
        kept; see the page "Recordings on servers and in buckets".
    **options
        Options of the reader.

    Returns
    -------
    xr.DataTree
        A recording tree (raw clocks) or an aligned tree; see the page "What a tree is". Its `close`
        closes the files; they are opened again when something more is read.

    Raises
    ------
    MissingPath
        If there is nothing at the path.
    UnknownFormat
        If no reader recognises it, or several do.
    BrokenReader
        If the reader asked for belongs to another package and cannot be imported.
    FormatError
        If it is damaged.
    NotInTree
        If a session or area asked for is not there.
    TypeError
        On an option that the reader does not have, or an engine that is neither name nor reader.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.open_datatree(na.sample_path())
    >>> tree["A2929-200711/adn/spikes"].sizes["unit_id"]
    7
    """
    wanted = {"sessions": sessions, "areas": areas}
    options |= {key: value for key, value in wanted.items() if value is not None}
    if rows.is_table(path_or_url):
        return _of_rows(path_or_url, engine, chunks, cache, options)
    with opening(cache):
        asked = checked_probe(path_or_url)
        member = members.named(asked, sessions, partial(_is_known, engine=engine))
        if member is not None:
            with suppress(UnknownFormat, NotInTree):  # then the whole folder is looked at
                reader = reader_of(member, engine)
                if reader.opens_members:
                    return _opened(member, reader, chunks, probe, options)
        return _opened(asked, reader_of(asked, engine), chunks, probe, options)


def _is_known(probe: Probe, engine: str | type[Reader] | None) -> bool:
    try:
        return reader_of(probe, engine).claims(probe)
    except UnknownFormat:
        return False


def _opened(
    asked: Probe, reader: Reader, chunks: Any, probe: bool, options: dict[str, Any]
) -> xr.DataTree:
    """The tree of a path whose reader is known, checked."""
    reader._checked(options)
    if probe:
        known = {"engine": registry.address(type(reader)), **options}
        with naming_as_given(asked):
            guard.in_child("neuroarrays.formats.checking:touch", asked.addresses, options=known)
    # Readers make every index themselves; xarray looking for more costs as much as opening.
    with safety.named(asked.given):
        tree = xr.open_datatree(
            asked,  # type: ignore[arg-type]  # passed on to the reader
            engine=type(reader),
            create_default_indexes=False,
            **options,
        )
    return _finished(tree, asked, chunks, asked.paths, options.get("drop_variables"), reader)


def _of_rows(
    table: Any,
    engine: str | type[Reader] | None,
    chunks: Any,
    cache: bool,
    options: dict[str, Any],
) -> xr.DataTree:
    """The tree of the sessions, areas and units of a table."""

    def open_groups(path: str, format_: str, wanted: dict[str, Any]) -> dict[str, xr.Dataset]:
        asked = checked_probe(path)
        reader = reader_of(asked, engine or format_ or None)
        with safety.named(asked.given):
            return reader.open_groups_as_dict(asked, **reader._checked(options | wanted))

    with opening(cache):
        tree, paths = rows.open_rows(table, open_groups, options)
    return _finished(tree, f"a table of {paths[0]}", chunks, paths)


def _finished(
    tree: xr.DataTree,
    called: object,
    chunks: Any,
    paths: Sequence[str],
    dropped: Any = None,
    reader: Reader | None = None,
) -> xr.DataTree:
    """A tree that fits the schema, with dask arrays if asked for; closing it closes its files."""
    try:
        validate(tree)
    except SchemaError as error:
        msg = f"{called}: {error}"
        if dropped and reader is not None:
            msg += f"\n{option('drop_variables', dropped)} left out variables; "
            msg += f"xr.open_datatree(path, engine={reader.name!r}) opens such a tree without this check"
        raise SchemaError(msg) from error
    for node in tree.subtree:  # xarray wrapped what the reader gave
        show_labels(node)
    opened = tree if chunks is None else chunked(tree, chunks)
    opened.set_close(partial(state.close, paths))
    return opened


def checked_probe(path_or_url: object) -> Probe:
    """The probe of a path, or of the paths of a list.

    Raises
    ------
    TypeError
        If it is neither.
    MissingPath
        If there is nothing.
    FormatError
        If a list has one path twice.
    """
    if not isinstance(path_or_url, str | os.PathLike | list | tuple | Probe):
        hint = "; it is open already" if isinstance(path_or_url, xr.DataTree) else ""
        msg = f"expected a path, or a list of paths, found {given.described(path_or_url)}{hint}"
        raise TypeError(msg)
    asked = probe_of(path_or_url)
    listed: dict[str, str] = {}
    for member in asked.children if asked.is_list else (asked,):
        member.check_pointer()
        if member.kind == OTHER and member.status.hint:
            member.check()
        if not member.exists:
            words = member.status.words
            folder = member.parent
            if member.status.hint:
                hint = f"; {member.status.hint}"
            elif words != "nothing":
                hint = f": {words}"
            elif folder.exists and folder.kind != FOLDER:
                hint = f"; {folder} is no folder"
            else:
                hint = "" if folder.exists else f"; the folder {folder} does not exist either"
            msg = f"{member}: no such file or folder{hint}"
            raise MissingPath(msg)
        if member.path in listed:
            raise FormatError(
                member.given,
                "",
                "each path of a list once",
                f"it twice, as {listed[member.path]!r} too",
            )
        listed[member.path] = member.given
    return asked


def reader_of(asked: Probe, engine: str | type[Reader] | None) -> Reader:
    """The reader asked for, or the one that recognises the path.

    Raises
    ------
    UnknownFormat
        If no reader recognises it, or several do, or it does not open lists.
    BrokenReader
        If the reader asked for belongs to another package and cannot be imported.
    TypeError
        If the engine is neither name nor reader.
    """
    reader = _found(asked) if engine is None else _asked(asked, engine)
    if asked.is_list and not reader.takes_lists:
        raise UnknownFormat(
            asked.given,
            expected=f"one path for the engine {reader.name!r}",
            found=asked.described(),
            hint=_each_alone(reader.name),
        )
    return reader


def _each_alone(engine: str = "") -> str:
    """How to open several paths that are no one tree, in Python or on the command line."""
    if "engine" in typed_options():
        return "give each path to a command of its own"
    options = f", engine={engine!r}" if engine else ""
    return f"open each: [na.open_datatree(path{options}) for path in paths]"


def _asked(asked: Probe, engine: object) -> Reader:
    """The reader of a name, a class or where the class is."""
    from neuroarrays.formats.reader import Reader

    if isinstance(engine, type) and issubclass(engine, Reader):
        return engine()
    if not isinstance(engine, str):
        msg = (
            "engine: expected the name of a format or a subclass of "
            f"neuroarrays.formats.reader.Reader, found {given.described(engine)}"
        )
        raise TypeError(msg)
    format_ = registry.named(engine)
    if format_ is None:
        names = [known.name for known in registry.formats() if not known.fault]
        similar = difflib.get_close_matches(engine, names, 3, cutoff=0.5)
        raise UnknownFormat(
            asked.given,
            expected="the name of a format, which `neuroarrays formats` lists",
            found=option("engine", engine),
            hint=f"did you mean {' or '.join(map(repr, similar))}?" if similar else "",
        )
    return format_.load()


def readers_of(asked: Probe) -> list[Reader]:
    """The readers, of this package or another, that recognise a path: usually one, or none."""
    readers = list(registry.readers())
    for format_, reader in readers:
        if not (asked.is_list or format_.package) and answered(reader.is_marked, asked):
            return [reader]
    return [reader for format_, reader in readers if _claims(format_, reader, asked)]


def _found(asked: Probe) -> Reader:
    """The one reader that recognises the path."""
    claimed = readers_of(asked)
    if len(claimed) == 1:
        return claimed[0]
    if claimed:
        raise UnknownFormat(
            asked.given,
            expected="one reader",
            found=f"{shorten([reader.name for reader in claimed])}, all claim it",
            hint=f"say which: {option('engine', claimed[0].name)}{_all_of(asked)}",
        )
    first = asked
    if asked.is_list:
        names = {member: _names_of(member) for member in asked.children}
        if all(names.values()):
            found = ", ".join(
                f"{member.given} ({' or '.join(names[member])})" for member in asked.children[:12]
            )
            raise UnknownFormat(
                asked.given,
                expected="a list of paths that one reader opens as one tree",
                found=found,
                hint=_each_alone(),
            )
        first = next(member for member in asked.children if not names[member])
    for child in first.children if first.kind == FOLDER else ():
        child.check_pointer()
    if first.denied:
        raise first.unknown("a file or folder that may be read")
    raise UnknownFormat(
        first.given,
        expected="a recording in a format that can be read",
        found=first.described() + _inside(first),
        hint=f"{_candidates(first)}`neuroarrays formats` lists all formats, "
        f"{option('engine', 'NAME')} forces one; arrays in a layout of your own open by a mapping, "
        "and `neuroarrays info` on them prints one to start from",
    )


def _candidates(probe: Probe) -> str:
    """The formats whose description names the kind of these files, and those of other packages."""
    names = [probe.name, *(probe.listing if probe.kind == FOLDER else ())][:100]
    endings = {name.rpartition(".")[2].lower() for name in names if "." in name}
    kinds = {_KINDS.get(ending, ending) for ending in {*endings, probe.container} if ending}
    candidates = [
        known.name
        for known in registry.formats()
        if not known.fault
        and (known.package or kinds & set(re.findall(r"\w+", known.description.lower())))
    ]
    return f"formats that may fit: {shorten(candidates)}; " if candidates else ""


def _all_of(asked: Probe) -> str:
    """How to open recordings of several formats that lie in one folder as one tree."""
    if not asked.is_folder or "engine" in typed_options():
        return ""
    call = f"na.open_datatree(na.sessions({asked.given!r}))"
    return f"; or {call} opens the recordings of all, each with its reader"


def _names_of(probe: Probe) -> list[str]:
    """Names of the readers that recognise one path."""
    return [
        reader.name for format_, reader in registry.readers() if _claims(format_, reader, probe)
    ]


def _inside(probe: Probe) -> str:
    """What the root of a file of arrays, or a zip, holds, in words for messages; "" of any other."""
    if probe.container == "hdf5":
        return f" with {shorten(probe.names)} at its root"
    if probe.container == "zip" and probe.suffix != ".npz":
        with contextlib.suppress(FormatError):  # it only begins like a zip
            if probe.names:
                return f" of {shorten(probe.names)}; unpack it and give what was in it"
        return ""
    from neuroarrays.formats.arrays.files import names_inside

    with naming_as_given(probe):
        return names_inside(probe)


def _claims(format_: registry.Format, reader: Reader, asked: Probe) -> bool:
    """Whether a reader recognises the path; one of another package may fail without harm to ours."""
    if not format_.package:
        return reader.guess_can_open(asked)
    try:
        return bool(reader.guess_can_open(asked))
    except Exception as error:
        msg = f"the reader {format_.name!r} of {format_.package} fails while looking at a path: {error!r}"
        warnings.warn(msg, UserWarning, stacklevel=2)
        return False
