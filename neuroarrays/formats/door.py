"""`open_datatree`, which finds the reader of a path, opens the path and checks the tree."""

from __future__ import annotations

import contextlib
import difflib
import os
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
    warn,
)
from neuroarrays.files import guard, safety, state
from neuroarrays.files.location import FOLDER, OTHER
from neuroarrays.files.openings import opening
from neuroarrays.files.probe import Probe, asked, naming_as_given, probe_of
from neuroarrays.formats import members, registry, rows
from neuroarrays.lazy.chunking import chunked
from neuroarrays.lazy.labels import show_labels
from neuroarrays.schema import given
from neuroarrays.schema.validation import validate

if TYPE_CHECKING:
    import pandas as pd

    from neuroarrays.formats.reader import Reader

PathLike = str | os.PathLike[str]

#: The most entries of a folder that are looked at for recordings in subfolders.
_LOOKED = 20


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
        A file, a folder, or several files. If it is a table of `neuroarrays.units`, or some rows of
        one, only the sessions, areas and units of its rows are opened, as one tree; see the page
        "Large archives".
    engine : str or type of Reader, optional
        Name of the format (``neuroarrays formats`` lists them, with those of other packages), the
        class of a reader, or its address ``"package.module:Class"`` (default: the reader that
        recognises the path).
    chunks : None, {}, "auto" or dict, optional
        None gives lazily indexed arrays, anything else dask arrays, as in xarray.
    sessions, areas : str or list of str, optional
        Names or globs (``"VIS*"``) of the sessions and areas to open. For sessions given by name, a
        folder whose files have the names of sessions is not searched further.
    probe : bool
        If True, another process with limits of time and memory opens the path first, and reads a
        part of every variable. A file that would hang or end this process then raises `FormatError`.
    cache : bool
        If True, what opening reads from a remote address is stored on disk for the next time; see
        the page "Recordings on servers and in buckets".
    **options
        Options of the reader.

    Returns
    -------
    xr.DataTree
        A recording or an aligned tree; see the page "What a tree is". Its `close` closes the files.

    Raises
    ------
    MissingPath
        If there is nothing at the path.
    UnknownFormat
        If no reader recognises the path, or several do.
    BrokenReader
        If the reader of `engine` belongs to another package and cannot be imported.
    FormatError
        If a file is damaged.
    NotInTree
        If a session or area does not exist.
    TypeError
        If the reader does not have an option, or `engine` is neither a name nor a reader.

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
        target = checked_probe(path_or_url)
        member = members.named(target, sessions, partial(_is_known, engine=engine))
        if member is not None:
            with suppress(UnknownFormat, NotInTree):  # if so, the whole folder is searched
                reader = reader_of(member, engine)
                if reader.opens_members:
                    return _opened(member, reader, chunks, probe, options)
        return _opened(target, reader_of(target, engine), chunks, probe, options)


def _is_known(probe: Probe, engine: str | type[Reader] | None) -> bool:
    """Whether the given reader, or any reader, recognises a path."""
    try:
        return reader_of(probe, engine).claims(probe)
    except UnknownFormat:
        return False


def _opened(
    target: Probe, reader: Reader, chunks: Any, probe: bool, options: dict[str, Any]
) -> xr.DataTree:
    """Open a path with a reader, and check the tree."""
    reader._checked(options)
    if probe:
        touch = "neuroarrays.formats.checking:touch"
        child_options = {"engine": registry.address(type(reader)), **options}
        with naming_as_given(target):
            guard.in_child(touch, target.addresses, options=child_options)
    # Readers make all indexes themselves; if xarray looked for more, it would double the time.
    with safety.named(target.as_given):
        tree = xr.open_datatree(
            target,  # type: ignore[arg-type]  # passed on to the reader
            engine=type(reader),
            create_default_indexes=False,
            **options,
        )
    return _finished(tree, target, chunks, target.paths, options.get("drop_variables"), reader)


