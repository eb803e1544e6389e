"""Pictures show the data they are given, with units; at one unit and at a thousand."""

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import NotInTree
from neuroarrays.synthetic import write_nwb

mpl = pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
mpl.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

SESSION = "A2929-200711"


@pytest.fixture
def ax():
    _, ax = plt.subplots()
    yield ax
    ax.figure.canvas.draw()  # whatever is wrong with it shows here
    plt.close("all")


@pytest.fixture(scope="module")
def tree():
    return na.load_sample()


@pytest.fixture(scope="module")
def clock(tree):
    return na.align(tree, bin_width=0.02, window=(671, 1199))


def curves(units, k=12, period=None):
    rates = np.random.default_rng(0).random((units, k)) * 10
    attrs = {"units": "degrees"} | ({"period": period} if period else {})
    return xr.DataArray(
        rates,
        {"unit_id": np.arange(units), "angle": ("angle", np.arange(k) * 30.0, attrs)},
        ("unit_id", "angle"),
    )


def response(units, conditions=None, bins=30):
    shape = (conditions or 1, units, bins)
    mean = np.random.default_rng(0).random(shape) * 10
    found = xr.Dataset(
        {
            "mean": (("image", "unit_id", "time"), mean),
            "sem": (("image", "unit_id", "time"), mean / 9),
        },
        {"unit_id": np.arange(units), "time": np.linspace(-0.1, 0.5, bins)},
    )
    return found if conditions else found.isel(image=0)


def test_orientations_of_directions_go_round_once():
    _, ax = plt.subplots(subplot_kw={"projection": "polar"})
    na.plot.tuning(curves(1, 12, 180.0), ax=ax)  # 0 to 330 degrees, of a period of 180
    np.testing.assert_allclose(ax.lines[0].get_xdata()[:-1], np.radians(np.arange(12) * 30))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0°", "90°", "180°", "270°"]
    plt.close("all")


def test_an_angle_without_a_period_has_the_turn_of_its_unit():
    of_degrees = curves(2, 12, None)
    ax = plt.subplots(subplot_kw={"projection": "polar"})[1]
    na.plot.tuning(of_degrees, ax=ax)
    np.testing.assert_allclose(ax.lines[0].get_xdata()[:-1], np.radians(np.arange(12) * 30))
    panels = na.plot.grid(
        of_degrees.assign_coords(angle=of_degrees.angle.assign_attrs(period=360.0)), polar=False
    )
    assert panels[0].figure.get_supxlabel() == "angle (degrees)"
    in_radians = ("angle", np.radians(of_degrees.angle.values), {"units": "rad"})
    ax = na.plot.tuning(of_degrees.assign_coords(angle=in_radians), ax=plt.subplots()[1])
    assert ax.get_xlabel() == "angle"
    assert {"0°", "90°"} <= {ax.xaxis.get_major_formatter()(x) for x in ax.get_xticks()}
    del of_degrees.angle.attrs["units"]
    with pytest.raises(ValueError, match="angle: polar axes need its full turn.*period=360"):
        na.plot.tuning(of_degrees, ax=plt.subplots(subplot_kw={"projection": "polar"})[1])
    plt.close("all")


def test_catalogs_of_recordings_count_their_tables():
    axes = na.plot.catalog(
        na.catalog(Path(na.__file__).parent / "demo" / "_sample" / "A2929-200711.nwb")
    )
    assert axes["units"].get_ylabel() == "1 session"
    tables = [t.get_text() for t in axes["presentations"].get_xticklabels()]
    assert tables == sorted(tables)
    shown = dict(zip(tables, axes["presentations"].images[0].get_array()[0], strict=True))
    assert shown["sleep_ripples"] == 594
    assert axes["units_total"].get_title() == "15 units, 2 areas"
    none = na.catalog(Path(na.__file__).parent / "demo" / "_sample" / "A2929-200711.nwb")
    axes = na.plot.catalog(none.drop(columns="presentations"))
    assert [t.get_text() for t in axes["presentations"].texts] == ["no presentations"]
    plt.close("all")


