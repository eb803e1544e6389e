"""The published tables of presentations: whole movies, usual durations, and two summaries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from neuroarrays import schema
from neuroarrays.formats.allen import stimuli

if TYPE_CHECKING:
    import pandas as pd

#: Names of the published columns.
ID, NAME, SESSION = "stimulus_presentation_id", "stimulus_name", "session_id"


def whole_movies(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with whole movies in place of frames: ``02_presentations_whole_movies.csv``.

    Parameters
    ----------
    rows : DataFrame
        Rows of all sessions, from `tables.presentations_of`.

    Returns
    -------
    pandas.DataFrame
        Rows sorted by session and id. A showing begins where the number of the frame decreases; its
        duration is the sum of the durations of its frames, s.
    """
    import pandas as pd

    is_movie = rows[NAME].str.contains("natural_movie") if len(rows) else pd.Series(dtype=bool)
    if not is_movie.any():
        return rows
    frames = rows[is_movie]
    showing = (frames["frame"].diff() < 0).cumsum().rename("showing")
    grouped = frames.groupby([frames[SESSION], showing, frames[NAME]], sort=False)
    movies = grouped.agg(
        **{
            ID: (ID, "first"),
            "stimulus_block": ("stimulus_block", "first"),
            schema.START_TIME: (schema.START_TIME, "min"),
            schema.STOP_TIME: (schema.STOP_TIME, "max"),
            "duration": ("duration", "sum"),
        }
    ).reset_index()
    together = joined([rows[~is_movie], movies.drop(columns="showing")])
    order = pd.Series({s: i for i, s in enumerate(rows[SESSION].unique())}, dtype="int64")
    rank = together[SESSION].map(order)
    by = np.lexsort([together[ID], rank])
    return together.iloc[by].reindex(columns=rows.columns).reset_index(drop=True)


def of_usual_length(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows near the median duration: ``03_presentations_filtered_by_duration.csv``.

    Parameters
    ----------
    rows : DataFrame
        Rows of all sessions, from `whole_movies`. Medians are over all of them.

    Returns
    -------
    pandas.DataFrame
        Rows sorted by session and stimulus, without those whose duration differs by 1 ms or more (for
        movies 10 ms) from the median of the stimulus.
    """
    if not len(rows):
        return rows
    limit = np.where(
        rows[NAME].str.contains("natural_movie"),
        stimuli.MAX_DEVIATION_OF_MOVIES,
        stimuli.MAX_DEVIATION,
    )
    median = rows.groupby(NAME)["duration"].transform("median")
    stimulus = rows[NAME].map({name: i for i, name in enumerate(rows[NAME].unique())})
    session = rows[SESSION].map({name: i for i, name in enumerate(rows[SESSION].unique())})
    order = np.lexsort([stimulus, session])
    is_usual = ((rows["duration"] - median).abs() < limit).to_numpy()
    return rows.iloc[order[is_usual[order]]].reset_index(drop=True)


def filter_summary(rows: pd.DataFrame, filtered: pd.DataFrame) -> pd.DataFrame:
    """Count presentations of unusual duration: ``presentations_filtered_summary.csv``.

    Parameters
    ----------
    rows, filtered : DataFrame
        Rows from `whole_movies`, and what `of_usual_length` keeps of them.

    Returns
    -------
    pandas.DataFrame
        A row per stimulus: number of presentations before and after, number and percentage removed.
    """
    import pandas as pd

    names = rows[NAME].unique()
    before = rows[NAME].value_counts().reindex(names).to_numpy()
    after = filtered[NAME].value_counts().reindex(names, fill_value=0).to_numpy()
    removed = before - after
    return pd.DataFrame(
        {
            NAME: names,
            "num_presentations_before": before,
            "num_presentations_after": after,
            "num_presentations_removed": removed,
            "percent_presentations_removed": (removed / before * 100).round(2),
        }
    )


def median_durations(rows: pd.DataFrame) -> pd.DataFrame:
    """Return median durations in s: ``presentations_median_durations.csv``.

    Parameters
    ----------
    rows : DataFrame
        Rows of all sessions, from `whole_movies`.

    Returns
    -------
    pandas.DataFrame
        ``stimulus_name`` and ``median_duration`` in s, rounded to 0.1 ms.
    """
    medians = rows.groupby(NAME, sort=False)["duration"].median().round(4)
    return medians.rename("median_duration").reset_index()


def joined(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate frames; a column that a frame lacks is missing in its rows."""
    import pandas as pd

    several = [frame for frame in frames if len(frame)]
    if not several:
        return pd.DataFrame()
    names = dict.fromkeys(name for frame in several for name in frame.columns)
    # pandas cannot infer the dtype of an empty column.
    known = [frame.dropna(axis="columns", how="all") for frame in several]
    return pd.concat(known, ignore_index=True).reindex(columns=list(names))
