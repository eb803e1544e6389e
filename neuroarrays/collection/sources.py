"""What a build reads: recordings by their paths, or the rows of a table of units."""

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

#: Columns of a table of units that say what of a recording is opened.
_PLACES = (
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
        Of the file or folder.
    engine : str, optional
        The reader, by name or address; found by looking unless given.
    table : DataFrame, optional
        The rows that are wanted; without it the whole recording.
    chosen : str
        A checksum of these rows, "" without.
    """

    location: Location
    engine: str | None = None
    table: pd.DataFrame | None = field(default=None, compare=False, repr=False)
    chosen: str = ""

    @property
    def path(self) -> str:
        """The absolute path, or the address without what is secret."""
        return self.location.path

    def open(self, *, probe: bool = False, **wanted: Any) -> xr.DataTree:
        """Its tree; `wanted` is sessions or areas.

        Raises
        ------
        NeuroArraysError
            As `neuroarrays.open_datatree`.
        """
        asked = Probe(self.location)
        if probe and self.table is not None:
            open_datatree(asked, engine=self.engine, probe=True)
        if self.table is not None:
            return open_datatree(self.table, engine=self.engine, **wanted)
        return open_datatree(asked, engine=self.engine, probe=probe, **wanted)


def sources_of(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | pd.DataFrame,
    engine: str | None,
) -> list[Source]:
    """The recordings that paths, addresses, folders, or rows of a table stand for, each once.

    Raises
    ------
    ValueError
        If a table does not say where its rows lie.
    NeuroArraysError
        If there is none.
    """
    if rows.is_table(paths):
        return _of_table(paths, engine)
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    probes = [probe_of(path) for path in several]
    sources: list[Source] = []
    for probe in probes:
        sources += (
            _in_folder(probe, engine) if probe.is_folder else [Source(probe.location, engine)]
        )
    if not sources:
        msg = (
            f"no sessions in {shorten([probe.given for probe in probes])}: expected NWB files, or "
            "recordings that a reader recognises; or give the reader with engine="
        )
        raise NeuroArraysError(msg)
    return list(dict.fromkeys(sources))


def _of_table(table: Any, engine: str | None) -> list[Source]:
    """The rows of each recording."""
    rows.check(table)
    places = table[[name for name in _PLACES if name in table]]
    sources = []
    for path, part in places.groupby(rows.PATH, sort=False, observed=True):
        text = part.to_csv(index=False)
        chosen = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        sources.append(Source(locate(str(path)), engine, part.reset_index(drop=True), chosen))
    return sources


def _in_folder(folder: Probe, engine: str | None) -> list[Source]:
    """The recordings in a folder: of NWB unless another format is asked for, or alone is there."""
    files: Sequence[Probe] = folder.glob("*.nwb") if engine is None else []
    if files:  # each by itself, so that one that is damaged, or not downloaded, hides no other
        return [Source(file.location) for file in files]
    try:
        found = recordings_of(folder, engine, {}, keeps=True)
    except UnknownFormat:
        if engine is None:
            return []
        raise
    return [Source(each.location, each.engine or engine) for each in found.recordings]