@pytest.mark.parametrize("units", [1, 7, 1000])
def test_tuning_curves_of_any_number(ax, units):
    found = curves(units)
    na.plot.tuning(found, ax=ax)
    assert len(ax.lines) == units + (units == 1000)  # of many also their mean
    if units == 1000:
        np.testing.assert_allclose(ax.lines[-1].get_ydata(), found.values.mean(axis=0))
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), found.values[0])
    assert ax.get_xlabel() == "angle (degrees)"
    assert ax.get_ylabel() == "rate (spikes/s)"
    legend = ax.get_legend()
    named = [text.get_text() for text in (legend.get_texts() if legend else ax.texts)]
    each = [f"unit {k}" for k in range(7)]
    assert named == {1: [], 7: each, 1000: ["mean of 1,000 units"]}[units]
    if units == 7:  # each name stands at the peak of its line, in its colour
        peaks = [found["angle"].values[i] for i in found.values.argmax(axis=1)]
        assert [text.xy[0] for text in ax.texts] == peaks
        assert [t.get_color() for t in ax.texts] == [line.get_color() for line in ax.lines]


def test_a_full_turn_is_a_full_turn_in_any_unit():
    _, ax = plt.subplots(subplot_kw={"projection": "polar"})
    na.plot.tuning(curves(2, period=360.0), ax=ax)
    np.testing.assert_allclose(ax.lines[0].get_xdata()[:3], np.radians([0, 30, 60]))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0°", "90°", "180°", "270°"]
    plt.close("all")


def test_signals_below_zero_are_not_turned_round():
    _, ax = plt.subplots(subplot_kw={"projection": "polar"})
    na.plot.tuning(curves(1, period=360.0) - 4, ax=ax)
    low = ax.lines[0].get_ydata().min()
    assert low < 0
    assert ax.get_ylim()[0] == ax.get_rmin() == low  # the middle; matplotlib mirrors what is less
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), 0)
    plt.close("all")


def test_tuning_to_text_and_with_errors(ax):
    found = curves(1, 3).assign_coords(angle=["left", "right", "up"])
    found = found.assign_coords(sem=(("unit_id", "angle"), found.values / 10))
    na.plot.tuning(found, ax=ax)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["left", "right", "up"]
    assert len(ax.collections) == 1


@pytest.mark.parametrize("conditions", [None, 2, 12])
def test_a_line_for_each_condition(ax, conditions):
    one = response(3, conditions).isel(unit_id=1)
    if conditions == 12:
        one = one.assign_coords(image=("image", np.arange(12.0), {"units": "Hz"}))
    na.plot.psth(one, ax=ax)
    assert len(ax.lines) == (conditions or 1) + 1  # and the onset
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), one["mean"].values.reshape(-1, 30)[0])
    if conditions == 12:  # more than a legend has room for: a scale
        assert ax.child_axes[0].get_ylabel() == "image (Hz)"
    else:
        shown = ax.get_legend().get_texts() if conditions else []
        assert [t.get_text() for t in shown] == [str(k) for k in range(conditions or 0)]
    with pytest.raises(ValueError, match=r"expected one unit.*na\.plot\.grid"):
        na.plot.psth(response(3, 2), ax=ax)
    with pytest.raises(ValueError, match=r"expected up to 8 units, found 9.*na\.plot\.grid"):
        na.plot.psth(response(9), ax=ax)
    two = response(1, 2).isel(unit_id=0).expand_dims(contrast=2)
    with pytest.raises(ValueError, match="expected one parameter.*contrast="):
        na.plot.psth(two, ax=ax)


@pytest.mark.parametrize("conditions", [8, 16])
def test_colours_of_angles_go_round(ax, conditions):
    turn = {"period": 360.0, "units": "degree"}
    one = response(1, conditions).isel(unit_id=0)
    angles = np.arange(conditions) * 360 / conditions
    na.plot.psth(one.assign_coords(image=("image", angles, turn)), ax=ax)
    colors = np.array([line.get_color() for line in ax.lines[:-1]])[:, :3]
    steps = np.linalg.norm(colors - np.roll(colors, 1, axis=0), axis=1)
    assert steps.max() < 3 * np.median(steps)  # also from the last to the first
    assert (colors.mean(axis=1) < 0.8).all()  # none is lost on white paper
    if conditions == 16:
        assert ax.child_axes[0].get_ylim() == (0, 360)


