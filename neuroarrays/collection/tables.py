"""Tables over many recordings: `units`, `presentations`, `sessions`, `catalog` and `index`.

Each recording is opened once. Its rows are kept in the user's cache folder
(`neuroarrays.collection.indexing`), and are read again when the recording changes. The columns tell
where a row is from, so any rows of a table open as a tree: ``na.open_datatree(rows)``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from neuroarrays.collection import gathering, layout
from neuroarrays.collection.gathering import PathOrTree, TableQuery
from neuroarrays.collection.scanning import CATALOG, PRESENTATIONS, SESSIONS, TABLES, UNITS
from neuroarrays.collection.stacking import joined
from neuroarrays.errors import FormatError, PathExists, option
from neuroarrays.files.openings import opening
from neuroarrays.files.probe import probe_of
from neuroarrays.formats.allen_binned import presentations as published
from neuroarrays.formats.allen_binned import tables as mlynarski
from neuroarrays.formats.door import open_datatree
from neuroarrays.schema.names import chosen

if TYPE_CHECKING:
    import pandas as pd

    from neuroarrays.formats.reader import Reader

_MLYNARSKI = "mlynarski"


def units(
    paths: PathOrTree | Sequence[PathOrTree],
    condition: str | None = None,
    engine: str | type[Reader] | None = None,
    *,
    columns: Sequence[str] | None = None,
    compat: str | None = None,
    cache: bool = True,
    workers: int | None = None,
    **options: Any,
) -> pd.DataFrame:
    """List the units of many recordings with their properties, a row for each unit.

    Parameters
    ----------
    paths : path, tree, or list of these
        Files, folders (with all recordings in them), archives, addresses, or trees. Or an index
        from `neuroarrays.index`: it is read instead of the recordings, also if it is called
        ``units.parquet`` in a given folder.
    condition : str, optional
        A condition on the columns, as for `select_units`; only rows that fit are returned:
        ``"area == 'VISp' and presence_ratio > 0.95"``.
    engine : str or type of Reader, optional
        As for `open_datatree`: the reader of all paths.
    columns : str or list of str, optional
        Columns to return (default: all). Few columns are read faster.
    compat : {"mlynarski"}, optional
        Return the columns of ``units.csv`` of the published binned archive of Allen Visual Coding
        (those of `get_units` of the AllenSDK), as far as session files have them.
    cache : bool
        If True, keep the rows in the user's cache folder, and use rows that are there; see the page
        "Large archives".
    workers : int, optional
        Number of recordings to open at the same time, in child processes (default: up to 4, if
        there are more than 4 recordings; else they are opened in this process).
    **options
        Options of the reader, `skip_damaged`, `sessions` and `areas`, as for `open_datatree`; not
        for trees.

    Returns
    -------
    pandas.DataFrame
        A row for each unit, with ``block`` (for archives with several stimuli), ``session``,
        ``area``, ``unit_id``, and each column along `unit_id`, in the unit of measurement in
        ``attrs["units"]``. Also ``spikes`` (their number, for recordings), ``row`` (position in the
        area), ``node`` (path in the tree), ``format`` and ``path`` (of the file or folder). If a
        recording lacks a column, its rows have missing values. ``attrs["notes"]`` lists what was
        left out or read again.

    Raises
    ------
    MissingPath, UnknownFormat, FormatError, NotInTree
        As `open_datatree`; a `FormatError` also for an index from a newer version.
    QueryError
        If `condition` is not a condition.
    NothingLeft
        If no unit fits; the message has the number of units that fit each part of the condition, by
        session.
    ValueError
        If `compat` is unknown, or `paths` is an empty list.
    TypeError
        If a path has another type, or options are given with a tree.
    SchemaError
        With `compat`, if a recording is not from Allen Visual Coding.

    Examples
    --------
    >>> import neuroarrays as na
    >>> na.units(na.sample_path())[["session", "area", "unit_id", "spikes"]].shape
    (15, 4)
    >>> few = na.units(na.sample_path(), "area == 'adn' and spikes > 9000")
    >>> na.open_datatree(few)["A2929-200711/adn/spikes"].sizes["unit_id"]
    4
    """
    query = TableQuery(UNITS, condition, _list(columns), cache, workers)
    if _is_published(compat, query):
        trees = _trees(paths, engine, options)
        return published.joined(mlynarski.units_of(tree) for tree in trees)
    return gathering.frame_of(query, paths, engine, options)


def presentations(
    paths: PathOrTree | Sequence[PathOrTree],
    condition: str | None = None,
    engine: str | type[Reader] | None = None,
    *,
    tables: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    compat: str | None = None,
    cache: bool = True,
    workers: int | None = None,
    **options: Any,
) -> pd.DataFrame:
    """List the presentations, trials and epochs of many recordings, a row for each.

    Parameters
    ----------
    paths, condition, engine, columns, cache, workers
        As for `units`; an index in a folder is called ``presentations.parquet``.
    tables : str or list of str, optional
        Names or patterns of tables, or of stimuli for an aligned tree (default: all). Each must be
        in at least one recording.
    compat : {"mlynarski"}, optional
        Return the rows and columns of ``03_presentations_filtered_by_duration.csv`` of the
        published binned archive of Allen Visual Coding: whole movies, no odd durations, medians
        over all `paths`. `neuroarrays.formats.allen_binned.presentations` has the earlier steps.
    **options
        As for `units`.

    Returns
    -------
    pandas.DataFrame
        A row for each presentation, with ``block``, ``session``, ``table``, ``presentation_id``,
        ``start_time`` and ``stop_time`` (s, session clock), ``duration`` (s), all other columns of
        the tables in the unit of measurement in ``attrs["units"]``, ``format`` and ``path``.

    Raises
    ------
    MissingPath, UnknownFormat, FormatError, NotInTree, QueryError, NothingLeft, ValueError, TypeError, SchemaError
        As `units`.

    Examples
    --------
    >>> import neuroarrays as na
    >>> ripples = na.presentations(na.sample_path(), tables="sleep_ripples")
    >>> ripples[["start_time", "duration"]].shape
    (594, 2)
    """
    query = TableQuery(PRESENTATIONS, condition, _list(columns), cache, workers)
    if _is_published(compat, query):
        trees = _trees(paths, engine, options)
        originals = published.joined(mlynarski.presentations_of(tree) for tree in trees)
        filtered = published.of_usual_length(published.whole_movies(originals))
        names = filtered["stimulus_name"].tolist() if len(filtered) else []
        accepted = set(chosen(dict.fromkeys(names), tables, "stimulus"))
        return filtered[[name in accepted for name in names]].reset_index(drop=True)
    return gathering.frame_of(query, paths, engine, options | {"tables": tables})


def sessions(
    paths: PathOrTree | Sequence[PathOrTree],
    condition: str | None = None,
    engine: str | type[Reader] | None = None,
    *,
    columns: Sequence[str] | None = None,
    compat: str | None = None,
    cache: bool = True,
    workers: int | None = None,
    **options: Any,
) -> pd.DataFrame:
    """List the sessions of many recordings with the facts from their files, a row for each.

    Parameters
    ----------
    paths, condition, engine, columns, cache, workers
        As for `units`; an index in a folder is called ``sessions.parquet``.
    compat : {"mlynarski"}, optional
        Return the columns of ``sessions.csv`` of the published binned archive of Allen Visual
        Coding (those of `get_session_table` of the AllenSDK), as far as session files have them.
    **options
        As for `units`.

    Returns
    -------
    pandas.DataFrame
        A row for each session, with ``block``, ``session``, ``areas`` (names, joined by ", "),
        ``units`` (their number), ``tables`` and ``signals`` (names), the attributes of the session,
        ``format`` and ``path``.

    Raises
    ------
    MissingPath, UnknownFormat, FormatError, NotInTree, QueryError, NothingLeft, ValueError, TypeError, SchemaError
        As `units`.

    Examples
    --------
    >>> import neuroarrays as na
    >>> na.sessions(na.sample_path())["units"].tolist()
    [15]
    """
    query = TableQuery(SESSIONS, condition, _list(columns), cache, workers)
    if _is_published(compat, query):
        trees = _trees(paths, engine, options)
        return published.joined(mlynarski.sessions_of(tree) for tree in trees)
    return gathering.frame_of(query, paths, engine, options)


def catalog(
    paths: PathOrTree | Sequence[PathOrTree],
    condition: str | None = None,
    engine: str | type[Reader] | None = None,
    *,
    columns: Sequence[str] | None = None,
    cache: bool = True,
    workers: int | None = None,
    **options: Any,
) -> pd.DataFrame:
    """List the sessions and areas of recordings and archives, with their sizes.

    Parameters
    ----------
    paths, condition, engine, columns, cache, workers
        As for `units`; an index in a folder is called ``catalog.parquet``.
    **options
        As for `units`.

    Returns
    -------
    pandas.DataFrame
        A row for each session and area, with ``block`` (for archives with several stimuli),
        ``session``, ``area`` ("" for a session without areas), the numbers of ``units``,
        ``spikes``, ``presentations`` and ``times``, if there are any, ``node`` (path in the tree),
        ``format`` and ``path``. For a recording, ``presentations`` has dicts: name of a table ->
        its number of rows.

    Raises
    ------
    MissingPath, UnknownFormat, BrokenReader, FormatError, NotInTree, QueryError, NothingLeft, ValueError, TypeError
        As `units`.

    Examples
    --------
    >>> import neuroarrays as na
    >>> na.catalog(na.sample_path())[["area", "units"]].values.tolist()
    [['adn', 7], ['ca1', 8]]
    """
    query = TableQuery(CATALOG, condition, _list(columns), cache, workers)
    return gathering.frame_of(query, paths, engine, options)


def index(
    paths: PathOrTree | Sequence[PathOrTree],
    output: str | os.PathLike[str],
    table: str = "units",
    engine: str | type[Reader] | None = None,
    *,
    cache: bool = True,
    workers: int | None = None,
    **options: Any,
) -> Path:
    """Write a table over many recordings to a parquet file, which the other functions then use.

    Give the file in place of the recordings, or put it into their folder under the name of its
    table (``units.parquet``): it is then read instead of the recordings. Paths of recordings in its
    folder are relative, so both can be moved together. pandas, polars and duckdb can read the file;
    the page "Large archives" describes its columns.

    Parameters
    ----------
    paths, engine, cache, workers
        As for `units`.
    output : path
        The parquet file. An existing index is replaced, once the new one is complete.
    table : {"units", "presentations", "sessions", "catalog"}
        The table to write.
    **options
        `skip_damaged`, as for `units`. An index is made without other options of readers.

    Returns
    -------
    Path
        `output`.

    Raises
    ------
    PathExists
        If `output` exists and is not an index.
    MissingDependency
        If pyarrow is not installed.
    WriteFailed
        If the disk is full, or the system refuses to write.
    NeuroArraysError, ValueError, TypeError
        As `units`.

    Examples
    --------
    >>> import neuroarrays as na
    >>> na.index("sessions/", "sessions/units.parquet")  # doctest: +SKIP
    >>> na.units("sessions/", "snr > 3")  # doctest: +SKIP
    """
    if table not in TABLES:
        msg = f"{option('table', table)}: expected one of {', '.join(TABLES)}"
        raise ValueError(msg)
    if others := set(options) - {"skip_damaged"}:
        msg = f"an index takes no options of readers; leave out {', '.join(sorted(others))}"
        raise TypeError(msg)
    layout.require_pyarrow("writing an index")
    out = Path(output).expanduser().absolute()
    if out.suffix != ".parquet":
        msg = f"{option('output', str(output))}: expected a name that ends with .parquet"
        raise ValueError(msg)
    if os.path.lexists(out) and not _is_index(out):
        msg = f"{out}: it exists and is not an index; give another name"
        raise PathExists(msg)
    recordings = [path for path in gathering.as_list(paths) if not isinstance(path, xr.DataTree)]
    if len(recordings) < len(gathering.as_list(paths)):
        msg = "an index is made from recordings on disk; expected paths, found a tree"
        raise TypeError(msg)
    query = TableQuery(table, cache=cache, workers=workers)
    with opening(cache):
        parts, _ = gathering.parts_of(query, recordings, engine, options, ignore_index=True)
    rows = joined([part.read(None) for part in parts])
    layout.write(out, rows, table, [e for part in parts for e in part.entries], relative=True)
    return out


def _is_index(path: Path) -> bool:
    """Return whether a file is an index of ours, of any version."""
    try:
        return layout.open_index(probe_of(path)) is not None
    except FormatError as error:
        return error.expected.startswith("an index")


def _is_published(compat: str | None, query: TableQuery) -> bool:
    """Return whether the published table is requested; refuse options that it does not have."""
    if compat not in (None, _MLYNARSKI):
        msg = f"{option('compat', compat)}: expected {_MLYNARSKI!r} or None"
        raise ValueError(msg)
    if compat is not None and (query.condition is not None or query.columns is not None):
        msg = (
            f"compat={compat!r} gives the published table; select its rows and columns with pandas"
        )
        raise ValueError(msg)
    return compat is not None


def _trees(
    paths: PathOrTree | Sequence[PathOrTree],
    engine: str | type[Reader] | None,
    options: dict[str, Any],
) -> Iterator[xr.DataTree]:
    """Yield the tree of each path; a tree that was opened here is closed before the next is opened."""
    seen: set[str] = set()
    for item in gathering.as_list(paths):
        if isinstance(item, xr.DataTree):
            gathering.check_whole(item, engine, options)
            yield item
            continue
        probe = probe_of(item)
        if probe.path in seen:
            raise FormatError(probe.as_given, "", "each path of a list once", "it twice")
        seen.add(probe.path)
        tree = open_datatree(probe, engine, **options)
        try:
            yield tree
        finally:
            tree.close()


def _list(columns: Sequence[str] | None) -> Sequence[str] | None:
    """Names of columns as a list; None for all of them."""
    return [columns] if isinstance(columns, str) else columns
