"""temporaldata: the HDF5 files of brainsets, torch_brain and POYO, one for each session.

https://temporaldata.readthedocs.io (Apache-2.0). The attribute ``object`` of a group tells its kind::

    /                 Data: the session; attributes are single values
    /<name>           IrregularTimeSeries: timestamps (sample,) s, and arrays (sample, ...)
                      RegularTimeSeries: sampling_rate (attribute, Hz), arrays (sample, ...)
                      Interval: start, end (row,) s, and columns (row, ...)
                      ArrayDict: arrays of one length, without times
                      Data: more of these; session, subject, device and brainset have attributes only
    /spikes           with unit_index (spike,), rows of the ArrayDict /units
    /<name>/domain    Interval: when it was recorded; a regular series starts there
    /train_domain, /valid_domain, /test_domain, <name>/train_mask, ...     the splits

The columns of an array are labelled with the rows of /rois, /channels, or /units if no series has unit_index.
"""

from __future__ import annotations

import xarray as xr

from neuroarrays.files.probe import Probe
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.temporaldata.nodes import Session
from neuroarrays.tree.observed import add_observed


class TemporalDataReader(Reader):
    """Reads HDF5 files of temporaldata; a folder or list of them is a tree of several sessions."""

    name = "temporaldata"
    description = "temporaldata: HDF5 files of brainsets, torch_brain and POYO"
    url = "https://temporaldata.readthedocs.io"

    def recognise(self, probe: Probe) -> bool:
        """Whether the root of an HDF5 file is an object Data with its start."""
        if probe.container != "hdf5":
            return False
        return probe.attrs.get("object") == "Data" and "absolute_start" in probe.attrs

    def open_session(self, session: Probe, name: str, request: Request) -> dict[str, xr.Dataset]:
        """Open a file as a session of a recording tree.

        The area of a unit is in the column `location`, `brain_area`, `area`, `brain_region` or
        `structure_acronym` of the table of units; without such a column it is "unknown".
        """
        opened = Session(session.source)
        nodes = opened.groups(name)
        return add_observed(nodes, rows=opened.domain)
