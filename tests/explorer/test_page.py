"""The page without a browser: one state, and every control follows it."""

import re
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("panel", reason="panel is not installed (pip install 'neuroarrays[explore]')")

import neuroarrays as na
from neuroarrays.explorer.calls import View
from neuroarrays.explorer.drawing import Plots
from neuroarrays.explorer.page import Page
from neuroarrays.explorer.recording import MENUS, Recording
from neuroarrays.explorer.state import FIELDS, State, changes_in
from neuroarrays.synthetic import write_nwb
from tests.explorer.conftest import TEX, read


@pytest.fixture(scope="module")
def page(recordings):
    recording = recordings["small"]
    made = Page(recording)
    read(recording, made.state)
    made.update()
    return made


@pytest.fixture(scope="module")
def two_sessions(recordings, tmp_path_factory):
    """Two sessions whose areas, tables and columns differ."""
    path = tmp_path_factory.mktemp("explorer") / "b.nwb"
    write_nwb(path, areas=("MOs", "CA3"), name_column=True, seed=1, trials=8)
    tree = recordings["small"].tree.copy()
    tree["b"] = na.open_datatree(path)["b"]
    return Recording(tree, "# given")


@pytest.fixture
def fresh(page):
    """The page with its first state."""
    first, _ = page.recording.fitted(State())
    page.change(**{field: getattr(first, field) for field in FIELDS})
    return page


def test_one_change_leaves_all_else_as_it_is(fresh):
    first = fresh.state
    fresh.change(units=(30,), window=(2.0, 6.0), smooth=0.1)
    fresh.change(by="orientation")
    expected = replace(first, units=(30,), window=(2.0, 6.0), smooth=0.1, by="orientation")
    assert fresh.state == expected
    fresh.change(table="lick_left")
    assert (fresh.state.units, fresh.state.window, fresh.state.smooth) == ((30,), (2.0, 6.0), 0.1)


def test_controls_show_the_state_and_change_it(fresh):
    fresh.parts.controls["by"].value = "orientation"
    assert fresh.state.by == "orientation"
    fresh.change(by="outcome")
    assert fresh.parts.controls["by"].value == "outcome"
    fresh.parts.controls["area"].value = "CA1"
    assert fresh.state.units[0] in fresh.recording.unit_ids(fresh.state)


def test_a_condition_chooses_rows_and_a_wrong_one_keeps_them(fresh):
    fresh.change(query="snr > 1.5")
    some = fresh.parts.table.source.data["unit"]
    assert 0 < len(some) < 3
    assert f"{len(some)} of 3 match" in fresh.parts.notes["units"].object
    assert fresh.plots.sources["session"].data["image"][0].shape[0] == len(some)
    for wrong in ("snr >", "snr > 1e9", "snr.to_csv('x') > 1"):
        fresh.change(query=wrong)
        assert fresh.state.query == "snr > 1.5"
        assert fresh.parts.notice.object
        assert fresh.parts.table.source.data["unit"] == some
    fresh.change(trials="contrast > 99")
    assert fresh.state.trials == ""
    assert "contrast" in fresh.parts.notice.object


def test_keys(fresh):
    ids = fresh.recording.unit_ids(fresh.state).tolist()
    fresh.key("ArrowUp")
    assert fresh.state.units == (ids[1],)
    fresh.key("ArrowDown")
    assert fresh.state.units == (ids[0],)
    fresh.key("n")
    first = fresh.state.cursor
    fresh.key("n")
    assert fresh.state.cursor > first
    low, high = fresh.state.window
    assert low < fresh.state.cursor < high
    fresh.key("p")
    assert fresh.state.cursor == first
    fresh.key("+")
    assert fresh.state.window[1] - fresh.state.window[0] == pytest.approx((high - low) / 2)
    fresh.key("0")
    assert fresh.state.window is None
    by = fresh.state.by
    fresh.key("g")
    assert fresh.state.by != by


def test_up_to_six_units_are_compared(fresh, recordings):
    ids = fresh.recording.unit_ids(fresh.state).tolist()
    fresh.choose(ids[2], add=True)
    assert fresh.state.units == (ids[0], ids[2])
    labels = fresh.plots.sources["psth"].data["label"]
    assert len(labels) == 2 * 2
    assert all("(n = " in label for label in labels)
    fresh.choose(ids[0], add=True)
    assert fresh.state.units == (ids[2],)
    fresh.choose(ids[1])
    assert fresh.state.units == (ids[1],)
    other = Page(recordings["sample"], "#v=1&u=0,1,2,3,4,5")
    other.choose(6, add=True)
    assert other.state.units == (1, 2, 3, 4, 5, 6)


