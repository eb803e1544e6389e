"""Options of a synthetic Allen session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

#: The stimuli of each kind of session, in the order of their first block.
BRAIN_OBSERVATORY = (
    "gabors",
    "flashes",
    "drifting_gratings",
    "natural_movie_three",
    "natural_movie_one",
    "static_gratings",
    "natural_scenes",
)
FUNCTIONAL_CONNECTIVITY = (
    "gabors",
    "flashes",
    "drifting_gratings_contrast",
    "natural_movie_one_more_repeats",
    "natural_movie_one_shuffled",
    "drifting_gratings_75_repeats",
    "dot_motion",
)


@dataclass(frozen=True)
class AllenOptions:
    """The contents of a synthetic session.

    Attributes
    ----------
    seed : int
        Of all random values.
    session_id : int, optional
        Number of the session; without it 715093703 + `seed`, so that files of several seeds are several sessions.
    layout : {"2020", "2.13.5", "visual_behavior", "before_2020"}
        Whose writer: the files of June 2020, AllenSDK 2.13.5 and later (`probe_channel_number`,
        narrow index dtypes), Visual Behavior Neuropixels, or the first release, which is refused.
    stimuli : tuple of str
        In the order of their first block; Visual Behavior has its own.
    rows : int, or dict of stimulus to int
        Presentations of each stimulus.
    movie : (int, int)
        Showings of each movie, and frames of each.
    units, bad_units : int
        Units that pass every default filter, and units that fail one each, of `REASONS` in turn.
    probes, channels : int
        Probes, and channels of each.
    structures : tuple of str
        Four of them along each probe; "" is outside the brain.
    rate : float, 1/s
        Mean rate of a unit.
    irregular : float
        Share of presentations that last a monitor frame longer.
    sampling : float
        Rates of wheel and camera as a share of the real ones, 60 and 30 Hz: for tiny files.
    splice : bool
        Whether invalid times take the end of one showing of a movie and the start of the next, so
        that the numbers of the frames left never decrease.
    parts : tuple of str
        Of "running", "eye", "invalid", "optotagging", "waveforms", "edges", and, not by default,
        "tuned": units answer to orientations and scenes, more so while the mouse runs.
    """

    seed: int = 0
    session_id: int | None = None
    layout: Literal["2020", "2.13.5", "visual_behavior", "before_2020"] = "2020"
    stimuli: tuple[str, ...] = BRAIN_OBSERVATORY
    rows: int | Mapping[str, int] = 12
    movie: tuple[int, int] = (4, 10)
    units: int = 9
    bad_units: int = 7
    probes: int = 2
    channels: int = 24
    structures: tuple[str, ...] = ("VISp", "VISl", "CA1", "grey", "LGd", "VISam", "DG")
    rate: float = 5.0
    irregular: float = 0.02
    sampling: float = 1.0
    splice: bool = False
    parts: tuple[str, ...] = (
        "running",
        "eye",
        "invalid",
        "optotagging",
        "waveforms",
        "edges",
    )
