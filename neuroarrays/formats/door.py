"""The door: find the reader of a path, open it, check what comes out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import xarray as xr

from neuroarrays.errors import MissingPath, SchemaError, UnknownFormat, printable, shorten
from neuroarrays.files import guard, opening, safety, state
from neuroarrays.formats import registry
from neuroarrays.lazy.chunking import chunked
from neuroarrays.schema import given
from neuroarrays.schema.validation import validate

if TYPE_CHECKING:
    import pandas as pd

    from neuroarrays.formats.reader import Reader

PathLike = str | os.PathLike[str]


def open_datatree(
    path_or_url: PathLike | Sequence[PathLike],
    engine: str | type[Reader] | None = None,
    chunks: Any = None,
    sessions: str | Sequence[str] | None = None,
    areas: str | Sequence[str] | None = None,
    probe: bool = False,
    **options: Any,
) -> xr.DataTree:
    """Open a recording as one lazy, labelled tree.

    Parameters
    ----------
    path_or_url : str, path or list of these
        A file, a folder, or several files.
    engine : str or type of Reader, optional
        Name of the format (``neuroarrays formats`` lists them, those of other packages too), a
        reader's class, or where that is, ``"package.module:Class"``; found by looking when not given.
    chunks : None, {}, "auto" or dict, optional
        None gives lazily indexed arrays, anything else dask arrays, as in xarray.
    sessions, areas : str or list of str, optional
        Names or globs (``"VIS*"``) of what to open; the rest is not built.
    probe : bool
        Open it in another process first, with bounds of time and memory, and read something of every
        variable: a file that would hang this process or end it is a `FormatError` instead.
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
    path = _path(path_or_url)
    reader = _reader(path, engine)
    wanted = {"sessions": sessions, "areas": areas}
    options |= {key: value for key, value in wanted.items() if value is not None}
    reader._checked(options)
    if probe:
        known = {"engine": registry.address(type(reader)), **options}
        guard.in_child("neuroarrays.formats.probing:touch", fs_paths(path), options=known)
    # Readers make every index themselves; xarray looking for more costs as much as opening.
    with safety.named(path if isinstance(path, str) else path[0]):
        tree = xr.open_datatree(
            path,  # type: ignore[arg-type]  # lists are passed on to the reader
            engine=type(reader),
            create_default_indexes=False,
            **options,
        )
    try:
        validate(tree)
    except SchemaError as error:
        place = path if isinstance(path, str) else shorten(path, 3)
        msg = f"{place}: {error}"
        raise SchemaError(msg) from error
    made = tree if chunks is None else chunked(tree, chunks)
    made.set_close(partial(state.close, [path] if isinstance(path, str) else path))
    return made


