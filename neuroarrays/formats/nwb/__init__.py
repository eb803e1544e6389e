"""Neurodata Without Borders 2 (NWB), HDF5 or Zarr: any file, as a recording tree.

See nwb.org. Files are on dandiarchive.org and in many labs. In a file::

    /units               ragged spike_times + spike_times_index, a column per property
    /intervals/<table>   start_time, stop_time and parameters, a row per presentation
    /acquisition, /processing/<module>, /stimulus/presentation   time series, in containers or not
    /general             subject, electrodes (location = area), imaging planes

`decode` finds the objects of a file by path and shape; `nodes` makes the tree.
"""

from __future__ import annotations

import xarray as xr

from neuroarrays.errors import FormatError
from neuroarrays.files.probe import Probe
from neuroarrays.formats.nwb import decode, dialects
from neuroarrays.formats.nwb.account import Account
from neuroarrays.formats.nwb.nodes import session_groups
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.sessions import Sessions, find, recognised


class NWBReader(Reader):
    """Reads NWB 2 files; a folder or list of them is a tree of several sessions."""

    name = "nwb"
    description = "Neurodata Without Borders 2, HDF5 or Zarr"
    url = "https://www.nwb.org"
    several = True
    by_file = True

    def recognise(self, probe: Probe) -> bool:
        """Whether a path is NWB that no special reader opens, or a folder or list of only such files."""
        return recognised(probe, looks_like_nwb, _is_meant) and not dialects.recognise_allen(probe)

    def list_sessions(self, probe: Probe) -> Sessions:
        """List the files by their names without suffix."""
        return find(probe, looks_like_nwb, _is_meant, called=_session_name)

    def open_session(
        self, session: Probe, name: str, request: Request, *, units: str | None = None
    ) -> dict[str, xr.Dataset]:
        """Open a file as a session of a recording tree.

        Parameters
        ----------
        session : Probe
            Path of the session's file.
        name : str
            Name of the session.
        request : Request
            The areas that the caller wants.
        units : str, optional
            Name or path of the table of units to open, if the file has several (default: all).
        """
        file = session.source
        return session_groups(Account(file), decode.check_version(file), request.area, units)


def _is_meant(probe: Probe) -> bool:
    """Whether the name of a file tells that it is NWB."""
    return probe.name.endswith((".nwb", ".nwb.zarr", ".nwb.h5"))


def looks_like_nwb(probe: Probe) -> bool:
    """Whether a file has the mark of NWB at its root; a damaged file of the right suffix counts too."""
    if probe.container not in ("hdf5", "zarr"):
        return False
    try:
        if "nwb_version" in probe.attrs:
            return True
        return "nwb_version" in probe.names and not dialects.is_brain_observatory(probe.source)
    except FormatError:
        return probe.suffix == ".nwb"


def _session_name(probe: Probe) -> str:
    """Return the name of a session: that of its file without suffix."""
    return probe.name.removesuffix(".zarr").removesuffix(".nwb")
