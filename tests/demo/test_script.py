"""The demo runs, decodes better than chance, and draws what it says; plots draw the data."""

import matplotlib as mpl
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.demo import script as demo

mpl.use("Agg")


def test_the_demo_does_the_main_job(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="the extra `torch` is not installed")
    pytest.importorskip("zarr", reason="the extra `zarr` is not installed")
    monkeypatch.setattr(demo, "SECONDS_OF_TRAINING", 600.0)
    monkeypatch.setattr(demo, "EPOCHS", 2)
    lines = []
    written = demo.main(tmp_path / "out", say=lines.append)
    assert [p.name for p in written][-1] == "figure.png"
    assert all(p.exists() for p in written)
    text = "\n".join(lines)
    assert text.count("identical after reopening") == 4
    error, chance = (
        float(w)
        for w in text.split("held-out error ")[1].replace(",", "").split()
        if w.replace(".", "").isdigit()
    )
    assert error < 0.7 * chance
    assert lines[-1].strip() == str(written[-1])
    monkeypatch.setattr(demo, "decode", lambda archive, say: (1.0, 2.0))
    monkeypatch.setattr(demo, "draw", lambda *trees_and_path: None)
    assert demo.main(tmp_path / "out", say=lines.append) == written  # it may be run again


def test_the_chance_level_is_that_of_the_best_constant():
    truth = np.array([0.1, 0.1, 0.1, 3.0])
    assert demo._error(np.zeros(4), truth) == pytest.approx(np.degrees(0.1))


def test_a_raster_shows_each_spike_of_the_window():
    from matplotlib import pyplot as plt

    spikes = na.load_sample()["A2929-200711/adn/spikes"]
    _, ax = plt.subplots()
    na.plot.raster(spikes, (800.0, 805.0), order=[3, 0], ax=ax)
    train = spikes.to_dataset().sel(unit_id=3)["spike_times"].values
    ticks = [segment.mean(axis=0) for segment in ax.collections[0].get_segments()]
    shown = [x for x, row in ticks if row == 0]
    np.testing.assert_array_equal(sorted(shown), train[(train >= 800) & (train < 805)])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["3", "0"]
    plt.close()


def test_a_psth_shows_mean_and_error_with_units():
    from matplotlib import pyplot as plt

    aligned = na.align(na.load_sample(), "sleep_ripples", 0.01, (-0.1, 0.1), clip=False)
    response = na.psth(aligned["A2929-200711/ca1"])
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match=r"expected one parameter"):
        na.plot.psth(response.isel(unit_id=0).expand_dims(a=2, b=2), ax=ax)
    na.plot.psth(response.sel(unit_id=14), ax=ax)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), response["mean"].sel(unit_id=14))
    assert "spikes/s" in ax.get_ylabel()
    plt.close()


def test_polar_tuning_curves_are_closed():
    from matplotlib import pyplot as plt

    clock = na.align(na.load_sample(), bin_width=0.02)
    curves = na.tuning_curve(clock["A2929-200711/adn"], "head_direction/ry", bins=12)
    _, ax = plt.subplots(subplot_kw={"projection": "polar"})
    na.plot.tuning(curves.sel(unit_id=[0]), ax=ax)
    x, y = ax.lines[0].get_data()
    assert len(x) == 13
    assert (x[0], y[0]) == (x[-1], y[-1])
    plt.close()
