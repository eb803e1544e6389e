"""Each panel shows what a public function returned: the copied Python returns the same."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

pytest.importorskip("panel", reason="panel is not installed (pip install 'neuroarrays[explore]')")

import neuroarrays as na
from neuroarrays.explorer.calls import Kept
from neuroarrays.explorer.panels import VIEWS, view
from neuroarrays.explorer.recording import NOTHING, Recording
from neuroarrays.explorer.state import State
from tests.explorer.conftest import read


def run(code, tree):
    """What the last line of some code assigns."""
    names = {"na": na, "tree": tree}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec("\n".join(code), names)
    return names[code[-1].partition(" = ")[0]]


def same(shown, again):
    if isinstance(shown, dict):
        assert list(shown) == list(again)
        for name, part in shown.items():
            same(part, again[name])
    elif isinstance(shown, pd.DataFrame):
        pd.testing.assert_frame_equal(shown, again)
    else:
        xr.testing.assert_equal(shown, again.drop_vars(set(again.coords) - set(shown.coords)))


STATES = {
    "sample": {"map": {"feature": "position/x", "other": "position/y"}, "zoom": {"window": (700.0, 703.5)}},
    "small": {
        "by": {"by": "orientation", "smooth": 0.05}, "three": {"units": (10, 30, 50)},
        "column": {"feature": "orientation", "trials": "contrast > 0.2"}, "events": {"table": "lick_left"},
        "traces": {"area": "V1", "window": (2.0, 9.0)}, "query": {"query": "snr > 1"}, "speed": {"feature": "running/speed"},
        "ungrouped": {"by": NOTHING},
    },
    "trials": {"three": {"units": (10, 30, 50), "by": "orientation"}},
    "clock": {"zoom": {"window": (3.0, 8.0)}},
}  # fmt: skip
CASES = [(name, case) for name, cases in STATES.items() for case in ("first", *cases)]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_copied_python_returns_what_is_shown(recordings, name, case):
    recording, kept = recordings[name], Kept()
    state, notices = recording.fitted(replace(State(), **STATES[name].get(case, {})))
    assert notices == []
    read(recording, state)
    shown = {panel: view(panel, recording, state, kept) for panel in VIEWS}
    for panel, each in shown.items():
        assert not each.facts.get("failed"), (panel, each.note)
        assert "\n" not in each.note
        if each.value is None:
            assert each.note, panel
        else:
            same(each.value, run(each.code, recording.tree))
            assert len(each.table())
    assert shown["units"].value is not None


def test_which_views_a_recording_has(recordings):
    def having(name, **changes):
        recording = recordings[name]
        state, _ = recording.fitted(replace(State(), **changes))
        kept = Kept()
        return {panel for panel in VIEWS if view(panel, recording, state, kept).value is not None}

    assert having("small") == set(VIEWS) - {"stimulus"}
    assert having("small", area="V1") == set(VIEWS) - {"stimulus", "correlogram", "waveform"}
    assert having("sample") == set(VIEWS) - {"stimulus", "waveform"}
    assert having("trials") == {"units", "trials", "psth", "tuning"}
    assert {"units", "session", "tuning", "signals"} <= having("clock")


def test_the_raster_counts_anew_where_bins_kept_are_too_wide(recordings):
    recording = recordings["sample"]
    state, _ = recording.fitted(replace(State(), window=(700.0, 700.5)))
    read(recording, state)
    shown = view("session", recording, state, Kept())
    width = shown.facts["width"]
    assert width <= recording.pyramid(state).bin_width
    area = recording.tree["A2929-200711/adn"]
    ends = shown.facts["ends"]
    expected = na.bin_spikes(area, bin_width=width, window=ends, dtype="uint32")
    np.testing.assert_array_equal(shown.value.values, expected.values)


@pytest.mark.parametrize(
    "query",
    ["snr >", "snr > 1e9", "nothing == 1", "__import__('os').system('x')", "snr.to_csv('x')"],
)
def test_a_condition_that_cannot_be_used_is_one_line(recordings, query):
    recording = recordings["small"]
    state, _ = recording.fitted(replace(State(), query=query))
    shown = view("units", recording, state, Kept())
    assert shown.value is None
    assert shown.note
    assert "\n" not in shown.note


def test_columns_of_units_and_very_many_columns_are_not_grouped_by(recordings):
    tree = recordings["small"].tree
    groups = {path: node.to_dataset(inherit=False) for path, node in tree.subtree_with_keys}
    table = groups["small/presentations/trials"]
    names = table["outcome"].rename("snr")
    shared = xr.DataTree.from_dict(
        {**groups, "small/presentations/trials": table.assign(snr=names)}
    )
    recording = Recording(shared, "# given")
    assert "snr" not in recording.menu("by", recording.fitted(State())[0])
    wide = table.assign({f"column {k}": table["contrast"] for k in range(1000)})
    tree = xr.DataTree.from_dict({**groups, "small/presentations/trials": wide})
    recording = Recording(tree, "# given")
    state, _ = recording.fitted(State())
    for name in ("trials", "psth", "tuning"):
        assert "columns" in view(name, recording, state, Kept()).note


def test_black_fits_the_rates_of_the_units(recordings):
    assert recordings["small"].fitted(State())[0].black == 5.0
    assert recordings["sample"].fitted(State())[0].black == 50.0
    assert recordings["small"].fitted(State(black=3.0))[0].black == 3.0


def test_frames_of_a_stimulus_are_those_at_the_cursor(recordings):
    frames = np.arange(4 * 2 * 3.0).reshape(4, 2, 3)
    node = xr.Dataset({"movie": (("time", "y", "x"), frames)}, {"time": [1.0, 2.0, 3.0, 4.0]})
    groups = {
        path: n.to_dataset(inherit=False) for path, n in recordings["small"].tree.subtree_with_keys
    }
    tree = xr.DataTree.from_dict({**groups, "small/stimulus/movie": node})
    recording = Recording(tree, "# given")
    for moment, frame in ((2.5, 1), (4.0, 3)):
        state, _ = recording.fitted(replace(State(), cursor=moment))
        shown = view("stimulus", recording, state, Kept())
        np.testing.assert_array_equal(shown.value.values, frames[frame])
        same(shown.value, run(shown.code, tree))
    colours = node.rename(y="a", x="b").expand_dims(c=3, axis=-1)
    in_colour = Recording(
        xr.DataTree.from_dict({**groups, "small/stimulus/movie": colours}), "# given"
    )
    shown = view("stimulus", in_colour, in_colour.fitted(State(cursor=2.5))[0], Kept())
    np.testing.assert_array_equal(shown.value.values, frames[1])
    assert "the first of 3 along c" in shown.note
    state, _ = recording.fitted(replace(State(), cursor=0.5))
    assert "no frame was shown before" in view("stimulus", recording, state, Kept()).note


def test_of_a_signal_of_several_columns_the_first_is_tuned_to(recordings):
    recording, name = recordings["small"], "LeftCamera/confidence"
    shown = view("tuning", recording, recording.fitted(State(feature=name))[0], Kept())
    assert shown.note == f"{name}: the first of 3"
    same(shown.value, run(shown.code, recording.tree))
