"""Every layout that `create-data` writes is shown: no panel fails, and no note is an error of Python."""

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("panel", reason="panel is not installed (pip install 'neuroarrays[explore]')")

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.cli.creation import LAYOUTS, create
from neuroarrays.explorer.calls import Kept
from neuroarrays.explorer.page import Page
from neuroarrays.explorer.panels import view
from neuroarrays.explorer.recording import Recording
from neuroarrays.explorer.state import State
from neuroarrays.testing.sources import close_all
from tests.explorer.conftest import read

#: Sizes of files that would be large, and those that are shown at each run of the tests.
SMALL = {"openretina": {"colors": 1, "stimuli": 1, "clips": 24, "clip_length": 10}}
QUICK = ("allen", "allen_binned", "driada", "neuroarrays", "openretina", "sensorium_dynamic")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of a layout, drawn once."""
    folder, drawn = tmp_path_factory.mktemp("layouts"), {}

    def page_of(layout):
        if layout not in drawn:
            path = create(
                layout, folder / f"{layout}{LAYOUTS[layout].suffix}", 3, **SMALL.get(layout, {})
            )
            drawn[layout] = page = Page(Recording(na.open_datatree(path), "# tree is given"))
            read(page.recording, page.state)
            page.update()
        return drawn[layout]

    yield page_of
    close_all()


@pytest.mark.parametrize(
    "layout", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in LAYOUTS]
)
def test_no_panel_fails(layout, pages):
    page = pages(layout)
    assert not [name for name, shown in page.views.items() if shown.facts.get("failed")]
    notes = {name: note.object for name, note in page.parts.notes.items()}
    errors = ("Error", "object cannot", "not drawn", "Nothing(", "dimensional")
    assert not {name: n for name, n in notes.items() if any(error in n for error in errors)}


def test_presentations_of_nothing_are_no_group(pages):
    recording = pages("allen").recording
    assert "blank" in recording.table(pages("allen").state)
    assert "blank" not in recording.columns(pages("allen").state)


def test_units_without_columns_are_listed(pages):
    page = pages("neuroarrays")
    ids = page.recording.unit_ids(page.state).tolist()
    assert page.parts.table.source.data == {"unit": ids}


def test_an_aligned_file_has_its_own_window_and_bins(pages):
    state, parts = pages("allen_binned").state, pages("allen_binned").parts
    assert (state.before, state.after, state.bin_width) == (0.0, 0.26, 0.02)
    fixed = ("before", "after", "bin_width", "event")
    assert not [field for field in fixed if parts.controls[field].visible]


def test_a_curve_needs_more_than_one_value(pages):
    page = pages("allen_binned")
    assert page.state.feature == "orientation"
    shown = view(
        "tuning", page.recording, page.recording.fitted(State(feature="duration"))[0], Kept()
    )
    assert (shown.value, shown.note) == (None, "duration has the same value in all presentations")


def test_aligned_columns_and_frames(pages):
    page = pages("sensorium_dynamic")
    assert page.recording.columns(page.state) == ["tier"]
    assert page.views["stimulus"].value.dims == ("y", "x")
    assert "the first of 21 along presentation_id" in page.views["stimulus"].note


def _tree(clock):
    """A recording of traces and a signal on a clock (time,), s; None for no clock."""
    values = np.arange(12.0)
    coords = {} if clock is None else {schema.TIME: clock}
    traces = (schema.TIME, schema.UNIT), np.stack([values, -values], axis=1)
    nodes = {
        "/": xr.Dataset(attrs={"neuroarrays_schema": "recording/1", "source": "test"}),
        "/s": xr.Dataset(attrs={"session_id": "s"}),
        "/s/V1": xr.Dataset(),
        "/s/V1/dff": xr.Dataset({"dff": traces}, {schema.UNIT: [0, 1], **coords}),
        "/s/running": xr.Dataset({"speed": (schema.TIME, values)}, coords),
    }
    return xr.DataTree.from_dict(nodes)


@pytest.mark.parametrize(
    ("clock", "reason"),
    [
        (None, "the file has no times of these samples"),
        (np.where(np.arange(12) == 5, np.nan, np.arange(12)), "the clock has missing times"),
        (np.arange(12.0)[::-1], "the clock goes backwards"),
    ],
)
def test_a_clock_that_is_none_is_said(clock, reason):
    recording = Recording(_tree(clock), "# tree is given")
    state, _ = recording.fitted(State())
    assert view("session", recording, state, Kept()).note == reason
    note = view("signals", recording, state, Kept()).note
    assert note == f"running/speed: {reason}; unit 0: {reason}"


def test_without_units_the_presentations_are_shown():
    tree = _tree(np.arange(12.0))
    tree["s"].children = {"running": tree["s/running"]}
    numbers = {
        name: (schema.PRESENTATION, [k, k + 4.0])
        for name, k in (("start_time", 1.0), ("stop_time", 3.0))
    }
    trials = xr.Dataset(
        {**numbers, "side": (schema.PRESENTATION, ["a", "b"])}, {schema.PRESENTATION: [0, 1]}
    )
    tree["s/presentations"] = xr.DataTree(children={"trials": xr.DataTree(trials)})
    page = Page(Recording(tree, "# tree is given"))
    page.update(["session"])
    assert (
        page.parts.notes["session"].object == "this session has no units; shown are trials by side"
    )
    assert page.plots.sources["behind"].data["label"] == ["a", "b"]
    assert len(page.views["session"].table()) == 2
