"""The sources of a build: recordings, given by their paths or by the rows of a table of units."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import xarray as xr

from neuroarrays.collection.recordings import recordings_of
from neuroarrays.errors import NeuroArraysError, UnknownFormat, shorten
from neuroarrays.files.locating import locate
from neuroarrays.files.location import Location
from neuroarrays.files.probe import Probe, probe_of
from neuroarrays.formats import rows
from neuroarrays.formats.door import open_datatree
from neuroarrays.schema import UNIT

if TYPE_CHECKING:
    import pandas as pd

#: Columns of a table of units that determine what is opened of a recording.
_COLUMNS = (
    rows.PATH,
    rows.FORMAT,
    rows.STAMP,
    rows.BLOCK,
    rows.SESSION,
    rows.AREA,
    UNIT,
    rows.ROW,
)


@dataclass(frozen=True)
class Source:
    """One recording, or some of its sessions, areas and units.

    Attributes
    ----------
    location : Location
        Where the file or folder lies.
    engine : str, optional
        The reader, by name or address (default: the one that recognises the recording).
    table : DataFrame, optional
        The rows to open (default: the whole recording).
    chosen : str
        A hash of these rows; "" without `table`.
    """

    location: Location
    engine: str | None = None
    table: pd.DataFrame | None = field(default=None, compare=False, repr=False)
    chosen: str = ""

    @property
    def path(self) -> str:
        """The absolute path, or the address without secrets."""
        return self.location.path

    def open(self, *, probe: bool = False, **choices: Any) -> xr.DataTree:
        """Open the tree.

        Parameters
        ----------
        probe : bool
            Whether to try the file in a child process first, which a damaged file may crash.
        **choices
            `sessions` or `areas`, as for `neuroarrays.open_datatree`.

        Raises
        ------
        NeuroArraysError
            As `neuroarrays.open_datatree`.
        """
        file = Probe(self.location)
        if self.table is None:
            return open_datatree(file, engine=self.engine, probe=probe, **choices)
        if probe:
            open_datatree(file, engine=self.engine, probe=True)
        return open_datatree(self.table, engine=self.engine, **choices)


def sources_of(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | pd.DataFrame,
    engine: str | None,
) -> list[Source]:
    """Return the recordings that paths, addresses, folders or rows of a table refer to, each once.

    Raises
    ------
    ValueError
        If a table lacks the columns that tell where its rows are from.
    NeuroArraysError
        If there is no recording.
    """
    if rows.is_table(paths):
        return _of_table(paths, engine)
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    probes = [probe_of(path) for path in several]
    sources: list[Source] = []
    for probe in probes:
        if probe.is_folder:
            sources += _in_folder(probe, engine)
        else:
            sources.append(Source(probe.location, engine))
    if not sources:
        msg = (
            f"no sessions in {shorten([probe.as_given for probe in probes])}: expected NWB files, or "
            "recordings that a reader recognises; or give the reader with engine="
        )
        raise NeuroArraysError(msg)
    return list(dict.fromkeys(sources))


def _of_table(table: Any, engine: str | None) -> list[Source]:
    """Return a source for each recording in a table of units."""
    rows.check(table)
    columns = table[[name for name in _COLUMNS if name in table]]
    sources = []
    for path, part in columns.groupby(rows.PATH, sort=False, observed=True):
        text = part.to_csv(index=False)
        chosen = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        sources.append(Source(locate(str(path)), engine, part.reset_index(drop=True), chosen))
    return sources


def _in_folder(folder: Probe, engine: str | None) -> list[Source]:
    """Return the recordings in a folder: its NWB files, or else whatever readers recognise in it."""
    files: Sequence[Probe] = folder.glob("*.nwb") if engine is None else []
    if files:  # one source per file, so that a damaged file does not hide the others
        return [Source(file.location) for file in files]
    try:
        listing = recordings_of(folder, engine, {}, keeps=True)
    except UnknownFormat:
        if engine is None:
            return []
        raise
    return [Source(each.location, each.engine or engine) for each in listing.recordings]
