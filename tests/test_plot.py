"""Pictures show the data they are given, with units; at one unit and at a thousand."""

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import SchemaError
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


@pytest.mark.parametrize("units", [1, 7, 1000])
def test_tuning_curves_of_any_number(ax, units):
    found = curves(units)
    na.plot.tuning(found, ax=ax)
    assert len(ax.lines) == units
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), found.values[0])
    assert ax.get_xlabel() == "angle (degrees)"
    assert ax.get_ylabel() == "rate (spikes/s)"
    assert (ax.get_legend() is not None) == (units == 7)


def test_a_full_turn_is_a_full_turn_in_any_unit():
    _, ax = plt.subplots(subplot_kw={"projection": "polar"})
    na.plot.tuning(curves(2, period=360.0), ax=ax)
    np.testing.assert_allclose(ax.lines[0].get_xdata()[:3], np.radians([0, 30, 60]))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "90", "180", "270"]
    plt.close("all")


def test_tuning_to_text_and_with_errors(ax):
    found = curves(1, 3).assign_coords(angle=["left", "right", "up"])
    found = found.assign_coords(sem=(("unit_id", "angle"), found.values / 10))
    na.plot.tuning(found, ax=ax)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["left", "right", "up"]
    assert len(ax.collections) == 1


@pytest.mark.parametrize("conditions", [None, 2, 12])
def test_a_line_for_each_condition(ax, conditions):
    one = response(3, conditions).sel(unit_id=1)
    na.plot.psth(one, ax=ax)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), one["mean"].values.reshape(-1, 30)[0])
    shown = ax.get_legend().get_texts() if conditions else []
    assert len(shown) == (conditions or 0)
    assert len({line.get_color() if isinstance(line.get_color(), str) else tuple(line.get_color())
                for line in ax.lines[:-1]}) == (conditions or 1)  # fmt: skip


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


def test_a_map_shows_what_is_not_known_as_grey(ax, clock):
    maps = na.tuning_curve(clock[f"{SESSION}/ca1"], ["position/x", "position/z"], bins=(8, 9))
    na.plot.rate_map(maps.sel(unit_id=14), ax=ax)
    shown = ax.collections[0].get_array().reshape(9, 8)
    np.testing.assert_array_equal(np.ma.getmaskarray(shown), np.isnan(maps.sel(unit_id=14).T))
    assert ax.get_xlabel() == "x"
    with pytest.raises(ValueError, match="take .sel"):
        na.plot.rate_map(maps, ax=ax)
    with pytest.raises(ValueError, match="two make a na.plot.rate_map"):
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


def test_behaviour_has_a_row_for_each_signal(ax, tree):
    na.plot.behaviour(tree[SESSION], window=(700, 720), ax=ax)
    assert len(ax.lines) == 7
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert any(label.startswith("head_direction/ry (radian)") for label in labels)
    assert ax.get_xlim() == (700, 720)
    for row, line in enumerate(ax.lines):
        y = line.get_ydata()
        assert y.size == 0 or (np.nanmin(y) >= row and np.nanmax(y) <= row + 0.81)
    with pytest.raises(ValueError, match="no signal along time"):
        na.plot.behaviour(tree[f"{SESSION}/presentations"], ax=ax)


def test_a_raster_of_a_thousand_units(ax):
    times = np.tile(np.arange(10.0), 1000)
    spikes = xr.Dataset(
        {"spike_times": ("spike", times), "row_size": ("unit_id", np.full(1000, 10))},
        {"unit_id": np.arange(1000)},
    )
    spikes = na.select_units(spikes, "unit_id >= 0")
    na.plot.raster(spikes, (2.0, 5.0), ax=ax)
    assert ax.get_ylabel() == "units (1,000)"
    assert len(ax.collections) == 1000
    assert list(ax.get_yticks()) == []


def test_an_overview_shows_units_rates_and_times(tree, tmp_path):
    axes = na.plot.overview(tree)
    assert {t.get_text() for t in axes["units"].texts} == {"7", "8"}
    rates = np.concatenate([c.get_offsets()[:, 1] for c in axes["rates"].collections[::2]])
    sizes = [tree[f"{SESSION}/{a}/spikes"]["row_size"].values for a in ("adn", "ca1")]
    np.testing.assert_allclose(rates, np.concatenate(sizes) / 1200, rtol=0.01)
    labels = [t.get_text() for t in axes["timeline"].get_yticklabels()]
    assert "sleep_ripples (594)" in labels
    assert "head_direction" in labels
    write_nwb(tmp_path / "a.nwb")
    axes = na.plot.overview(na.open_datatree(tmp_path / "a.nwb"))
    axes["units"].figure.canvas.draw()
    with pytest.raises(SchemaError, match="this one is aligned"):
        na.plot.overview(na.align(tree, bin_width=1.0))
    plt.close("all")


def test_the_gallery_shows_every_picture():
    page = Path(__file__).parents[1] / "docs" / "gallery.md"
    cells = re.findall(r"^```\{code-cell\} python\n(.*?)^```$", page.read_text(), re.M | re.S)
    namespace = {}
    for cell in cells:
        exec(compile(cell, page.name, "exec"), namespace)
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    assert set(re.findall(r"na\.plot\.(\w+)", page.read_text())) == set(na.plot.__all__)
    plt.close("all")
