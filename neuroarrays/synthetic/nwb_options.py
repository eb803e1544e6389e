"""Options of a synthetic NWB file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Kinds of content that `NWBOptions.parts` may name.
PARTS = (
    "units",
    "trials",
    "running",
    "pupil",
    "position",
    "licks",
    "lfp",
    "rois",
    "cells",
    "empty",
    "pose",
)


@dataclass(frozen=True)
class NWBOptions:
    """The contents of a synthetic NWB file, and its quirks.

    Attributes
    ----------
    seed : int
        Of all random values.
    duration : float
        Of the session, s.
    units : int
        Number of units; spread over the areas in turn.
    areas : tuple of str
        Locations of the electrodes.
    trials : int
        Rows of the trial table.
    parts : tuple of str
        What is in the file, of `PARTS`.
    index_dtype : str
        dtype of every ``_index`` column; pynwb writes the narrowest that fits.
    electrodes : str
        How units name their electrodes: rows with an index ("ragged"), one row each ("flat"),
        HDF5 region references ("region"), ``peak_channel_id`` ("peak"), a text column of the
        unit table ("column"), the electrode group ("group"), not at all ("none").
    text : {"vlen", "fixed"}
        How text columns are stored.
    colnames : bool
        Whether tables have the attribute ``colnames``.
    name_column : bool
        Whether unit and trial tables have a column called ``name``.
    ragged : bool
        Whether the tables have ragged columns of text, numbers and compound values.
    spikes : {"sorted", "unsorted", "nan"}
        Order of each train; "nan" has a missing time in each.
    clock : {"timestamps", "rate", "soft", "hard", "duplicated"}
        The clocks of running and pupil: own timestamps, a start and a rate, pupil's linked to
        running's (soft or hard), or with a time stamp twice.
    running_unit : {"cm/s", "m/s"}
        Unit of the running speed.
    transposed : bool
        Whether fluorescence is (ROI, time), against the NWB schema.
    tuned : bool
        Whether units fire more in trials of an orientation each.
    task : bool
        Whether the animal does a task: licks in bouts after rewards (the column ``reward_time``),
        units that respond to cues, rewards or licks, a pupil that widens, and an LFP with theta.
    relative_events : bool
        Whether ``cue_time`` counts from the trial's start.
    missing_stops : bool
        Whether every ``stop_time`` is NaN.
    outside : {"", "link", "virtual", "storage"}
        A series whose values lie elsewhere: an external link, a virtual dataset, or external
        storage.
    version : {"2", "1"}
        NWB 1 has another layout; only its mark is written.
    """

    seed: int = 0
    duration: float = 20.0
    units: int = 5
    areas: tuple[str, ...] = ("VISp", "CA1")
    trials: int = 6
    parts: tuple[str, ...] = PARTS
    index_dtype: str = "uint8"
    electrodes: Literal["ragged", "flat", "region", "peak", "column", "group", "none"] = "ragged"
    text: Literal["vlen", "fixed"] = "vlen"
    colnames: bool = True
    name_column: bool = False
    ragged: bool = False
    spikes: Literal["sorted", "unsorted", "nan"] = "sorted"
    clock: Literal["timestamps", "rate", "soft", "hard", "duplicated"] = "timestamps"
    running_unit: Literal["cm/s", "m/s"] = "cm/s"
    transposed: bool = False
    tuned: bool = False
    task: bool = False
    relative_events: bool = False
    missing_stops: bool = False
    outside: Literal["", "link", "virtual", "storage"] = ""
    version: Literal["2", "1"] = "2"
