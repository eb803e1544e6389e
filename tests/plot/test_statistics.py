"""The page of bars about an archive: heights are sums of the catalogue."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import neuroarrays as na
from neuroarrays.errors import SchemaError

ROWS = [
    ("gabors", "s1", "VISp", 10, 3),
    ("gabors", "s1", "CA1", 10, 2),
    ("gabors", "s2", "VISp", 12, 7),
    ("scenes", "s1", "VISp", 5, 3),
    ("dots", "s2", "VISp", 4, 7),
]
FRAME = pd.DataFrame(ROWS, columns=["block", "session", "area", "presentations", "units"])
KINDS = {"s1": "b", "s2": "a"}


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def heights(ax):
    """Colour -> name on the axis -> height of its bar."""
    names = [label.get_text() for label in ax.get_xticklabels()]
    bars = {}
    for drawn in ax.collections:
        found = bars[drawn.get_label()] = {}
        for path in drawn.get_paths():
            (left, low), (right, high) = path.vertices.min(axis=0), path.vertices.max(axis=0)
            found[names[int(np.rint((left + right) / 2))]] = round(high - low, 9)
    return bars


@pytest.mark.parametrize(
    "types", [KINDS, pd.DataFrame({"id": KINDS.keys(), "session_type": KINDS.values()})]
)
def test_heights(types):
    axes = na.plot.statistics(FRAME, types)
    assert len(axes) == 6 + 2 * 3
    by_area = {"gabors": {"VISp": 10, "CA1": 2}, "scenes": {"VISp": 3}, "dots": {"VISp": 7}}
    assert heights(axes["units_stacked"]) == heights(axes["units"]) == by_area
    presented = {"gabors": {"VISp": 22, "CA1": 10}, "scenes": {"VISp": 5}, "dots": {"VISp": 4}}
    assert heights(axes["presentations_stacked"]) == presented
    assert heights(axes["presentations"]) == presented
    assert heights(axes["units_by_session"]) == {"VISp": {"s2": 14, "s1": 6}, "CA1": {"s1": 2}}
    kinds = {"a": {"gabors": 1, "dots": 1}, "b": {"gabors": 1, "scenes": 1}}
    assert heights(axes["sessions"]) == kinds
    last = axes["units_scenes"]
    assert [label.get_text() for label in last.get_xticklabels()] == ["s2", "s1"]  # by kind
    assert heights(last) == {"VISp": {"s1": 3}, "CA1": {}}
    assert heights(axes["presentations_scenes"])["VISp"] == {"s1": 5}


def test_the_published_table_and_a_recording():
    names = {"block": "stimulus_type", "session": "session_id", "area": "brain_structure"}
    theirs = FRAME.rename(columns=names | {"units": "n_units", "presentations": "n_presentations"})
    assert heights(na.plot.statistics(theirs)["units"]) == heights(
        na.plot.statistics(FRAME)["units"]
    )
    axes = na.plot.statistics(na.catalog(na.sample_path()))
    assert "units_sleep_ripples" in axes
    assert heights(axes["sessions"])["unknown"]["sleep_ripples"] == 1


def test_bad_input():
    with pytest.raises(SchemaError, match="na.catalog"):
        na.plot.statistics(na.load_sample())
    with pytest.raises(ValueError, match="'units'"):
        na.plot.statistics(FRAME.drop(columns="units"))
    with pytest.raises(ValueError, match="'presentations'"):
        na.plot.statistics(FRAME.drop(columns="presentations"))
    with pytest.raises(ValueError, match="with rows .* found a table without rows"):
        na.plot.statistics(FRAME.iloc[:0])
    with pytest.raises(ValueError, match="session_types: expected the column 'session_type'"):
        na.plot.statistics(FRAME, pd.DataFrame({"session": ["s1"]}))


def test_a_stimulus_has_one_colour_and_a_small_archive_a_narrow_figure():
    rows = FRAME.assign(presentations=[1, 1, 1, 50, 90])  # the order of presentations is another
    axes = na.plot.statistics(rows)
    shades = [
        {c.get_label(): c.get_facecolor()[0].tolist() for c in axes[name].collections}
        for name in ("units", "presentations")
    ]
    assert shades[0] == shades[1]
    assert axes["units"].figure.get_figwidth() < 10
    many = pd.concat([rows.assign(session=f"session {n}") for n in range(70)])
    assert na.plot.statistics(many)["units"].figure.get_figwidth() == 18
