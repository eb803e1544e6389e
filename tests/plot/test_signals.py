"""Pictures of continuous signals show what they are given, scaled and named."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import SchemaError

plt = pytest.importorskip("matplotlib.pyplot", reason="the extra `plot` is not installed")


@pytest.fixture
def ax():
    _, ax = plt.subplots()
    yield ax
    ax.figure.canvas.draw()
    plt.close("all")


@pytest.fixture(scope="module")
def lfp():
    values = np.random.default_rng(0).normal(size=(500, 3)) * [1, 1, 4] + [0, 50, 0]
    labels = {"channel": [7, 8, 9], "area": ("channel", ["CA1", "$x$", "CA1"])}
    labels["rel_y"] = ("channel", [0.0, 20.0, 40.0])
    clock = {"time": np.arange(500) / 100}
    return xr.DataArray(values, clock | labels, ("time", "channel"), "lfp", {"units": "V"})


def test_traces_are_named_and_scaled_alike(ax, lfp):
    na.plot.traces(lfp, (1, 3), ax=ax)
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == ["7 CA1, 0 µm", r"8 \$x\$, 20 µm", "9 CA1, 40 µm"]
    lines = ax.lines[:3]
    shown = lfp.sel(time=slice(1, 3)).values
    step = (shown[:, 0] - np.median(shown[:, 0]))[5] / lines[0].get_ydata()[5]
    for row, line in enumerate(lines):
        found = (line.get_ydata() - row) * step
        np.testing.assert_allclose(found, shown[:, row] - np.median(shown[:, row]))
    assert lines[0].get_color() == lines[2].get_color() != lines[1].get_color()
    assert any(text.get_text() == f"{step:.2g} V" for text in ax.texts)


@pytest.mark.parametrize(("scale", "unit"), [(1000, " V"), (1e-4, " µV")], ids=["large", "small"])
def test_a_scale_bar_has_a_plain_number(ax, lfp, scale, unit):
    na.plot.traces(scale * lfp / lfp.std(), (1, 3), ax=ax)
    (label,) = (text.get_text() for text in ax.texts)
    assert label.removesuffix(unit).replace(",", "").isdecimal()


def test_traces_of_one_channel_constants_and_missing_samples(ax, lfp):
    na.plot.traces(lfp[:, 0], (1, 2), ax=ax)
    na.plot.traces(xr.full_like(lfp, 3.0), (1, 2), ax=ax)
    na.plot.traces(lfp.where(lfp["channel"] > 7), (1, 2), ax=ax)
    with pytest.raises(SchemaError, match="no sample from 70 to 80 s"):
        na.plot.traces(lfp, (70, 80), ax=ax)


def test_spectra_and_current_sources(ax, lfp):
    pytest.importorskip("scipy", reason="pip install 'neuroarrays[signals]' brings scipy")
    gram = na.spectrogram(lfp.sel(channel=9), 0.5)
    na.plot.spectrogram(gram, ax=ax)
    assert ax.collections[0].get_array().shape == gram.T.shape
    spectra = na.power(lfp, 1.0)
    _, lines = plt.subplots()
    na.plot.power(spectra, ax=lines)
    assert [line.get_label() for line in lines.lines][2] == "9 CA1, 40 µm"
    np.testing.assert_allclose(lines.lines[2].get_ydata(), spectra[1:, 2])
    na.plot.power(xr.concat([spectra] * 4, "channel"), ax=plt.subplots()[1])
    sources = na.event_triggered_average([1.0, 2.0], na.csd(lfp), (-0.1, 0.1))["mean"]
    _, probe = plt.subplots()
    na.plot.csd(sources, ax=probe)
    assert probe.get_ylabel() == "position (µm)"
    for wrong in (
        lambda: na.plot.spectrogram(spectra),
        lambda: na.plot.power(lfp),
        lambda: na.plot.csd(sources[:, 0]),
        lambda: na.plot.traces(lfp.T, (0, 1)),
        lambda: na.plot.traces("lfp.nwb", (0, 1)),
    ):
        with pytest.raises(SchemaError, match="expected"):
            wrong()


@pytest.mark.parametrize("units", [1, 3, 12])
def test_coherence_of_units_above_the_level(ax, lfp, units):
    pytest.importorskip("scipy", reason="pip install 'neuroarrays[signals]' brings scipy")
    times = np.sort(np.random.default_rng(0).uniform(lfp.time[0], lfp.time[-1], (units, 200)))
    columns = {
        "spike_times": ("spike", times.ravel()),
        "row_size": ("unit_id", np.append(np.full(units - 1, 200), 0 if units > 1 else 200)),
    }
    columns["spike_times"] = ("spike", times.ravel()[: columns["row_size"][1].sum()])
    follow = na.coherence(xr.Dataset(columns, {"unit_id": np.arange(units)}), lfp[:, 0], 0.5)
    na.plot.coherence(follow, ax=ax)
    *drawn, level = ax.lines
    assert len(drawn) == (units if units <= 8 else 1)
    assert level.get_ydata()[0] == follow["level"].item()
    if units == 3:
        np.testing.assert_array_equal(drawn[1].get_ydata(), follow["coherence"][1])
        assert drawn[1].get_label() == "1"
    with pytest.raises(SchemaError, match="expected"):
        na.plot.coherence(follow["coherence"], ax=ax)
    with pytest.raises(SchemaError, match="expected"):
        na.plot.coherence(follow.drop_vars("coherence"), ax=ax)


def test_phases_are_shares_over_two_turns(ax):
    angles = xr.DataArray([0.1, 0.2, 3.0, 6.2, np.nan], dims="spike", attrs={"period": 2 * np.pi})
    na.plot.phases(angles, bins=4, ax=ax)
    heights = [bar.get_height() for bar in ax.patches]
    assert heights == [0.5, 0.25, 0, 0.25] * 2
    for wrong in (angles.drop_attrs(), angles[4:]):
        with pytest.raises(SchemaError, match="expected phases"):
            na.plot.phases(wrong, ax=ax)