def catalog(
    path_or_url: PathLike | Sequence[PathLike],
    engine: str | type[Reader] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """What a file or archive holds, without building a tree.

    Parameters
    ----------
    path_or_url : str, path or list of these
        As for `open_datatree`.
    engine : str or type of Reader, optional
        As for `open_datatree`.
    **options
        Options of the reader, such as ``skip_damaged=True``.

    Returns
    -------
    pandas.DataFrame
        A row per block, session and area: number of units, spikes or presentations, ... Of a
        recording the column ``presentations`` has dicts, name of a table -> its number of rows.

    Raises
    ------
    MissingPath, UnknownFormat, BrokenReader, FormatError
        As `open_datatree`.
    """
    import pandas as pd

    path = _path(path_or_url)
    reader = _reader(path, engine)
    known = reader._checked(options) if options else {}
    with safety.named(path if isinstance(path, str) else path[0]):
        found = reader.catalog(path, **known)
    rows = [{key: _printable(value) for key, value in row.items()} for row in found]
    return pd.DataFrame(rows).convert_dtypes()


def _printable(value: Any) -> Any:
    """A value of a catalogue: names come from a file, and steer a terminal."""
    if isinstance(value, dict):
        return {printable(name): number for name, number in value.items()}
    return printable(value) if isinstance(value, str) else value


def fs_paths(path: PathLike | Sequence[PathLike]) -> str | list[str]:
    """A path as text, or several."""
    if isinstance(path, str | os.PathLike):
        return os.fspath(path)
    return [os.fspath(one) for one in path]


def _path(path_or_url: object) -> str | list[str]:
    if not isinstance(path_or_url, str | os.PathLike | list | tuple):
        hint = "; it is open already" if isinstance(path_or_url, xr.DataTree) else ""
        msg = f"expected a path, or a list of paths, found {given.found(path_or_url)}{hint}"
        raise TypeError(msg)
    if isinstance(path_or_url, str | os.PathLike):
        path = os.fspath(path_or_url)
        if "://" in path:
            msg = f"{path}: URLs are not read yet; download the file and give its path"
            raise MissingPath(msg)
        paths = [os.path.expanduser(path)]
    else:
        for one in path_or_url:
            if not isinstance(one, str | os.PathLike):
                msg = f"expected a list of paths, found {given.found(one)} in it"
                raise TypeError(msg)
        paths = [os.path.expanduser(os.fspath(path)) for path in path_or_url]
        if not paths:
            msg = "an empty list of paths; expected at least one"
            raise MissingPath(msg)
    for path in paths:
        safety.check_pointer(path)
        if not os.path.exists(path):
            folder = os.path.dirname(os.path.abspath(path))
            hint = "" if os.path.isdir(folder) else f"; the folder {folder} does not exist either"
            msg = f"{path}: no such file or folder{hint}"
            raise MissingPath(msg)
    return paths[0] if len(paths) == 1 else paths


def _reader(path: str | list[str], engine: str | type[Reader] | None) -> Reader:
    """The reader asked for, or the one that recognises the path."""
    reader = _found(path) if engine is None else _asked(path, engine)
    if not isinstance(path, str) and not reader.several:
        raise UnknownFormat(
            path[0],
            expected=f"one path for the engine {reader.name!r}",
            found=f"a list of {len(path)}",
            hint=f"open each: [na.open_datatree(path, engine={reader.name!r}) for path in paths]",
        )
    return reader


def _asked(path: str | list[str], engine: object) -> Reader:
    """The reader of a name, a class or where the class is."""
    from neuroarrays.formats.reader import Reader

    if isinstance(engine, type) and issubclass(engine, Reader):
        return engine()
    if not isinstance(engine, str):
        msg = (
            "engine: expected the name of a format or a subclass of "
            f"neuroarrays.formats.reader.Reader, found {given.found(engine)}"
        )
        raise TypeError(msg)
    format_ = registry.named(engine)
    if format_ is None:
        known = [one.name for one in registry.formats() if not one.fault]
        raise UnknownFormat(
            path if isinstance(path, str) else path[0],
            expected=f"an engine among {shorten(known, 30)}",
            found=f"engine={engine!r}",
        )
    return format_.load()


def _found(path: str | list[str]) -> Reader:
    """The one reader, of this package or another, that recognises the path."""
    claimed = [reader for format_, reader in registry.readers() if _claims(format_, reader, path)]
    if len(claimed) == 1:
        return claimed[0]
    first = path if isinstance(path, str) else path[0]
    names = shorten([reader.name for reader in claimed])
    if claimed:
        raise UnknownFormat(
            first,
            expected="one reader",
            found=f"{names}, all claim it",
            hint=f"say which: engine={claimed[0].name!r}",
        )
    from neuroarrays.formats.arrays.files import names_inside

    if os.path.isdir(first):
        for child in sorted(os.listdir(first)):
            safety.check_pointer(os.path.join(first, child))
    found = opening.describe(first)
    if opening.is_hdf5(first):
        found += f" with {shorten(opening.open_source(first).names('/'))} at its root"
    else:
        found += names_inside(first)
    raise UnknownFormat(
        first,
        expected="a file or folder that one of the readers recognises "
        f"({', '.join(one.name for one in registry.formats() if not one.fault)})",
        found=found,
        hint="`neuroarrays formats` lists what can be read, engine= forces one; arrays in a layout "
        "of your own open by a mapping, and `neuroarrays info` on them prints one to start from",
    )


def _claims(format_: registry.Format, reader: Reader, path: str | list[str]) -> bool:
    """Whether a reader recognises the path; one of another package may fail without harm to ours."""
    if not format_.package:
        return reader.guess_can_open(path)
    try:
        return bool(reader.guess_can_open(path))
    except Exception as error:
        msg = f"the reader {format_.name!r} of {format_.package} fails while looking at a path: {error!r}"
        warnings.warn(msg, UserWarning, stacklevel=2)
        return False
