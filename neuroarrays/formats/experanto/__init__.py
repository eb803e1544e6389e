"""experanto sessions: a folder of modalities, each at its own rate, as a recording tree.

github.com/sensorium-competition/experanto. In a session's folder::

    meta.json                           scan_key: animal, session, scan
    responses|eye_tracker|.../meta.yml  modality: sequence; rate, start, number of samples and signals
                              data.mem | data.npy   (time, signal)
                              meta/means.npy stds.npy phase_shifts.npy unit_ids.npy ...
    screen/                   timestamps.npy, a Unix time per flip; data/00000.npy, meta/00000.yml per trial
    <other>/meta.yml          modality: spikes; spike_indices: where each unit's times begin and end
            spikes.mem | spikes.npy   (spike,) Unix times, unit after unit
    <other>/meta.yml          modality: time_interval; labels: {name: file.npy (n, 2)}

A session may also be one tar of such a folder, as in OmniMouse; it is read without unpacking.

Unix times in float64 are 0.2 µs apart, so a search for the time of a sample can find the sample before
it. In the tree all times are seconds since the first sample of the session, computed from the rate.
Signals stay in the file and are memory-mapped when they are read. Nothing is written into the folder.
"""

from __future__ import annotations

import xarray as xr

from neuroarrays.files.probe import Probe
from neuroarrays.formats.experanto import folders
from neuroarrays.formats.experanto.nodes import Session
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.sessions import Sessions


class ExperantoReader(Reader):
    """Reads experanto sessions, folders or tars; a folder of several is one tree."""

    name = "experanto"
    description = "experanto sessions: screen, responses, spikes, behaviour, each at its own rate"
    url = "https://github.com/sensorium-competition/experanto"

    def recognise(self, probe: Probe) -> bool:
        """Whether a folder or tar, or one in it, has modalities with a meta.yml."""
        return folders.is_session(probe)

    def list_sessions(self, probe: Probe) -> Sessions:
        """List folders as <animal>-<session>-<scan> by meta.json, or by the folder's name."""
        sessions = folders.sessions(probe)
        if not sessions:
            raise probe.unknown("folders with a meta.yml that states a modality", "")
        return sessions

    def open_session(self, session: Probe, name: str, request: Request) -> dict[str, xr.Dataset]:
        """Open a folder as a session of a recording tree.

        The files state no areas. The area is called "unknown"; if several folders have spikes, each
        is an area with the name of the folder. With ``skip_damaged=True`` modalities that cannot be
        read are left out, and the session's ``notes`` name them.
        """
        return Session(session, name, request).groups()
