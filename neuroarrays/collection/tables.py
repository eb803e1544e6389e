"""Tables over many recordings: a row per unit, presentation, session and area.

Each recording is opened once: its rows are kept in the user's cache folder
(`neuroarrays.collection.indexing`) and made anew when it changes. Where a row lies is in its columns, so
that any rows of a table open as a tree: ``na.open_datatree(rows)``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from neuroarrays.collection import gathering, layout
from neuroarrays.collection.gathering import Given, Wanted
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
    paths: Given | Sequence[Given],
    condition: str | None = None,
    engine: str | type[Reader] | None = None,
    *,
    columns: Sequence[str] | None = None,
    compat: str | None = None,
    cache: bool = True,
    workers: int | None = None,
    **options: Any,
) -> pd.DataFrame:
    """A row per unit of many recordings, with all that is known of it.

    Parameters
    ----------
    paths : path, tree, or list of these
        Files, folders (all recordings in them), archives and addresses; or an index that
        `neuroarrays.index` wrote, which is used instead of looking, as is one called
        ``units.parquet`` in a folder that is given. Trees that are open, as `select_units` gives
        them, stay open.
    condition : str, optional
        Which rows: a condition on the columns, as for `select_units`:
        ``"area == 'VISp' and presence_ratio > 0.95"``.
    engine : str or type of Reader, optional
        As for `open_datatree`: the reader of all paths.
    columns : list of str, optional
        Which columns; all unless given. Few are read faster.
    compat : {"mlynarski"}, optional
        The columns of ``units.csv`` of the published binned archive of Allen Visual Coding, which
        are those of AllenSDK's `get_units`, as far as session files know them.
    cache : bool
        Keep the rows in the user's cache folder, and use those that are kept; see the page "Large
        archives".
    workers : int, optional
        How many recordings are opened at a time, in processes of their own. Unless given, up to 4 where
        there are more than 4 recordings, which otherwise are opened in this process.
    **options
        Of the reader, `skip_damaged`, and `sessions` and `areas`, as for `open_datatree`; none for trees.

    Returns
    -------
    pandas.DataFrame
        ``block`` (of an archive with several stimuli), ``session``, ``area``, ``unit_id``, every column along `unit_id`: (unit,) each, in the unit of measurement in
        ``attrs["units"]``; ``spikes`` (how many, of a recording), ``row`` (position in the area), ``node``
        (path in the tree), ``format`` and ``path`` (of the file or folder). A column that a recording lacks is missing in its rows.
        ``attrs["notes"]`` says what was left out and what was read anew.

    Raises
    ------
    MissingPath, UnknownFormat, FormatError, NotInTree
        As `open_datatree`; a `FormatError` also on an index that a newer version made.
    QueryError
        If the condition is none.
    NothingLeft
        If no unit fits it; says what each part alone would fit, by session.
    ValueError
        If `compat` is none that there is, or `paths` is an empty list.
    TypeError
        If something else stands in the place of a path, or options come with a tree.
    SchemaError
        With `compat`, if it is no recording of Allen Visual Coding.

    Examples
    --------
    >>> import neuroarrays as na
    >>> na.units(na.sample_path())[["session", "area", "unit_id", "spikes"]].shape
    (15, 4)
    >>> few = na.units(na.sample_path(), "area == 'adn' and spikes > 9000")
    >>> na.open_datatree(few)["A2929-200711/adn/spikes"].sizes["unit_id"]
    4
    """
    wanted = Wanted(UNITS, condition, columns, cache, workers)
    if _is_published(compat, wanted):
        trees = _trees(paths, engine, options)
        return published.joined(mlynarski.units_of(tree) for tree in trees)
    return gathering.frame_of(wanted, paths, engine, options)


def presentations(
    paths: Given | Sequence[Given],
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
    """A row per presentation, trial or epoch of many recordings.

    Parameters
    ----------
    paths, condition, engine, columns, cache, workers
        As for `units`; an index in a folder is called ``presentations.parquet``.
    tables : str or list of str, optional
        Names or globs of tables, of an aligned tree of stimuli; all unless given. Each has to be
        there in one recording at least.
    compat : {"mlynarski"}, optional
        The rows and columns of ``03_presentations_filtered_by_duration.csv`` of the published binned
        archive of Allen Visual Coding: whole movies, none of odd duration, medians over all `paths`.
        `neuroarrays.formats.allen_binned.presentations` has the steps before, and the summary.
    **options
        As for `units`.

    Returns
    -------
    pandas.DataFrame
        ``block``, ``session``, ``table``, ``presentation_id``, ``start_time``,
        ``stop_time`` and ``duration`` (s, session clock), every other column of the tables in the unit
        of measurement in ``attrs["units"]``, ``format`` and ``path``.

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
    wanted = Wanted(PRESENTATIONS, condition, columns, cache, workers)
    if _is_published(compat, wanted):
        trees = _trees(paths, engine, options)
        originals = published.joined(mlynarski.presentations_of(tree) for tree in trees)
        filtered = published.of_usual_length(published.whole_movies(originals))
        names = filtered["stimulus_name"].tolist() if len(filtered) else []
        kept = set(chosen(dict.fromkeys(names), tables, "stimulus"))
        return filtered[[name in kept for name in names]].reset_index(drop=True)
    return gathering.frame_of(wanted, paths, engine, options | {"tables": tables})


