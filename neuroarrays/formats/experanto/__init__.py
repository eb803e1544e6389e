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

Unix times in float64 are 0.2 µs apart, and a question for the time of a sample can hit the one before:
here all times are seconds since the session's first sample, computed from the rate. Signals stay in the
file, memory-mapped where they are read. Nothing is written into the folder.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.formats.experanto import files
from neuroarrays.formats.experanto.session import Session
from neuroarrays.formats.folders import sparing
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.tree.extents import parts_of
from neuroarrays.tree.observed import complete


class ExperantoReader(Reader):
    """Reads experanto sessions; a folder of several is one tree."""

    name = "experanto"
    description = "experanto sessions: screen, responses, spikes, behaviour, each at its own rate"
    url = "https://github.com/sensorium-competition/experanto"

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether a folder, or one in it, has modalities with a meta.yml."""
        try:
            return files.is_session(filename_or_obj)
        except (OSError, TypeError, ValueError, NeuroArraysError):
            return False

    def open_groups(
        self,
        filename_or_obj: Any,
        request: Request,
        *,
        skip_damaged: bool = False,
    ) -> dict[str, xr.Dataset]:
        """Open sessions as the groups of a recording tree.

        Parameters
        ----------
        filename_or_obj : str or path
            The folder of a session, or a folder of these.
        request : Request
            Sessions (<animal>-<session>-<scan> where meta.json says it, else the folder's name) and
            areas to open. Files do not say areas: it is "unknown", and where there are spikes of
            several folders the folder of each.
        skip_damaged : bool
            Leave out what cannot be read, sessions and modalities, and say so in ``notes``.
        """
        named, found = files.sessions(filename_or_obj)
        if not named:
            raise FormatError(
                filename_or_obj, "", "folders with a meta.yml that states a modality", "none"
            )
        made: dict[str, xr.Dataset] = {}
        notes = found.notes()
        for name in request.sessions(named):
            path = named[name]
            with sparing(name, path, notes, skip_damaged, len(named) > 1):
                found.check(path)
                session = Session(path, name, skip_damaged)
                kept = request.areas(session.areas)
                nodes = session.groups(kept)
                more = None
                if len(kept) < len(session.areas):  # the others tell of the recording too
                    more = parts_of(session.groups(list(session.areas)))
                for node, one in complete(nodes, more=more).items():
                    made[f"{name}/{node}".rstrip("/")] = one
        root = schema.root_attrs(schema.RECORDING, source=self.name, notes=notes)
        return {"/": xr.Dataset(attrs=root)} | made
