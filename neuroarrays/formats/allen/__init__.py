"""Allen Institute Visual Coding and Visual Behavior Neuropixels: session files as recording trees.

brain-map.org/visual-coding; files on DANDI 000021, 000022 and 000713, and in AllenSDK's cache, as
they have been since June 2020. Terms of use: alleninstitute.org/terms-of-use (no commercial
redistribution). NWB 2, read as such (`neuroarrays.formats.nwb`), plus what NWB does not say::

    /units                              a row per cluster, unfiltered        (`units`)
    /intervals/<stimulus>_presentations a row per presentation, or per frame (`stimuli`)
    /intervals/invalid_times            when which probe, or the stimulus, is not to be trusted
    /processing/running, ..._gaze_mapping, eye_tracking                      (`behaviour`)
    /processing/optotagging             pulses of light
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files import opening
from neuroarrays.files.source import Source
from neuroarrays.formats import folders
from neuroarrays.formats.allen import behaviour, stimuli, units
from neuroarrays.formats.nwb import decode, dialects, nodes
from neuroarrays.formats.nwb.account import Account
from neuroarrays.formats.nwb.observed import with_observed
from neuroarrays.formats.nwb.signals import series_nodes
from neuroarrays.formats.nwb.units import UNITS, unit_nodes
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request


class AllenReader(Reader):
    """Reads Allen Neuropixels session files; a folder or list of them is a tree of sessions."""

    name = "allen"
    description = "Allen Visual Coding and Visual Behavior Neuropixels sessions (NWB)"
    url = "https://portal.brain-map.org/circuits-behavior/visual-coding-neuropixels"
    several = True

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether a path is an Allen session, or a folder or list of them."""
        return bool(dialects.allen_sessions(filename_or_obj))

    def open_groups(  # noqa: PLR0913  options, all by name
        self,
        filename_or_obj: Any,
        request: Request,
        *,
        quality: str | None = "auto",
        amplitude_cutoff: float | str | None = "auto",
        presence_ratio: float | str | None = "auto",
        isi_violations: float | str | None = "auto",
        valid_channels: bool | str | None = "auto",
        structures_only: bool | str | None = "auto",
        skip_damaged: bool = False,
    ) -> dict[str, xr.Dataset]:
        """Open Allen sessions as the groups of a recording tree.

        Parameters
        ----------
        filename_or_obj : str, path or list of these
            A session file, a folder of them (files of LFP beside them are passed over), or several.
        request : Request
            Sessions (``session_715093703``) and structures to open.
        quality : str, optional
            Which units: those that the file calls so. As the other filters: "auto" is AllenSDK's
            default, "good" here for Visual Coding and no filter for Visual Behavior; None is none.
        amplitude_cutoff, presence_ratio, isi_violations : float, optional
            At most 0.1, at least 0.95, at most 0.5 by default; equal passes, NaN does not.
        valid_channels, structures_only : bool, optional
            Whether the channel must be sound, and in a structure of the brain.
        skip_damaged : bool
            Leave out a session that cannot be opened, and say so in the attribute ``notes``.
        """
        found = dialects.find_allen(filename_or_obj)
        filters = {
            "quality": quality,
            "valid_channels": valid_channels,
            "structures_only": structures_only,
            "amplitude_cutoff": amplitude_cutoff,
            "presence_ratio": presence_ratio,
            "isi_violations": isi_violations,
        }
        notes, several = found.notes(), len(found.paths) > 1
        opened: dict[Path, Source] = {}
        for path in found.paths:
            if path not in found.damaged or request.every_session:
                with folders.sparing(path.name, path, notes, skip_damaged, several):
                    found.check(path)
                    opened[path] = opening.open_source(path)
        names = session_names(opened)
        made: dict[str, xr.Dataset] = {}
        for name in request.sessions(names):
            with folders.sparing(name, names[name], notes, skip_damaged, several):
                nodes = session_groups(opened[names[name]], request.area, filters)
                made |= {f"{name}/{node}".rstrip("/"): rows for node, rows in nodes.items()}
        root = schema.root_attrs(schema.RECORDING, source=self.name, notes=notes)
        return {"/": xr.Dataset(attrs=root)} | made


def session_names(opened: dict[Path, Source]) -> dict[str, Path]:
    """``session_<id>`` -> its file.

    Raises
    ------
    FormatError
        If two files are the same session.
    """
    names: dict[str, Path] = {}
    for path, source in opened.items():
        name = schema.node_name(f"session_{session_id(source)}")
        if name in names:
            raise FormatError(
                path,
                "/general/session_id",
                expected="a session of its own in each file",
                found=f"{name}, as in {names[name]}",
                hint="leave one of them out: give a list of files instead of a folder",
            )
        names[name] = path
    return names


def session_id(source: Source) -> str:
    """The id of a session: what the file says, else the last number in its name."""
    for place in ("general/session_id", "identifier"):
        if source.info(place) is not None:
            text = str(source.read(place))
            if text.isdigit():
                return text
    numbers = re.findall(r"\d{6,}", Path(source.path).stem)
    return numbers[-1] if numbers else Path(source.path).stem


def session_groups(
    source: Source, wanted: Callable[[str], bool], filters: dict[str, Any]
) -> dict[str, xr.Dataset]:
    """Node path below the session -> dataset; "" holds the session's attributes.

    Parameters
    ----------
    source : Source
        The file.
    wanted : callable
        Asked for every structure, says whether to build it.
    filters : dict
        Thresholds of units by name, "auto" for the default of the kind of session.
    """
    version = decode.check_version(source)
    kind = _kind(source)
    default = {} if kind == "visual_behavior" else units.DEFAULTS
    used = {k: default.get(k) if v == "auto" else v for k, v in filters.items()}
    units.check_electrodes(source)
    account = Account(source)
    found: units.Units | None = None
    groups: dict[str, xr.Dataset] = {}
    with account.step(UNITS):
        found = units.read_units(source, used)
        groups = unit_nodes(account, wanted, found.labels, found.order, found.columns)
    for name, rows in stimuli.tables(account).items():
        nodes.place(groups, f"{schema.PRESENTATIONS}/{name}", rows)
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
        series = [one for one in series if not one.path.startswith(behaviour.HANDLED)]
    nodes.place_all(groups, series_nodes(account, series, wanted))
    with account.step("units"):
        groups = with_observed(source, groups, found_series)
    attrs = nodes.session_attrs(account) | {"session_type": kind, "nwb_version": version}
    notes = [] if found is None else list(found.notes)
    notes += [
        f"no {name}"
        for name, node in (("running", schema.RUNNING), ("eye tracking", schema.PUPIL))
        if not any(path.partition("/")[0] == node for path in groups)
    ]
    attrs |= account.told(notes) | {"units_filter": _as_text(used)}
    return {"": xr.Dataset(attrs=attrs)} | groups


def _kind(source: Source) -> str:
    """The session type: as stated for Visual Coding; Visual Behavior by the columns of its tables."""
    stated = str(source.read("general/stimulus")) if source.info("general/stimulus") else ""
    if stated in dialects.ALLEN_SESSION_TYPES:
        return stated
    names = [name for name in source.names("intervals") if name.endswith(stimuli.SUFFIX)]
    if any(source.info(f"intervals/{name}/active") for name in names):
        return "visual_behavior"
    return stated or "unknown"


def _as_text(filters: dict[str, Any]) -> str:
    used = [f"{name}={value}" for name, value in filters.items() if value not in (None, False)]
    return ", ".join(used) or "none"