def test_rows_beyond_six_are_neither_shown_nor_marked(recordings):
    page = Page(recordings["sample"])
    page.update(["units"])
    selected = page.parts.table.source.selected
    selected.indices = list(range(7))
    assert page.state.units == (0, 1, 2, 3, 4, 5)
    assert selected.indices == [0, 1, 2, 3, 4, 5]
    assert "6 units" in page.parts.notice.object
    selected.indices = []
    assert selected.indices == [0, 1, 2, 3, 4, 5]


def test_bands_that_become_fewer_stay_in_number(fresh):
    bands = fresh.plots.sources["psth bands"]
    fresh.change(units=(10, 30, 50), by="orientation")
    n_bands = len(bands.data["xs"])
    fresh.change(units=(10,), by="(none)")
    assert [len(x) for x in bands.data["xs"]] == [len(bands.data["xs"][0])] + [0] * (n_bands - 1)


def test_the_legend_of_many_lines_names_units_and_groups(fresh):
    fresh.change(units=(10, 30, 50), by="start_time")  # a group for each presentation
    lines, legend = fresh.plots.sources["psth"].data, fresh.plots._legends["psth"]
    shown = [(item.label.value, item.index) for item in legend.items if item.visible]
    assert shown[:3] == [("unit 10", 0), ("unit 30", 1), ("unit 50", 2)]
    assert len(shown) == 3 + 6
    for group, (text, index) in enumerate(shown[3:]):
        assert text == f"{lines['label'][index]} (n = 1)"
        assert {lines["dash"][index]} == set(lines["dash"][3 * group : 3 * group + 3])
    assert len(set(lines["dash"])) == 6