def _of_rows(
    table: Any,
    engine: str | type[Reader] | None,
    chunks: Any,
    cache: bool,
    options: dict[str, Any],
) -> xr.DataTree:
    """Open the sessions, areas and units of the rows of a table."""

    def open_groups(path: str, format_: str, wanted: dict[str, Any]) -> dict[str, xr.Dataset]:
        target = checked_probe(path)
        reader = reader_of(target, engine or format_ or None)
        with safety.named(target.as_given):
            return reader.open_groups_as_dict(target, **reader._checked(options | wanted))

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
    """Check a tree, make dask arrays if `chunks` is given, and let its `close` close `paths`."""
    try:
        validate(tree)
    except SchemaError as error:
        msg = f"{called}: {error}"
        if dropped and reader is not None:
            msg += f"\n{option('drop_variables', dropped)} left out variables; "
            msg += f"xr.open_datatree(path, engine={reader.name!r}) opens such a tree without this check"
        raise SchemaError(msg) from error
    for node in tree.subtree:  # the arrays of the reader, which xarray has wrapped
        show_labels(node)
    opened = tree if chunks is None else chunked(tree, chunks)
    opened.set_close(partial(state.close, paths))
    return opened


def checked_probe(path_or_url: object) -> Probe:
    """Return the probe of a path, or of the paths of a list, after checking that all exist.

    Raises
    ------
    TypeError
        If the argument is neither a path nor a list of paths.
    MissingPath
        If there is nothing at a path.
    FormatError
        If a list has a path twice.
    """
    if not isinstance(path_or_url, str | os.PathLike | list | tuple | Probe):
        hint = "; it is open already" if isinstance(path_or_url, xr.DataTree) else ""
        msg = f"expected a path, or a list of paths, found {given.described(path_or_url)}{hint}"
        raise TypeError(msg)
    probe = probe_of(path_or_url)
    listed: dict[str, str] = {}
    for member in probe.children if probe.is_list else (probe,):
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
                member.as_given,
                "",
                "each path of a list once",
                f"it twice, as {listed[member.path]!r} too",
            )
        listed[member.path] = member.as_given
    return probe


def reader_of(probe: Probe, engine: str | type[Reader] | None) -> Reader:
    """Return the reader of `engine`, or the one that recognises the path if `engine` is None.

    Raises
    ------
    UnknownFormat
        If no reader recognises the path, several do, or the reader does not open lists.
    BrokenReader
        If the reader of `engine` belongs to another package and cannot be imported.
    TypeError
        If `engine` is neither a name nor a reader.
    """
    reader = _recognising(probe) if engine is None else _of_engine(probe, engine)
    if probe.is_list and not reader.takes_lists:
        raise UnknownFormat(
            probe.as_given,
            expected=f"one path for the engine {reader.name!r}",
            found=probe.described(),
            hint=_each_alone(reader.name),
        )
    return reader


def _each_alone(engine: str = "") -> str:
    """Return how to open several paths one by one, in Python or on the command line."""
    if "engine" in typed_options():
        return "give each path to a command of its own"
    options = f", engine={engine!r}" if engine else ""
    return f"open each: [na.open_datatree(path{options}) for path in paths]"


def _of_engine(probe: Probe, engine: object) -> Reader:
    """Return the reader of a name, a class, or the address of a class; `probe` is for errors."""
    from neuroarrays.formats.reader import Reader

    if isinstance(engine, type) and issubclass(engine, Reader):
        return engine()
    if not isinstance(engine, str):
        expected = "engine: expected the name of a format or a subclass of"
        msg = f"{expected} neuroarrays.formats.reader.Reader, found {given.described(engine)}"
        raise TypeError(msg)
    format_ = registry.named(engine)
    if format_ is None:
        names = [known.name for known in registry.formats() if not known.fault]
        similar = difflib.get_close_matches(engine, names, 3, cutoff=0.5)
        raise UnknownFormat(
            probe.as_given,
            expected="the name of a format, which `neuroarrays formats` lists",
            found=option("engine", engine),
            hint=f"did you mean {' or '.join(map(repr, similar))}?" if similar else "",
        )
    return format_.load()