@pytest.mark.parametrize("units", [1, 1000])
def test_a_population_is_sorted(ax, units):
    found = response(units)
    na.plot.population(found, ax=ax)
    shown = ax.collections[0].get_array().reshape(units, 30)
    np.testing.assert_allclose(shown.max(axis=1), 1)
    assert (np.diff(shown.argmax(axis=1)) >= 0).all()
    by = np.random.default_rng(1).permutation(units)
    labelled = found["mean"].assign_coords(depth=("unit_id", by))
    na.plot.population(labelled, by="depth", ax=ax)
    shown = ax.collections[1].get_array().reshape(units, 30)
    lowest = found["mean"].values[np.argmin(by)]
    np.testing.assert_allclose(shown[0], lowest / lowest.max())
    with pytest.raises(ValueError, match="units along one other dimension"):
        na.plot.population(response(2, 2), ax=ax)
    assert ax.get_xlabel() == "time from onset (s)"
    with pytest.raises(NotInTree, match="did you mean 'depth'"):
        na.plot.population(labelled, by="deph", ax=ax)
    found["time"].attrs["units"] = "s"
    na.plot.population(found["mean"].rename("responses"), ax=ax)
    assert ax.get_xlabel() == "time (s)"


def test_a_map_shows_what_is_not_known_as_grey(ax, clock):
    maps = na.tuning_curve(clock[f"{SESSION}/ca1"], ["position/x", "position/z"], bins=(8, 9))
    na.plot.rate_map(maps.sel(unit_id=14), ax=ax)
    shown = ax.collections[0].get_array().reshape(9, 8)
    np.testing.assert_array_equal(np.ma.getmaskarray(shown), np.isnan(maps.sel(unit_id=14).T))
    assert ax.get_xlabel() == "position/x"  # as the user named it
    with pytest.raises(ValueError, match="take .sel"):
        na.plot.rate_map(maps, ax=ax)
    with pytest.raises(ValueError, match="plot two features with na.plot.rate_map"):
        na.plot.tuning(maps, ax=ax)


def test_lags_in_a_row_on_one_even_scale(ax):
    values = np.random.default_rng(0).normal(0, 1, (5, 1, 4, 6))
    average = xr.DataArray(
        values, {"lag": np.arange(5) * 0.02}, ("lag", "channel", "y", "x"), name="z"
    )
    na.plot.receptive_field(average, ax=ax)
    (image,) = ax.images
    assert image.get_clim() == (-np.abs(values).max(), np.abs(values).max())
    page = np.ma.filled(image.get_array(), np.nan)
    np.testing.assert_array_equal(page[:, 7:13], values[1, 0])
    assert np.isnan(page[:, 6]).all()
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "20", "40", "60", "80"]
    assert ax.get_xlabel() == "time before the response (ms)"
    frames = average.assign_coords(lag=("lag", np.arange(5), {"units": "1"}))
    na.plot.receptive_field(frames, ax=ax)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "1", "2", "3", "4"]
    assert ax.get_xlabel() == "frames before the response"
    with pytest.raises(ValueError, match="of one unit and channel"):
        na.plot.receptive_field(average.expand_dims(unit_id=[1, 2]), ax=ax)
    with pytest.raises(ValueError, match="expected frames along 'lag'"):
        na.plot.receptive_field(average.rename(lag="when"), ax=ax)


def test_frames_in_a_strip(ax):
    film = xr.DataArray(
        np.arange(40 * 6.0).reshape(40, 2, 3), {"time": np.arange(40) / 4}, ("time", "y", "x")
    )
    na.plot.stimulus(film, ax=ax)
    assert len(ax.get_xticks()) == 12
    assert ax.get_xlabel() == "time (s)"
    na.plot.stimulus(film[:1].rename(time="image_id"), ax=ax)
    assert ax.get_xlabel() == "image_id"
    na.plot.stimulus(film.drop_vars("time")[:3], ax=ax)
    assert ax.get_xlabel() == "frame"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "1", "2"]