def sessions(
    paths: Given | Sequence[Given],
    condition: str | None = None,
    engine: str | type[Reader] | None = None,
    *,
    columns: Sequence[str] | None = None,
    compat: str | None = None,
    cache: bool = True,
    workers: int | None = None,
    **options: Any,
) -> pd.DataFrame:
    """A row per session of many recordings, with what its file says of it.

    Parameters
    ----------
    paths, condition, engine, columns, cache, workers
        As for `units`; an index in a folder is called ``sessions.parquet``.
    compat : {"mlynarski"}, optional
        The columns of ``sessions.csv`` of the published binned archive of Allen Visual Coding, which
        are those of AllenSDK's `get_session_table`, as far as session files know them.
    **options
        As for `units`.

    Returns
    -------
    pandas.DataFrame
        ``block``, ``session``, ``areas`` (names, joined by ", "), ``units`` (how many), ``tables`` and
        ``signals`` (names), the attributes of the session, ``format`` and ``path``.

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
    wanted = Wanted(SESSIONS, condition, columns, cache, workers)
    if _is_published(compat, wanted):
        trees = _trees(paths, engine, options)
        return published.joined(mlynarski.sessions_of(tree) for tree in trees)
    return gathering.frame_of(wanted, paths, engine, options)


def catalog(
    paths: Given | Sequence[Given],
    condition: str | None = None,
    engine: str | type[Reader] | None = None,
    *,
    columns: Sequence[str] | None = None,
    cache: bool = True,
    workers: int | None = None,
    **options: Any,
) -> pd.DataFrame:
    """What recordings and archives hold: a row per session and area.

    Parameters
    ----------
    paths, condition, engine, columns, cache, workers
        As for `units`; an index in a folder is called ``catalog.parquet``.
    **options
        As for `units`.

    Returns
    -------
    pandas.DataFrame
        ``block`` (of an archive with several stimuli), ``session``, ``area`` ("" of a session without),
        the number of ``units``, ``spikes``, ``presentations``, ``times`` as far as there are such,
        ``node`` (path in the tree), ``format`` and ``path``. Of a recording the column ``presentations`` has
        dicts, name of a table -> its number of rows.

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
    wanted = Wanted(CATALOG, condition, columns, cache, workers)
    return gathering.frame_of(wanted, paths, engine, options)


def index(
    paths: Given | Sequence[Given],
    output: str | os.PathLike[str],
    table: str = "units",
    engine: str | type[Reader] | None = None,
    *,
    cache: bool = True,
    workers: int | None = None,
    **options: Any,
) -> Path:
    """Write a table over many recordings to a parquet file, for others and for other programs.

    Given in place of the recordings, or lying among them under the name of its table
    (``units.parquet``), it is used instead of looking. Paths of recordings in its folder are relative to
    it, so that both can be moved. pandas, polars and duckdb read it; the page "Large archives" has its
    columns.

    Parameters
    ----------
    paths, engine, cache, workers
        As for `units`.
    output : path
        The parquet file; an index that is there already is replaced, once the new one is complete.
    table : {"units", "presentations", "sessions", "catalog"}
        Which table.
    **options
        `skip_damaged`, as for `units`. An index is of recordings as they open without options.

    Returns
    -------
    Path
        `output`.

    Raises
    ------
    PathExists
        If something else is at `output`.
    MissingDependency
        Without pyarrow.
    WriteFailed
        On a full disk, or if the system does not let it be written.
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
        msg = f"an index takes no options of readers: {', '.join(sorted(others))}"
        raise TypeError(msg)
    layout.needed("writing an index")
    out = Path(output).expanduser().absolute()
    if out.suffix != ".parquet":
        msg = f"{option('output', str(output))}: expected a name that ends with .parquet"
        raise ValueError(msg)
    if os.path.lexists(out) and not _is_index(out):
        msg = f"{out}: there is something else than an index; give another name"
        raise PathExists(msg)
    several = [path for path in gathering.listed(paths) if not isinstance(path, xr.DataTree)]
    if len(several) < len(gathering.listed(paths)):
        msg = "an index is of recordings on disk; expected paths, found a tree"
        raise TypeError(msg)
    wanted = Wanted(table, cache=cache, workers=workers)
    with opening(cache):
        parts, _ = gathering.parts_of(wanted, several, engine, options, looking=True)
    rows = joined([part.read(None) for part in parts])
    layout.write(out, rows, table, [e for part in parts for e in part.entries], relative=True)
    return out


def _is_index(path: Path) -> bool:
    """Whether a file is an index of ours, of whatever version."""
    try:
        return layout.stored(probe_of(path)) is not None
    except FormatError as error:
        return error.expected.startswith("an index")


def _is_published(compat: str | None, wanted: Wanted) -> bool:
    """Whether the columns of the published archive are asked for."""
    if compat not in (None, _MLYNARSKI):
        msg = f"{option('compat', compat)}: expected {_MLYNARSKI!r} or None"
        raise ValueError(msg)
    if compat is not None and (wanted.condition is not None or wanted.columns is not None):
        msg = f"compat={compat!r} gives the published table: choose rows and columns of it with pandas"
        raise ValueError(msg)
    return compat is not None


def _trees(
    paths: Given | Sequence[Given], engine: str | type[Reader] | None, options: dict[str, Any]
) -> Iterator[xr.DataTree]:
    """The tree of each path; what was opened here is closed when the next is opened."""
    known: set[str] = set()
    for each in gathering.listed(paths):
        if isinstance(each, xr.DataTree):
            gathering.check_whole(each, engine, options)
            yield each
            continue
        probe = probe_of(each)
        if probe.path in known:
            raise FormatError(probe.given, "", "each path of a list once", "it twice")
        known.add(probe.path)
        tree = open_datatree(probe, engine, **options)
        try:
            yield tree
        finally:
            tree.close()
