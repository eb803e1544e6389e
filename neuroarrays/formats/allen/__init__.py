"""Allen Institute Visual Coding and Visual Behavior Neuropixels: session files as recording trees.

See brain-map.org/visual-coding. The files are on DANDI (000021, 000022, 000713) and in AllenSDK's
cache; they are read as released since June 2020. Terms of use: alleninstitute.org/terms-of-use (no
commercial redistribution). The files are NWB 2 (`neuroarrays.formats.nwb`). Here is what is special::

    /units                              a row per cluster, unfiltered        (`units`)
    /intervals/<stimulus>_presentations a row per presentation, or per frame (`stimuli`)
    /intervals/invalid_times            times when a probe or the stimulus is not to be trusted
    /processing/running, ..._gaze_mapping, eye_tracking                      (`behaviour`)
    /processing/optotagging             pulses of light
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, MissingPath
from neuroarrays.files.probe import Probe
from neuroarrays.files.source import Source
from neuroarrays.formats.allen import behaviour, stimuli, units
from neuroarrays.formats.nwb import decode, dialects, nodes
from neuroarrays.formats.nwb.account import Account
from neuroarrays.formats.nwb.observed import with_observed
from neuroarrays.formats.nwb.signals import series_nodes
from neuroarrays.formats.nwb.units import UNITS, unit_nodes
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.sessions import Sessions


class AllenReader(Reader):
    """Reads Allen Neuropixels session files; a folder or list of them is a tree of sessions."""

    name = "allen"
    description = "Allen Visual Coding and Visual Behavior Neuropixels sessions (NWB)"
    url = "https://portal.brain-map.org/circuits-behavior/visual-coding-neuropixels"
    several = True
    by_file = True

    def recognise(self, probe: Probe) -> bool:
        """Whether a path is an Allen session, or a folder or list of them."""
        return dialects.recognise_allen(probe)

    def list_sessions(self, probe: Probe) -> Sessions:
        """List the files as ``session_<id>``; files of LFP beside them are passed over."""
        return by_session_id(dialects.find_allen(probe))

    def open_session(  # noqa: PLR0913  options, all by name
        self,
        session: Probe,
        name: str,
        request: Request,
        *,
        quality: str | None = "auto",
        amplitude_cutoff: float | str | None = "auto",
        presence_ratio: float | str | None = "auto",
        isi_violations: float | str | None = "auto",
        valid_channels: bool | str | None = "auto",
        structures_only: bool | str | None = "auto",
    ) -> dict[str, xr.Dataset]:
        """Open an Allen session, whose areas are structures of the brain.

        Parameters
        ----------
        session : Probe
            Path of the session's file.
        name : str
            Name of the session, such as ``session_715093703``.
        request : Request
            The structures that the caller wants.
        quality : str, optional
            The quality that a unit must have in the file (default "good"). For this and all other
            filters, "auto" means the default of AllenSDK, which is stated here for Visual Coding;
            for Visual Behavior it is no filter. None means no filter.
        amplitude_cutoff, presence_ratio, isi_violations : float, optional
            The largest amplitude cutoff (default 0.1), the smallest presence ratio (0.95) and the
            largest rate of violations of the refractory period (0.5). A unit with an equal value
            passes, one with NaN does not.
        valid_channels, structures_only : bool, optional
            Whether the channel of a unit must be valid, and in a structure of the brain (default:
            both).
        """
        filters = {
            "quality": quality,
            "valid_channels": valid_channels,
            "structures_only": structures_only,
            "amplitude_cutoff": amplitude_cutoff,
            "presence_ratio": presence_ratio,
            "isi_violations": isi_violations,
        }
        return session_groups(session.source, request.area, filters)


def by_session_id(files: Sessions) -> Sessions:
    """Return the sessions by the ids in their files; an unreadable one has the name of its file.

    Raises
    ------
    FormatError
        If two files are the same session.
    """
    sessions = Sessions(notes=files.notes)
    for file, probe in files.items():
        name, opens = file, probe
        if isinstance(probe, Probe):
            try:
                name = schema.node_name(f"session_{session_id(probe.source)}")
            except (FormatError, MissingPath) as error:
                opens = error
        if name in sessions:
            raise FormatError(
                probe.as_given,
                "/general/session_id",
                expected="a session of its own in each file",
                found=f"{name}, as in {sessions[name]}",
                hint="leave one of them out: give a list of files instead of a folder",
            )
        sessions[name] = opens
    return sessions


def session_id(source: Source) -> str:
    """Return the id of a session: that in the file, or else the last number in its name."""
    for path in ("general/session_id", "identifier"):
        if source.info(path) is not None:
            text = str(source.read(path))
            if text.isdigit():
                return text
    stem = source.path.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
    numbers = re.findall(r"\d{6,}", stem)
    return numbers[-1] if numbers else stem


def session_groups(
    source: Source, wanted: Callable[[str], bool], filters: dict[str, Any]
) -> dict[str, xr.Dataset]:
    """Return the nodes by path below the session; "" has the attributes of the session.

    Parameters
    ----------
    source : Source
        The source of the file.
    wanted : callable
        Function from the name of a structure to whether the caller wants it.
    filters : dict
        Thresholds of units by name; "auto" is the default of the kind of session.

    Raises
    ------
    ValueError
        If a threshold is not valid.
    NotInTree
        If no unit of the file has the wanted `quality`.
    """
    version = decode.check_version(source)
    kind = _kind(source)
    default = {} if kind == "visual_behavior" else units.DEFAULTS
    used = {k: default.get(k) if v == "auto" else v for k, v in filters.items()}
    units.check_filters(source, used)
    units.check_electrodes(source)
    account = Account(source)
    read: units.Units | None = None
    groups: dict[str, xr.Dataset] = {}
    with account.step(UNITS):
        read = units.read_units(source, used)
        groups = unit_nodes(account, wanted, read.labels, read.order, read.columns)
    for name, rows in stimuli.tables(account).items():
        nodes.add_node(groups, f"{schema.PRESENTATIONS}/{name}", rows)
    found_series, kinds = decode.find(account)
    others = {
        path: k
        for path, k in kinds.items()
        if path != UNITS and not path.startswith(("intervals/", *behaviour.HANDLED))
    }
    nodes.table_nodes(account, others, groups)
    series = found_series
    if kind != "visual_behavior":
        groups |= behaviour.running(account) | behaviour.gaze(account)
        series = [signal for signal in series if not signal.path.startswith(behaviour.HANDLED)]
    nodes.add_nodes(groups, series_nodes(account, series, wanted))
    with account.step("units"):
        groups = with_observed(source, groups, found_series)
    attrs = nodes.session_attrs(account) | {"session_type": kind, "nwb_version": version}
    attrs |= {} if read is None else read.attrs
    notes = [] if read is None else list(read.notes)
    notes += [
        f"no {name}"
        for name, node in (("running", schema.RUNNING), ("eye tracking", schema.PUPIL))
        if not any(path.partition("/")[0] == node for path in groups)
    ]
    attrs |= account.summary(notes) | {"units_filter": _as_text(used)}
    return {"": xr.Dataset(attrs=attrs)} | groups


def _kind(source: Source) -> str:
    """Return the session type: as stated for Visual Coding, or by the columns of Visual Behavior."""
    stated = str(source.read("general/stimulus")) if source.info("general/stimulus") else ""
    if stated in dialects.ALLEN_SESSION_TYPES:
        return stated
    names = [name for name in source.names("intervals") if name.endswith(stimuli.SUFFIX)]
    if any(source.info(f"intervals/{name}/active") for name in names):
        return "visual_behavior"
    return stated or "unknown"


def _as_text(filters: dict[str, Any]) -> str:
    """Return the filters as text."""
    used = [f"{name}={value}" for name, value in filters.items() if value not in (None, False)]
    return ", ".join(used) or "none"