def test_behaviour_has_a_row_for_each_signal(ax, tree):
    na.plot.behaviour(tree[SESSION], window=(850, 860), ax=ax)
    labels = [t.get_text() for t in ax.get_yticklabels()]
    # what was recorded during sleep only has no row
    assert [label.split("\n")[0] for label in labels] == [
        "position/z",
        "position/y",
        "position/x",
        "head_direction/rz (radian)",
        "head_direction/ry (radian)",
        "head_direction/rx (radian)",
    ]
    z = tree[f"{SESSION}/position"]["z"].sel(time=slice(850, 860)).values
    assert labels[0].split("\n")[1] == f"{z.min():.3g} to {z.max():.3g}"
    for row, line in enumerate(ax.lines):
        y = line.get_ydata()
        np.testing.assert_allclose([y.min(), y.max()], [row - 0.38, row + 0.38])
    with pytest.raises(ValueError, match="no signal along time"):
        na.plot.behaviour(tree[f"{SESSION}/presentations"], ax=ax)
    with pytest.raises(ValueError, match="has a value from 5000 to 6000 s"):
        na.plot.behaviour(tree[SESSION], window=(5000, 6000), ax=ax)


def test_of_many_signals_the_first_are_shown(ax, tree):
    position = tree[f"{SESSION}/position"].to_dataset()
    many = xr.DataTree(position.assign({f"more_{k}": position["x"] for k in range(20)}))
    na.plot.behaviour(many, window=(850, 860), ax=ax)
    assert len(ax.get_yticklabels()) == len(ax.lines) == 12
    assert ax.get_title(loc="left") == "12 of 23 signals"


def test_a_raster_of_a_thousand_units(ax):
    times = np.tile(np.arange(10.0), 1000)
    spikes = xr.Dataset(
        {"spike_times": ("spike", times), "row_size": ("unit_id", np.full(1000, 10))},
        {"unit_id": np.arange(1000)},
    )
    na.plot.raster(spikes, (2.0, 5.0), ax=ax)
    assert ax.get_ylabel() == "units (1,000)"
    (ticks,) = ax.collections
    places = np.array([segment.mean(axis=0) for segment in ticks.get_segments()])
    np.testing.assert_array_equal(places[:, 0], np.tile([2.0, 3.0, 4.0], 1000))
    np.testing.assert_array_equal(places[:, 1], np.repeat(np.arange(1000), 3))
    assert list(ax.get_yticks()) == []
    with pytest.raises(NotInTree, match="no unit 1000"):
        na.plot.raster(spikes, (2.0, 5.0), order=[3, 1000], ax=ax)


def test_an_overview_shows_units_rates_and_times(tree, tmp_path):
    axes = na.plot.overview(tree)
    assert {t.get_text() for t in axes["units"].texts} == {"7", "8"}
    rates = np.concatenate([c.get_offsets()[:, 1] for c in axes["rates"].collections[::2]])
    sizes = [tree[f"{SESSION}/{a}/spikes"]["row_size"].values for a in ("adn", "ca1")]
    np.testing.assert_allclose(rates, np.concatenate(sizes) / 1200, rtol=0.01)
    labels = [t.get_text() for t in axes["timeline"].get_yticklabels()]
    assert "sleep_ripples (594)" in labels
    assert "head_direction/ry" in labels
    silent = tree.copy()
    spikes = silent[f"{SESSION}/adn/spikes"].to_dataset().copy(deep=True)
    spikes = spikes.drop_indexes("unit_id").isel(spike=slice(int(spikes["row_size"][0]), None))
    spikes["row_size"][0] = 0
    silent[f"{SESSION}/adn/spikes"].dataset = spikes
    axes = na.plot.overview(silent)
    assert axes["rates"].collections[0].get_offsets()[0, 1] == 0
    assert axes["rates"].get_ylim()[0] == 0
    write_nwb(tmp_path / "a.nwb")
    axes = na.plot.overview(na.open_datatree(tmp_path / "a.nwb"))
    axes["units"].figure.canvas.draw()
    plt.close("all")