#: Where links are made: defaults of another session, area or table differ from those of the first one.
PLACES = {
    "small": [{}, {"table": "lick_left"}, {"area": "V1"}],
    "sample": [{"table": "sleep_ripples", "by": "tags"}],
    "sessions": [{"session": "b"}, {"session": "b", "table": "lick_left"}],
    "clock": [{}],
}
CHANGES = {
    "before": [-3.0, 0.0], "after": [3.0, 0.0], "bin_width": [0.1], "smooth": [0.1], "window": [(1.0, 2.0)],
    "cursor": [2.0], "black": [7.0], "dark": [True], "svg": [True], "query": ["unit_id >= 0"],
    "trials": ["start_time > 1"],
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_a_link_restores_every_field(recordings, two_sessions, name):
    recording = two_sessions if name == "sessions" else recordings[name]
    page = Page(recording)
    for place in PLACES[name]:
        start, _ = recording.fitted(replace(State(), **place))
        for field in FIELDS:
            values = CHANGES.get(field) or (recording.menu(field, start) if field in MENUS else ())
            for value in values:
                wanted = {field: (value,) if field == "signals" else value}
                page.state, _ = recording.fitted(replace(start, **wanted))
                changes, notices = changes_in(page.link())
                restored, more = recording.fitted(replace(State(), **changes))
                assert (restored, notices + more) == (page.state, []), (field, value, page.link())


def test_what_is_drawn_is_what_the_views_hold(fresh):
    fresh.change(units=(30,), by="orientation")
    response = fresh.views["psth"].value
    drawn = fresh.plots.sources["psth"].data
    for k in range(response.sizes["orientation"]):
        assert drawn["ys"][k].tolist() == response["mean"].values[k, 0].tolist()
        assert f"n = {int(response['n'].values[k].max())}" in drawn["label"][k]
    raster, image = fresh.views["session"].value, fresh.plots.sources["session"].data["image"][0]
    assert image.tolist() == raster.values.T.tolist()
    trials, rows = fresh.views["trials"].value, fresh.plots.sources["trials"].data["responses"][0]
    assert rows.tolist() == trials.values[:, 0].tolist()
    curve = fresh.views["tuning"].value
    assert fresh.plots.sources["tuning"].data["ys"][0].tolist() == pytest.approx(
        curve.values[0].tolist(), nan_ok=True
    )


def test_curves_signals_and_maps_are_drawn_as_the_views_hold_them(fresh, recordings):
    sources = fresh.plots.sources
    fresh.change(units=(30,))
    rates = fresh.views["correlogram"].value.values[0]
    assert sources["correlogram"].data["ys"][0].tolist() == rates.tolist()
    wave = fresh.views["waveform"].value.values[0]
    assert sources["waveform"].data["ys"][0].tolist() == wave.tolist()
    for name, texts in fresh.views["signals"].value.items():
        assert texts["time"].size == len(
            sources["signals"].data["xs"][sources["signals"].data["name"].index(name)]
        )
    fresh.change(area="V1")
    traces, drawn = fresh.views["session"].value, sources["session"].data
    assert drawn["value"][0].tolist() == traces.values.T.astype("f4").tolist()
    other = Page(recordings["sample"], "#v=1&u=0&tune=position/x&map=position/y")
    other.update(["tuning"])
    curve, drawn = other.views["tuning"].value[0], other.plots.sources["rate map"].data
    np.testing.assert_array_equal(drawn["image"][0], curve.values.T.astype("f4"))
    across = curve[curve.dims[0]].values
    step = across[1] - across[0]  # cells reach half a bin beyond the first and the last centre
    assert drawn["x"] == [pytest.approx(across[0] - step / 2)]
    assert drawn["dw"] == [pytest.approx(step * across.size)]


def test_signals_without_units_are_shown_over_the_whole_session(tmp_path):
    write_nwb(tmp_path / "a.nwb", parts=("trials", "running"))
    page = Page(Recording(na.open_datatree(tmp_path / "a.nwb"), "# given"))
    page.update()
    ends = page.plots.figure("signals").x_range
    assert (ends.start, ends.end) == page.recording.extent(page.state)
    assert ends.end > 10


def test_of_very_many_units_no_row_that_fires_is_lost(recordings):
    counts = np.zeros((4, 1200), "u4")
    counts[2, 7] = 1
    coords = {"time": [0.5, 1.5, 2.5, 3.5], "unit_id": np.arange(1200)}
    facts = {"width": 1.0, "ends": (0.0, 4.0), "window": (0.0, 4.0)}
    shown = View(xr.DataArray(counts, coords, ("time", "unit_id")), facts=facts)
    recording = recordings["small"]
    state, _ = recording.fitted(State())
    plots = Plots(state)
    plots.show("session", shown, state, recording, None)
    image = plots.sources["session"].data["image"][0]
    assert np.argwhere(image).tolist() == [[7 // 3, 2]]
    assert image.shape == (400, 4)
    assert len(plots.sources["session rows"].data["label"][0]) == 1200


def test_rows_are_named_by_units_and_presentations(fresh):
    fresh.change(units=(30, 50), by="orientation")
    names = fresh.plots.sources["session rows"].data["label"][0]
    assert names == ["unit 10", "unit 30", "unit 50"]
    rows = fresh.plots.sources["trials rows"].data["label"][0]
    ids = fresh.views["trials"].value["presentation_id"].values
    assert len(rows) == 2 * len(ids)
    assert rows[len(ids)].startswith(f"unit 50, presentation {ids[0]}, ")
    assert fresh.plots.sources["chosen"].data["y"] == [1, 2]


def test_groups_of_texts_are_apart(fresh):
    fresh.change(units=(10, 30), feature="outcome")
    curve, drawn = fresh.views["tuning"].value, fresh.plots.sources["tuning"].data
    assert drawn["ys"][1][::3].tolist() == curve.values[1].tolist()
    assert sum(map(bool, (x != x for x in drawn["xs"][0]))) == curve.shape[1]
    assert max(drawn["xs"][0][1::3]) < max(drawn["xs"][1][::3])
    ends = fresh.plots.figure("tuning").x_range
    assert (ends.start, ends.end) == (-0.5, curve.shape[1] - 0.5)
    assert fresh.plots.figure("tuning").xaxis[0].major_label_orientation == "horizontal"
    names = [f"{k}, a name of many letters" for k in range(2 * curve.shape[1])]
    long = xr.concat([curve, curve], "outcome").assign_coords(outcome=names)
    fresh.plots._show_tuning(View(long), fresh.state)
    assert fresh.plots.figure("tuning").xaxis[0].major_label_orientation == "vertical"


def test_the_code_of_a_panel_is_shown_until_it_is_closed(fresh):
    fresh.parts.show_code("units")
    assert fresh.parts.code_bar.visible
    assert "to_dataframe" in fresh.parts.code.value


def test_controls_without_a_choice_are_hidden(recordings):
    assert not Page(recordings["trials"]).parts.controls["other"].visible
    assert not Page(recordings["small"], "#v=1&area=V1").parts.controls["black"].visible
    assert Page(recordings["small"]).parts.controls["black"].visible


def test_a_panel_that_cannot_be_drawn_leaves_the_others(fresh, monkeypatch):
    def fail(*_):
        raise ValueError("no such\nshape")

    monkeypatch.setattr(fresh.plots, "_show_trials", fail)
    fresh.change(units=(50,))
    assert fresh.parts.notes["trials"].object == "not drawn: no such shape"
    assert "unit 50" in fresh.plots.sources["tuning"].data["label"]


def test_no_text_of_a_file_is_taken_for_tex(hostile):
    page = Page(Recording(na.open_datatree(hostile), "# given"))
    page.change(by=TEX, feature=TEX)
    page.update(["trials", "psth", "tuning"])
    assert page.state.by == page.state.feature == TEX
    texts = []
    for name in ("trials", "psth", "tuning"):
        for axis in page.plots.figure(name).axis:
            texts += [axis.axis_label, *axis.major_label_overrides.values()]
    assert any("x$" in text for text in texts)
    assert not [text for text in texts if re.search(r"\$\$|\\[][()]", text)]


def test_texts_that_begin_alike_are_groups_of_their_own(fresh):
    scenes = [f"scene {'a' * 50}{end}" for end in "xyxy"]
    coords = {"unit_id": [1], "time": np.arange(5) / 10, "scene": ("presentation_id", scenes)}
    dims = "presentation_id", "unit_id", "time"
    value = xr.DataArray(
        np.ones((4, 1, 5), np.uint8), {"presentation_id": range(4), **coords}, dims
    )
    state = State(before=0.0, after=0.5, units=(1,))
    plots = Plots(state)
    plots.show("trials", View(value, facts={"by": "scene"}), state, fresh.recording, None)
    ticks = plots.figure("trials").yaxis[0].major_label_overrides.values()
    assert [(text[:5], text[-1]) for text in ticks] == [("scene", "x"), ("scene", "y")]
    assert max(map(len, ticks)) <= 18
    assert len(plots._mappers["trials"].palette) == 2 * 16


def test_a_shade_means_the_same_at_any_zoom(fresh):
    mapper = fresh.plots._mappers["session"]
    for window in ((0.0, 16.0), (3.0, 4.0)):
        fresh.change(window=window, black=80.0)
        assert mapper.high == pytest.approx(80.0 * fresh.views["session"].facts["width"])


def test_the_page_gives_code_and_values_of_a_panel(fresh):
    fresh.parts.show_code("psth")
    assert "na.psth(" in fresh.parts.code.value
    assert fresh.parts.code.value.startswith("import neuroarrays as na\n")
    header = fresh.csv("psth").getvalue().splitlines()[0]
    assert {"mean", "sem", "n", "time", "unit_id"} <= set(header.split(","))
    assert fresh.csv("stimulus").getvalue() == ""


def test_a_link_of_another_recording_says_what_is_missing(fresh, recordings):
    other = Page(recordings["sample"], "#v=1&session=monday&area=V9&u=77&by=colour&t=1,2")
    text = other.parts.notice.object
    for word in ("monday", "V9", "77", "colour"):
        assert word in text
    assert other.state.window == (1.0, 2.0)
    fresh.begin()
    fresh.change(units=(30,))
    fresh.follow("#v=9&u=10")
    assert fresh.state.units == (30,)
    assert "another version" in fresh.parts.notice.object


def test_dark_and_light(fresh):
    fresh.change(dark=True)
    assert fresh.plots.figure("psth").background_fill_color == fresh.parts.page.styles["background"]
    dark = fresh.parts.page.styles["background"]
    fresh.change(dark=False)
    assert fresh.parts.page.styles["background"] != dark


def test_a_file_that_changed_keeps_what_was_shown(tmp_path, nwb, monkeypatch):
    import shutil

    import h5py

    path = tmp_path / "moving.nwb"
    shutil.copy(nwb, path)
    recording = Recording(na.open_datatree(path), "# given")
    page = Page(recording)
    read(recording, page.state)
    page.update()
    before = page.views["psth"].value
    other = path.with_name("other.nwb")
    shutil.copy(nwb, other)
    with h5py.File(other, "r+") as file:
        file["units/spike_times"][:] += 1.0
    other.replace(path)
    page.change(units=(int(recording.unit_ids(page.state)[1]),))
    assert page.views["psth"].value is before
    assert "open it again" in page.parts.notes["psth"].object

    def fail(_):
        raise ValueError("another size <b>")

    monkeypatch.setattr(recording, "fitted", fail)
    page.change(area="V1")  # menus that are read for the first time
    assert page.parts.notice.object == "another size &lt;b&gt;"
    assert page.views["psth"].value is before


def test_explore_gives_what_a_notebook_shows(nwb):
    shown = na.explore(nwb, state="#v=1&u=30&by=orientation")
    assert shown.select()
    with pytest.raises(na.MissingPath):
        na.explore(nwb.with_name("absent.nwb"))