def readers_of(probe: Probe) -> list[Reader]:
    """Return the readers, of this package or another, that recognise a path: usually one, or none."""
    readers = list(registry.readers())
    for format_, reader in readers:
        if not (probe.is_list or format_.package) and asked(reader.is_marked, probe):
            return [reader]
    return [reader for format_, reader in readers if _claims(format_, reader, probe)]


def _recognising(probe: Probe) -> Reader:
    """Return the one reader that recognises a path."""
    readers = readers_of(probe)
    if len(readers) == 1:
        return readers[0]
    if readers:
        raise UnknownFormat(
            probe.as_given,
            expected="one reader",
            found=f"{shorten([reader.name for reader in readers])}, all claim it",
            hint=f"say which: {option('engine', readers[0].name)}{_all_of(probe)}",
        )
    unknown = probe
    if probe.is_list:
        names = {member: _names_of(member) for member in probe.children}
        if all(names.values()):
            described = [
                f"{member.as_given} ({' or '.join(names[member])})"
                for member in probe.children[:12]
            ]
            raise UnknownFormat(
                probe.as_given,
                expected="a list of paths that one reader opens as one tree",
                found=", ".join(described),
                hint=_each_alone(),
            )
        unknown = next(member for member in probe.children if not names[member])
    for child in unknown.children if unknown.kind == FOLDER else ():
        child.check_pointer()
    if unknown.denied:
        raise unknown.unknown("a file or folder that may be read")
    raise UnknownFormat(
        unknown.as_given,
        expected="a recording in a format that can be read",
        found=unknown.described() + _inside(unknown),
        hint=f"{_in_subfolders(unknown)}`neuroarrays formats` lists all formats, {option('engine', 'NAME')} forces one; arrays "
        "in a layout of your own open by a mapping, and `neuroarrays info` on them prints one to start from",
    )


def _all_of(probe: Probe) -> str:
    """Return how to open recordings of several formats in one folder as one tree, for a hint."""
    if not probe.is_folder or "engine" in typed_options():
        return ""
    call = f"na.open_datatree(na.sessions({probe.as_given!r}))"
    return f"; or {call} opens the recordings of all, each with its reader"


def _in_subfolders(folder: Probe) -> str:
    """Return how to open recordings that are in subfolders, as DANDI has them, for a hint; else ""."""
    if folder.kind != FOLDER or not any(
        child.kind == FOLDER and _names_of(child) for child in folder.children[:_LOOKED]
    ):
        return ""
    call = f"na.open_datatree(na.sessions({folder.as_given!r}))"
    return f"its subfolders have recordings, which {call} opens as one tree; "


def _names_of(probe: Probe) -> list[str]:
    """Return the names of the readers that recognise one path."""
    readers = registry.readers()
    return [reader.name for format_, reader in readers if _claims(format_, reader, probe)]


def _inside(probe: Probe) -> str:
    """Return what the root of a file of arrays, or a zip, contains, for messages; "" for others."""
    if probe.container == "hdf5":
        return f" with {shorten(probe.names)} at its root"
    if probe.container == "zip" and probe.suffix != ".npz":
        with contextlib.suppress(FormatError):  # a file that begins like a zip and is damaged
            if probe.names:
                return f" of {shorten(probe.names)}; unpack it and give what was in it"
        return ""
    from neuroarrays.formats.arrays.files import names_inside

    with naming_as_given(probe):
        return names_inside(probe)


def _claims(format_: registry.Format, reader: Reader, probe: Probe) -> bool:
    """Whether a reader recognises a path; a reader of another package that fails gives a warning."""
    if not format_.package:
        return reader.guess_can_open(probe)
    try:
        return bool(reader.guess_can_open(probe))
    except Exception as error:
        msg = f"the reader {format_.name!r} of {format_.package} fails while looking at a path: {error!r}"
        warn(msg)
        return False