def test_an_overview_of_aligned_trees(tree):
    axes = na.plot.overview(na.align(tree, "sleep_ripples", 0.01, (-0.1, 0.2)))
    assert axes["rates"].get_ylabel() == "mean firing rate (spikes/s)"
    assert [t.get_text() for t in axes["timeline"].get_yticklabels()] == ["presentations (594)"]
    clock = na.align(tree, bin_width=0.1, window=(671, 1199))
    axes = na.plot.overview(clock)
    labels = [t.get_text() for t in axes["timeline"].get_yticklabels()]
    assert "head_direction/ry" in labels
    assert labels[0] == "clock (5,280 bins)"
    rates = axes["rates"].collections[0].get_offsets()[:, 1]
    # 20 stretches of 1,000 bins: here all
    np.testing.assert_allclose(rates, na.firing_rate(clock[f"{SESSION}/adn"]))
    responses = np.random.default_rng(0).normal(0, 1, (30, 4)).astype("f4")
    nodes = {
        f"/{block}/m{m}/V1": xr.Dataset(
            {"responses": (("presentation_id", "unit_id"), responses, {"units": "dF/F"})},
            {"presentation_id": np.arange(30), "unit_id": np.arange(4)},
        )
        for block in ("gratings", "scenes")
        for m in (1, 2)
    }
    made = xr.DataTree.from_dict(nodes)
    made.attrs["neuroarrays_schema"] = "aligned/1"
    axes = na.plot.overview(made)
    assert axes["rates"].get_ylabel() == "mean response (dF/F)"
    shown = axes["rates"].collections[0].get_offsets()[:, 1]
    np.testing.assert_allclose(
        shown, np.tile(responses.mean(axis=0), 2), rtol=1e-6
    )  # both sessions
    labels = {t.get_text() for t in axes["timeline"].get_yticklabels()}
    assert labels == {"gratings (30)", "scenes (30)"}
    assert axes["timeline"].get_xlabel() == "presentations, one after another"
    axes["units"].figure.canvas.draw()
    for node in made.subtree:
        if "responses" in node:
            node.dataset = node.to_dataset().rename(presentation_id="time").drop_vars("time")
    axes = na.plot.overview(made)  # frames: when they were is not known
    assert list(axes) == ["units", "rates"]
    plt.close("all")


def test_an_overview_has_no_empty_panels(tree):
    area = {f"/{SESSION}/adn/spikes": tree[f"{SESSION}/adn/spikes"].to_dataset()}
    behaviour = {f"/{SESSION}/position": tree[f"{SESSION}/position"].to_dataset()}
    for nodes, panels in (
        (area, ["units", "rates"]),
        (behaviour, ["timeline"]),
        (area | behaviour, ["units", "rates", "timeline"]),
        ({f"/{SESSION}": xr.Dataset()}, ["timeline"]),
    ):
        part = xr.DataTree.from_dict(nodes)
        part.attrs.update(tree.attrs)
        axes = na.plot.overview(part)
        assert list(axes) == panels
        assert axes[panels[0]].figure.get_size_inches()[1] < 3.5 + 2 * len(panels)
    assert axes["timeline"].texts[0].get_text().startswith("no signals")
    plt.close("all")


@pytest.mark.slow  # each picture has its own tests, and building the documentation draws the page
def test_the_gallery_shows_every_picture():
    page = Path(__file__).parents[2] / "docs" / "gallery.md"
    cells = re.findall(r"^```\{code-cell\} python\n(.*?)^```$", page.read_text(), re.M | re.S)
    namespace = {}
    for cell in cells:
        exec(compile(cell, page.name, "exec"), namespace)
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    assert set(re.findall(r"na\.plot\.(\w+)", page.read_text())) == set(na.plot.__all__)
    plt.close("all")


def test_rates_are_written_as_plain_numbers():
    spikes = xr.Dataset(
        {"spike_times": ("spike", np.linspace(0, 100, 130)), "row_size": ("unit_id", [30, 100])},
        {"unit_id": [0, 1]},
    )
    spikes.spike_times.attrs, spikes.row_size.attrs = {"units": "s"}, {"sample_dimension": "spike"}
    tree = xr.DataTree.from_dict(
        {"/": xr.Dataset(attrs={"neuroarrays_schema": "recording/1"}), "/s/V1/spikes": spikes}
    )
    axes = na.plot.overview(tree)
    (rates,) = [ax for ax in axes.values() if ax.get_yscale() == "log"]
    rates.figure.canvas.draw()
    texts = [text.get_text() for text in rates.get_yticklabels(which="both")]
    plt.close(rates.figure)
    assert {"0.3", "1"} <= set(texts)
    assert not [text for text in texts if "e" in text]
