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
from neuroarrays.files import opening
from neuroarrays.formats import folders
from neuroarrays.formats.nwb import decode, dialects
from neuroarrays.formats.nwb.account import Account
from neuroarrays.formats.nwb.nodes import session_groups
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request


class NWBReader(Reader):
    """Reads NWB 2 files; a folder or list of them is a tree of several sessions."""

    name = "nwb"
    description = "Neurodata Without Borders 2, HDF5 or Zarr"
    url = "https://www.nwb.org"
    several = True

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether a path is an NWB file, or holds or lists only such files without own reader."""
        try:
            ours = bool(folders.recognised(filename_or_obj, _looks_like_nwb, _is_meant).paths)
            return ours and not dialects.allen_sessions(filename_or_obj)
        except (OSError, TypeError, ValueError, NeuroArraysError):
            return False

    def open_groups(
        self,
        filename_or_obj: Any,
        request: Request,
        *,
        skip_damaged: bool = False,
    ) -> dict[str, xr.Dataset]:
        """Open NWB files as the groups of a recording tree.

        Parameters
        ----------
        filename_or_obj : str, path or list of these
            An NWB file, a folder of them, or several.
        request : Request
            Sessions (names of files without suffix) and areas to open.
        skip_damaged : bool
            Leave out a session that cannot be opened, and say so in the attribute ``notes``.
        """
        found = folders.find(filename_or_obj, _looks_like_nwb, _is_meant)
        names, notes = _session_names(found.paths), found.notes()
        wanted = set(request.sessions(names))
        made: dict[str, xr.Dataset] = {}
        for name, path in zip(names, found.paths, strict=True):
            if name not in wanted:
                continue
            with folders.sparing(name, path, notes, skip_damaged, len(names) > 1):
                found.check(path)
                file = opening.open_source(path)
                account = Account(file)
                nodes = session_groups(account, decode.check_version(file), request.area)
                made |= {f"{name}/{node}".rstrip("/"): dataset for node, dataset in nodes.items()}
        root = schema.root_attrs(schema.RECORDING, source=self.name, notes=notes)
        return {"/": xr.Dataset(attrs=root)} | made


def _is_meant(path: Path) -> bool:
    """Whether the name says that a file is NWB."""
    return path.name.endswith((".nwb", ".nwb.zarr", ".nwb.h5"))


def _looks_like_nwb(path: str | os.PathLike[str]) -> bool:
    """By the mark at the root; a damaged file of the right suffix is ours to report."""
    path = Path(path)
    if not (opening.is_hdf5(path) or opening.is_zarr(path)):
        return False
    try:
        file = opening.glance(path)
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
