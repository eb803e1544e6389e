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

A session may also be one tar of such a folder (as OmniMouse comes): it is read in place, never unpacked.

Unix times in float64 are 0.2 µs apart, and a question for the time of a sample can hit the one before:
here all times are seconds since the session's first sample, computed from the rate. Signals stay in the
file, memory-mapped where they are read. Nothing is written into the folder.
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

        Files do not say areas: it is "unknown", and where there are spikes of several folders the
        folder of each. With ``skip_damaged=True`` modalities that cannot be read are left out, and
        the session's ``notes`` say so.
        """
        return Session(session, name, request).groups()
