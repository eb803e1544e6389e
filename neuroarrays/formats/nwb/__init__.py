"""Neurodata Without Borders 2 (NWB), HDF5 or Zarr: any file, as a recording tree.

nwb.org; files on dandiarchive.org and in many labs. In a file::

    /units               ragged spike_times + spike_times_index, a column per property
    /intervals/<table>   start_time, stop_time and parameters, a row per presentation
    /acquisition, /processing/<module>, /stimulus/presentation   time series, in containers or not
    /general             subject, electrodes (location = area), imaging planes

Opened by path and shape (`decode`), assembled here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.files import source
from neuroarrays.formats.nwb import decode, dialects
from neuroarrays.formats.nwb.account import Account
from neuroarrays.formats.nwb.nodes import session_groups
from neuroarrays.formats.reader import Reader, paths_of
from neuroarrays.schema.names import chosen, matches


class NWBReader(Reader):
    """Reads NWB 2 files; a folder or list of them is a tree of several sessions."""

    name = "nwb"
    description = "Neurodata Without Borders 2, HDF5 or Zarr"
    url = "https://www.nwb.org"
    several = True

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether a path is an NWB file, or holds or lists only such files without own reader."""
        try:
            paths = paths_of(filename_or_obj, _looks_like_nwb)
            ours = bool(paths) and all(_looks_like_nwb(path) for path in paths)
            return ours and not dialects.allen_sessions(filename_or_obj)
        except (OSError, TypeError, ValueError, NeuroArraysError):
            return False

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: Any = None,
        sessions: str | Sequence[str] | None = None,
        areas: str | Sequence[str] | None = None,
    ) -> dict[str, xr.Dataset]:
        """Open NWB files as the groups of a recording tree.

        Parameters
        ----------
        filename_or_obj : str, path or list of these
            An NWB file, a folder of them, or several.
        drop_variables : str or iterable of str, optional
            Variables to leave out.
        sessions, areas : str or list of str, optional
            Names or globs of sessions (file names without suffix) and areas to open.
        """
        paths = paths_of(filename_or_obj, _looks_like_nwb)
        names = _session_names(paths)
        wanted = set(chosen(names, sessions, "session"))
        there: dict[str, None] = {}  # areas seen, in order

        def wanted_area(area: str) -> bool:
            there[area] = None
            return areas is None or matches(area, areas)

        groups = {"/": xr.Dataset(attrs=schema.root_attrs(schema.RECORDING, source=self.name))}
        for name, path in zip(names, paths, strict=True):
            if name in wanted:
                file = source.open_source(path)
                version = decode.check_version(file)
                account = Account(file)
                for node, dataset in session_groups(account, version, wanted_area).items():
                    groups[f"{name}/{node}".rstrip("/")] = dataset
        chosen(there, areas, "area")  # an area of no session is an error
        if drop_variables is not None:
            drop = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables)
            groups = {k: ds.drop_vars(drop, errors="ignore") for k, ds in groups.items()}
        return groups


def _looks_like_nwb(path: str | os.PathLike[str]) -> bool:
    """By the mark at the root; a damaged file of the right suffix is ours to report."""
    path = Path(path)
    if not (source.is_hdf5(path) or source.is_zarr(path)):
        return False
    try:
        file = source.glance(path)
        return "nwb_version" in file.attrs("/") or "nwb_version" in file.names("/")
    except FormatError:
        return path.suffix == ".nwb"


def _session_names(paths: Sequence[Path]) -> list[str]:
    """A name per file: its own without suffix, made unique by its folder where two are equal."""
    names = [path.name.removesuffix(".zarr").removesuffix(".nwb") for path in paths]
    unique = [
        f"{path.resolve().parent.name}_{name}" if names.count(name) > 1 else name
        for path, name in zip(paths, names, strict=True)
    ]
    if len(set(unique)) < len(unique):
        unique = [f"{name}_{i}" for i, name in enumerate(unique)]
    return [schema.node_name(name) for name in unique]
