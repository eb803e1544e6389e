"""Pictures with several panels: of trials, of many units, of pairs, of decoders, of sessions."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import NotInTree, SchemaError

mpl = pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
mpl.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

CA1 = "A2929-200711/ca1"


@pytest.fixture(autouse=True)
def pages():
    plt.close("all")
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


@pytest.fixture(scope="module")
def tree():
    return na.load_sample()


@pytest.fixture(scope="module")
def ripples(tree):
    aligned = na.align(tree, "sleep_ripples", 0.005, (-0.1, 0.2), series=[])
    return aligned[CA1].to_dataset().isel(presentation_id=slice(60)).load()


@pytest.fixture(scope="module")
def adn(tree):
    return na.align(tree, bin_width=0.1, window=(671, 900))["A2929-200711/adn"]


def test_a_tick_for_each_bin_with_spikes_above_the_psth(ripples):
    ax = na.plot.peri_event(ripples, 14, smooth=0.01)
    upper, lower = ax.child_axes
    ticks = np.array(upper.collections[0].get_segments())
    presentations, bins = np.nonzero(ripples["spike_data"].sel(unit_id=14).values)
    np.testing.assert_array_equal(np.sort(ticks[:, 0, 1]), np.sort(presentations - 0.4))
    np.testing.assert_array_equal(np.sort(ticks[:, 0, 0]), np.sort(ripples["time"].values[bins]))
    expected = na.psth(ripples, smooth=0.01)["mean"].sel(unit_id=14).values
    np.testing.assert_array_equal(lower.lines[0].get_ydata(), expected)
    assert lower.get_xlabel() == "time from onset (s)"
    (masked,) = upper.images
    np.testing.assert_array_equal(np.isnan(masked.get_array()), ripples["valid"].values)


def test_presentations_are_sorted_by_a_parameter(ripples):
    side = np.where(np.arange(60) % 3, "left", "right")
    given = ripples.assign_coords(side=("presentation_id", side))
    upper, lower = na.plot.peri_event(given, 14, by="side").child_axes
    left = int((given["spike_data"].sel(unit_id=14).values[side == "left"] > 0).sum())
    colors = upper.collections[0].get_colors()
    assert (colors[:left] == colors[0]).all()
    assert (colors[left:] == colors[-1]).all()
    assert not (colors[0] == colors[-1]).all()
    assert [text.get_text() for text in lower.get_legend().get_texts()] == ["left", "right"]


def test_names_of_conditions_stand_beside_the_panels(ripples):
    given = ripples.assign_coords(side=("presentation_id", np.resize(["left", "right"], 60)))
    panels = na.plot.grid(na.psth(given, by="side"))
    figure = panels[14].figure
    (beside,) = figure.legends
    assert [text.get_text() for text in beside.get_texts()] == ["left", "right"]
    assert all(ax.get_legend() is None for ax in panels.values())
    figure.canvas.draw()
    right = max(ax.get_window_extent().x1 for ax in panels.values())
    assert beside.get_window_extent().x0 >= right


def test_presentations_count_in_whole_numbers(ripples):
    upper, _ = na.plot.peri_event(ripples.isel(presentation_id=slice(3)), 14).child_axes
    assert set(upper.get_yticks() % 1) == {0.0}


def test_eight_spectra_have_eight_colours():
    values = ("frequency", "channel"), np.ones((5, 8))
    spectra = xr.DataArray(values[1], {"frequency": np.arange(5.0)}, values[0])
    lines = na.plot.power(spectra).lines
    assert len({str(line.get_color()) for line in lines}) == 8


def test_one_unit_of_counts_around_presentations(ripples, adn):
    with pytest.raises(NotInTree, match="unit"):
        na.plot.peri_event(ripples)
    with pytest.raises(NotInTree, match="99"):
        na.plot.peri_event(ripples, 99)
    with pytest.raises(SchemaError, match="align"):
        na.plot.peri_event(adn, 0)


def test_what_was_aligned_to_is_what_the_axis_says(tree):
    ends = na.align(tree, "sleep_ripples", 0.02, (-0.1, 0.1), event="stop_time", series=[])
    ax = na.plot.psth(na.psth(ends[CA1]).sel(unit_id=14))
    assert ax.get_xlabel() == "time from stop (s)"


def test_a_panel_for_each_unit(ripples, adn):
    response = na.psth(ripples)
    panels = na.plot.grid(response)
    assert list(panels) == ripples["unit_id"].values.tolist()
    for unit, ax in panels.items():
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), response["mean"].sel(unit_id=unit))
    curves = na.tuning_curve(adn, "head_direction/ry")
    panels = na.plot.grid(curves)
    assert {ax.name for ax in panels.values()} == {"polar"}
    np.testing.assert_array_equal(panels[3].lines[0].get_ydata()[:-1], curves.sel(unit_id=3))
    few = [2, 3]  # panels take most of the time of this test
    panels = na.plot.grid(curves.sel(unit_id=few), polar=False)
    assert {ax.name for ax in panels.values()} == {"rectilinear"}
    maps = na.tuning_curve(adn, ["position/x", "position/z"], bins=5).sel(unit_id=few)
    panels = na.plot.grid(maps)
    shown = panels[3].collections[0].get_array()
    np.testing.assert_array_equal(np.ma.filled(shown, np.nan), maps.sel(unit_id=3).values.T)


def test_of_many_units_the_first_are_drawn_and_it_says_so(monkeypatch):
    monkeypatch.setattr("neuroarrays.plot.grids._PANELS", 4)
    mean = np.random.default_rng(0).random((1004, 5))
    coords = {"unit_id": np.arange(1004), "time": np.arange(5) - 2.0}
    response = xr.Dataset({n: (("unit_id", "time"), mean) for n in ("mean", "sem")}, coords)
    panels = na.plot.grid(response)
    assert len(panels) == 4
    assert panels[0].figure.get_suptitle() == "the first 4 of 1,004 units"
    with pytest.raises(SchemaError, match="unit_id"):
        na.plot.grid(response.isel(unit_id=0))
    with pytest.raises(SchemaError, match=r"na\.psth"):
        na.plot.grid(coords)


def test_a_matrix_of_correlograms(tree):
    answer = na.crosscorrelogram(tree[CA1]).sel(unit_id=[7, 9, 14], other_unit_id=[7, 9, 14])
    panels = na.plot.correlograms(answer)
    assert list(panels) == [(7, 7), (7, 9), (7, 14), (9, 9), (9, 14), (14, 14)]
    heights = [bar.get_height() for bar in panels[7, 14].patches]
    np.testing.assert_array_equal(heights, answer.sel(unit_id=7, other_unit_id=14))
    own = np.array([bar.get_height() for bar in panels[9, 9].patches])
    assert np.flatnonzero(np.isnan(own)).tolist() == [50]  # lag 0
    with pytest.raises(SchemaError, match="crosscorrelogram"):
        na.plot.correlograms(answer.isel(unit_id=0))


def test_what_was_decoded_and_what_it_was(adn):
    decoded = na.bayesian_decoder(adn, "head_direction/ry", bins=24)
    ax = na.plot.decoder(decoded, window=(700, 720))
    there = decoded.sel(time=slice(700, 720))
    points = next(line for line in ax.lines if line.get_label() == "decoded")
    np.testing.assert_array_equal(points.get_ydata(), there["ry_decoded"])
    line = next(line for line in ax.lines if line.get_label() == "true")
    drawn = line.get_ydata()
    np.testing.assert_array_equal(drawn[np.isfinite(drawn)], there["ry"])
    shares = ax.collections[0].get_array()
    assert shares.shape == (24, there.sizes["time"])
    assert float(np.nanmax(shares)) == 1
    plt.close("all")
    holed = decoded.isel(time=np.r_[0:50, 500:550])
    true = next(x for x in na.plot.decoder(holed).lines if x.get_label() == "true")
    at_hole = true.get_xdata() == holed["time"].values[50]
    assert np.isnan(true.get_ydata()[at_hole]).any()  # no line over time that was not decoded
    with pytest.raises(ValueError, match="from 10 to 20 s"):
        na.plot.decoder(decoded, window=(10, 20))
    with pytest.raises(SchemaError, match="one feature"):
        na.plot.decoder(decoded.drop_vars("ry_decoded"))


def test_a_row_for_each_session_and_a_colour_for_each_table(tree, ripples):
    ax = na.plot.timeline(tree)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["A2929-200711"]
    tables = ["epochs", "position_time_support", "sleep_ripples", "sleep_ripples_timesupport"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == tables
    ends = [box.vertices[:, 0].max() for box in ax.collections[0].get_paths()]
    session = tree["A2929-200711"]
    epochs = next(node for node in session.subtree if node.name == "epochs")
    assert max(ends) == epochs["stop_time"].values.max()
    with pytest.raises(SchemaError, match="recording"):
        na.plot.timeline(na.align(tree, "epochs", 1, (0, 10), series=[]))


def test_angles_are_drawn_around_their_mean(tree):
    ax = na.plot.behaviour(tree["A2929-200711"], window=(860, 870))
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    row = next(i for i, name in enumerate(names) if "head_direction/rz" in name)
    heights = ax.lines[row].get_ydata() - row
    # The head tilts little: a line that stays together, not two bands at 0 and 360 degrees.
    assert np.nanmax(np.abs(np.diff(heights))) < 0.6


@pytest.mark.parametrize(
    ("style", "drawn"), [("default", "black"), ("dark_background", "white")], ids=["light", "dark"]
)
def test_ticks_show_on_light_and_on_dark_ground(tree, ripples, style, drawn):
    with plt.style.context(style):
        raster = na.plot.raster(tree["A2929-200711/adn"], (900, 901), ax=plt.figure().gca())
        trials = na.plot.peri_event(ripples, unit=14, ax=plt.figure().gca())
    for ticks in (raster.collections[0], trials.child_axes[0].collections[0]):
        assert {mpl.colors.to_hex(color) for color in ticks.get_colors()} == {
            mpl.colors.to_hex(drawn)
        }


def test_a_raster_without_spikes_says_so_and_cuts_off_no_name(tree):
    figure = plt.figure()  # without a layout, as a user makes it
    ax = na.plot.raster(tree["A2929-200711/adn"], window=(5000, 5010))
    assert [text.get_text() for text in ax.texts] == ["no spike in this window"]
    assert figure.get_layout_engine() is not None
    plt.close(figure)
    figure, ax = plt.subplots(layout="none")
    na.plot.raster(tree["A2929-200711/adn"], window=(900, 901), ax=ax)
    assert not ax.texts
    assert figure.get_layout_engine() is None  # what has axes keeps its layout
    plt.close(figure)
