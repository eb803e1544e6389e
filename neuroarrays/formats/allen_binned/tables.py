"""Make the tables of the published binned archive again from session files.

``units.csv`` and ``sessions.csv`` are AllenSDK's `get_units` and `get_session_table`;
``01_presentations_original.csv`` is its `stimulus_presentations` of all sessions; the tables made from it
are in `presentations`. Names of columns and values are the published ones. Columns that only the
database of the Allen Institute has are left out (`NOT_IN_FILES`), and rows within a session are in the
order of the tree. No code of the repository or of AllenSDK is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.formats.allen import stimuli
from neuroarrays.formats.allen.units import CCF
from neuroarrays.formats.allen_binned.pipeline import NEVER
from neuroarrays.formats.allen_binned.presentations import ID, NAME, SESSION, joined
from neuroarrays.schema import given
from neuroarrays.tree import groups

if TYPE_CHECKING:
    import pandas as pd

#: Published columns that session files do not have, by table.
NOT_IN_FILES = {
    "units": (
        "ecephys_structure_id",
        "lfp_sampling_rate",
        "phase",
        "sampling_rate",
        "has_lfp_data",
        "date_of_acquisition",
        "published_at",
    ),
    "sessions": ("published_at",),
}
#: Published column of units -> label along `unit_id`, in the published order.
_UNITS = {
    "waveform_PT_ratio": "PT_ratio",
    "waveform_amplitude": "amplitude",
    "amplitude_cutoff": "amplitude_cutoff",
    "cluster_id": "cluster_id",
    "cumulative_drift": "cumulative_drift",
    "d_prime": "d_prime",
    "waveform_duration": "waveform_duration",
    "ecephys_channel_id": "peak_channel_id",
    "firing_rate": "firing_rate",
    "waveform_halfwidth": "waveform_halfwidth",
    "isi_violations": "isi_violations",
    "isolation_distance": "isolation_distance",
    "L_ratio": "l_ratio",
    "local_index_unit": "local_index",
    "max_drift": "max_drift",
    "nn_hit_rate": "nn_hit_rate",
    "nn_miss_rate": "nn_miss_rate",
    "presence_ratio": "presence_ratio",
    "waveform_recovery_slope": "recovery_slope",
    "waveform_repolarization_slope": "repolarization_slope",
    "silhouette_score": "silhouette_score",
    "snr": "snr",
    "waveform_spread": "spread",
    "waveform_velocity_above": "velocity_above",
    "waveform_velocity_below": "velocity_below",
    "ecephys_probe_id": "probe_id",
    "local_index_channel": "channel",
    "probe_horizontal_position": "probe_horizontal_position",
    "probe_vertical_position": "probe_vertical_position",
    **{name: name for name in CCF},
}
#: Columns of presentations about how a stimulus was drawn, which AllenSDK does not return.
_DETAILS = [
    "colorSpace",
    "flipHoriz",
    "flipVert",
    "depth",
    "interpolate",
    "mask",
    "opacity",
    "rgbPedestal",
    "tex",
    "texRes",
    "units",
    "rgb",
    "signalDots",
    "noiseDots",
    "fieldSize",
    "fieldShape",
    "fieldPos",
    "nDots",
    "dotSize",
    "dotLife",
    "color_triplet",
]
_NO_PARAMETERS = (
    schema.PRESENTATION,
    schema.START_TIME,
    schema.STOP_TIME,
    "invalid",
    "blank",
    "stimulus_index",
    "stimulus_block",
    "stimulus_name",
    "duration",
)


def units_of(tree: xr.DataTree) -> pd.DataFrame:
    """Return the units of a tree with the columns of ``units.csv``.

    Parameters
    ----------
    tree : xr.DataTree
        A recording tree of Allen Visual Coding.

    Returns
    -------
    pandas.DataFrame
        A row per unit; the first column is ``id``. Positions are in micrometres, rates in spikes/s,
        durations of waveforms in ms.

    Raises
    ------
    SchemaError
        If it is another kind of tree.
    """
    import pandas as pd

    frames = []
    for name, session in _sessions(tree).items():
        about = _about(name, session)
        del about["id"]
        about["genotype"] = about.pop("full_genotype")
        for area, node in session.children.items():
            if schema.SPIKES not in node.children:
                continue
            labels = node[schema.SPIKES].to_dataset()
            frame = pd.DataFrame({"id": labels[schema.UNIT].values})
            for column, label in _UNITS.items():
                if label in labels:
                    frame[column] = labels[label].values
            frame["ecephys_structure_acronym"] = area
            frame["ecephys_session_id"] = _number(name)
            if "probe" in labels:
                frame["name"] = labels["probe"].values
            frames.append(frame.assign(**about))
    return joined(frames)


def sessions_of(tree: xr.DataTree) -> pd.DataFrame:
    """Return the sessions of a tree with the columns of ``sessions.csv``.

    Parameters
    ----------
    tree : xr.DataTree
        A recording tree of Allen Visual Coding.

    Returns
    -------
    pandas.DataFrame
        A row per session; the first column is ``id``. ``unit_count`` counts the units in the tree,
        ``channel_count`` the valid channels.

    Raises
    ------
    SchemaError
        If it is another kind of tree.
    """
    import pandas as pd

    rows = []
    for name, session in _sessions(tree).items():
        areas = (node for node in session.children.values() if schema.SPIKES in node.children)
        counts = {
            "unit_count": sum(node[schema.SPIKES].sizes[schema.UNIT] for node in areas),
            "channel_count": session.attrs.get("channel_count"),
            "probe_count": session.attrs.get("probe_count"),
        }
        acronyms = str(session.attrs.get("structures", "")).split(", ")
        rows.append(_about(name, session) | counts | {"ecephys_structure_acronyms": acronyms})
    return pd.DataFrame(rows)


def presentations_of(tree: xr.DataTree) -> pd.DataFrame:
    """Return the presentations of a tree as in ``01_presentations_original.csv``.

    Parameters
    ----------
    tree : xr.DataTree
        A recording tree of Allen Visual Coding.

    Returns
    -------
    pandas.DataFrame
        A row per presentation, or per frame of a movie, sorted by session and id. Times are in s on
        the session clock. Spontaneous activity, shuffled movies, and presentations that overlap an
        invalid time are left out. A parameter that a stimulus does not have is missing.

    Raises
    ------
    SchemaError
        If it is another kind of tree.
    """
    return joined(_presentations(name, session) for name, session in _sessions(tree).items())


def _presentations(name: str, session: xr.DataTree) -> pd.DataFrame:
    """Return the rows of a session in the order of their ids that the archive has."""
    import pandas as pd

    frames, parameters = [], set()
    for table, node in session[schema.PRESENTATIONS].children.items():
        dataset = node.to_dataset()
        if "invalid" not in dataset or (stimuli.is_movie(table) and "frame" not in dataset):
            continue  # not a stimulus, or a movie, whose frames have their own table
        columns = groups.columns(dataset, schema.PRESENTATION)
        frame = pd.DataFrame({column: values.values for column, values in columns.items()})
        parameters |= set(columns) - set(_NO_PARAMETERS)
        frames.append(frame.assign(**{NAME: table.removesuffix(stimuli.FRAMES)}))
    if not frames:
        return pd.DataFrame()  # a session without stimuli
    rows = joined(frames).rename(columns={schema.PRESENTATION: ID})
    rows = rows.sort_values(ID, kind="stable").reset_index(drop=True)
    # Conditions are numbered by their first presentation, also if that one is invalid.
    named = [NAME, *sorted(parameters)]
    condition = rows.groupby(named, sort=False, dropna=False).ngroup()
    rows["stimulus_condition_id"] = condition.astype(float)
    rows["duration"] = rows[schema.STOP_TIME] - rows[schema.START_TIME]
    rows.insert(0, SESSION, _number(name))
    if (
        "color" in rows
    ):  # of flashes; for others it has red, green and blue as a text, which is not published
        rows["color"] = pd.to_numeric(rows["color"], errors="coerce")
    shown = sorted(parameters - set(_DETAILS))
    first = [SESSION, ID, "stimulus_block", schema.START_TIME, schema.STOP_TIME]
    is_published = ~rows["invalid"].astype(bool) & ~rows[NAME].str.contains("|".join(NEVER))
    last = [NAME, "duration", "stimulus_condition_id"]
    return rows.loc[is_published, [*first, *shown, *last]].reset_index(drop=True)


def _sessions(tree: xr.DataTree) -> dict[str, xr.DataTree]:
    """Return the sessions in order of their numbers.

    Raises
    ------
    SchemaError
        If they are not recordings of Allen Visual Coding.
    """
    sessions = dict(tree.children)
    if tree.attrs.get("source") != "allen" or schema.kind_of(tree) != schema.RECORDING:
        msg = (
            "the tables of the published archive are made from session files of Allen Visual Coding; "
            f"found {given.described(tree)} opened by the reader {tree.attrs.get('source')!r}"
        )
        raise SchemaError(msg)
    return dict(sorted(sessions.items(), key=lambda pair: _number(pair[0])))


def _number(name: str) -> int:
    digits = name.rpartition("_")[2]
    return int(digits) if digits.isdigit() else 0


def _about(name: str, session: xr.DataTree) -> dict[str, Any]:
    """Return the columns of the table of sessions about the animal."""
    attrs = session.attrs
    specimen, age = str(attrs.get("subject", "")), str(attrs.get("age", ""))
    days = age.removeprefix("P").removesuffix("D")
    return {
        "id": _number(name),
        "specimen_id": int(specimen) if specimen.isdigit() else None,
        "session_type": attrs.get("session_type"),
        "age_in_days": float(days) if days.isdigit() else np.nan,
        "sex": attrs.get("sex"),
        "full_genotype": attrs.get("genotype"),
    }
