"""Spike-triggered averages against a slow reference, and against a truth that was put in."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.analysis import receptive
from neuroarrays.errors import NotInTree, SchemaError

N, LAGS = 4000, 5


@pytest.fixture(scope="module")
def noise():
    """Unit 0 sees pixel (2, 3) two frames ago, unit 1 nothing, unit 2 never fires."""
    random = np.random.default_rng(0)
    film = random.integers(0, 256, (N, 1, 6, 5)).astype(np.uint8)
    time = (np.arange(N) + 0.5) / 60
    drive = np.zeros(N)
    drive[2:] = film[:-2, 0, 2, 3] / 255
    counts = random.poisson(np.stack([drive, np.full(N, 0.5), np.zeros(N)], 1)).astype(np.uint8)
    clock = {"time": ("time", time, {"units": "s", "bin_width": 1 / 60})}
    area = xr.Dataset({"spike_data": (("time", "unit_id"), counts)}, clock | {"unit_id": [5, 2, 9]})
    stimulus = xr.DataArray(
        film, clock | {"y": np.arange(6.0)}, ("time", "channel", "y", "x"), attrs={"units": "cd/m2"}
    )
    return area, stimulus


def slow(counts, film, good, lags):
    average = np.full((counts.shape[1], lags, *film.shape[1:]), np.nan)
    z = average.copy()
    times = [t for t in range(lags - 1, len(counts)) if good[t]]
    film = film.astype(float)
    spread = film.std(axis=0)
    for unit, lag in np.ndindex(counts.shape[1], lags):
        r = counts[times, unit].astype(float)
        before = film[np.array(times) - lag]
        if r.sum():
            mean = np.tensordot(r, before, 1) / r.sum()
            average[unit, lag] = mean - before.mean(axis=0)
            total = np.tensordot(r - r.mean(), before, 1)
            z[unit, lag] = total / (spread * np.sqrt(((r - r.mean()) ** 2).sum()))
    return average, z


@pytest.mark.parametrize("masked", [False, True])
def test_averages_equal_a_slow_reference(noise, masked, monkeypatch):
    monkeypatch.setattr(receptive, "_BLOCK", 30 * 4 * 333)  # several blocks
    area, stimulus = noise
    good = np.ones(N, bool)
    if masked:
        good = np.random.default_rng(1).random(N) < 0.95
        area = area.assign(valid=("time", good))
        good = np.array([good[max(t - LAGS + 1, 0) : t + 1].all() for t in range(N)])
    found = na.spike_triggered_average(area, stimulus, lags=LAGS)
    average, z = slow(area["spike_data"].values, stimulus.values, good, LAGS)
    np.testing.assert_allclose(found["average"], average, atol=1e-4)
    np.testing.assert_allclose(found["z"], z, atol=1e-4)
    assert found["average"].dims == ("unit_id", "lag", "channel", "y", "x")
    assert found["average"].attrs["units"] == "cd/m2"
    np.testing.assert_allclose(found["lag"], np.arange(LAGS) / 60)
    assert found["lag"].attrs["units"] == "s"
    np.testing.assert_array_equal(found["y"], np.arange(6))


def test_the_pixel_that_was_seen_stands_out_and_nothing_else(noise):
    found = na.spike_triggered_average(*noise, lags=LAGS)["z"]
    seen = found.sel(unit_id=5)
    assert np.unravel_index(int(seen.values.argmax()), seen.shape) == (2, 0, 2, 3)
    assert seen.max() > 10
    others = np.append(
        np.delete(seen.values.ravel(), int(seen.values.argmax())), found.sel(unit_id=2)
    )
    assert 0.8 < others.std() < 1.2
    assert np.abs(others).max() < 4.5
    assert np.isnan(found.sel(unit_id=9)).all()


def test_responses_that_are_missing_are_left_out(noise):
    area, stimulus = noise
    rates = area["spike_data"].astype(float) * 0.5
    gaps = rates.where(np.random.default_rng(2).random(rates.shape) < 0.9)
    found = na.spike_triggered_average(xr.Dataset({"responses": gaps}), stimulus, lags=3)
    good = np.isfinite(gaps.values[:, 0])
    _, z = slow(rates.values[:, :1], stimulus.values, good, 3)
    np.testing.assert_allclose(found["z"][0], z[0], atol=1e-4)
    # half the stimulus before responses above the mean, minus that before those below
    times = np.flatnonzero(good)[np.flatnonzero(good) >= 2]
    away = rates.values[times, 0] - rates.values[times, 0].mean()
    for lag in range(3):
        film = stimulus.values[times - lag].astype(float)
        up, down = (np.average(film, 0, np.maximum(sign * away, 0)) for sign in (1, -1))
        np.testing.assert_allclose(found["average"][0, lag], (up - down) / 2, atol=1e-4)
    assert float(found["total"][0]) == pytest.approx(np.abs(away).sum())


def test_the_stimulus_of_the_session_is_found_and_read_in_blocks(noise, monkeypatch):
    area, stimulus = noise
    session = stimulus.to_dataset(name="stimulus")
    nodes = {"/": xr.Dataset(), "/s": session, "/s/V1": area.drop_vars("time")}
    tree = xr.DataTree.from_dict(nodes)
    found = na.spike_triggered_average(tree["s/V1"], lags=2)
    xr.testing.assert_allclose(found, na.spike_triggered_average(area, stimulus, lags=2))


def test_without_a_clock_lags_are_frames(noise):
    area, stimulus = (part.drop_vars("time") for part in noise)
    found = na.spike_triggered_average(area, stimulus, lags=3)
    np.testing.assert_allclose(found["z"], na.spike_triggered_average(*noise, lags=3)["z"])
    assert found["lag"].values.tolist() == [0, 1, 2]
    assert found["lag"].attrs == {"units": "1", "long_name": "frames before the response"}


@pytest.mark.parametrize("where", ["area", "session", "hole", "back"])
def test_no_frame_of_the_stretch_before_counts(noise, where):
    area, stimulus = noise
    block = np.repeat([4, 7, 4, 1], N // 4)
    good = np.ones(N, bool)
    good[(np.arange(N) % (N // 4)) < LAGS - 1] = False
    if where == "area":
        area = area.assign_coords(block_id=("time", block))
    elif where == "session":
        session = xr.Dataset(coords={"time": area.time, "block_id": ("time", block)})
        area = xr.DataTree.from_dict({"/s": session, "/s/a": area.drop_vars("time")})["s/a"]
    else:
        away = np.arange(N) // (N // 4) * (90.0 if where == "hole" else -200.0)
        area, stimulus = (
            part.assign_coords(time=part.time.copy(data=part.time + away)) for part in noise
        )
    found = na.spike_triggered_average(area, stimulus, LAGS)
    average, z = slow(noise[0]["spike_data"].values, stimulus.values, good, LAGS)
    np.testing.assert_allclose(found["average"], average, atol=1e-4)
    np.testing.assert_allclose(found["z"], z, atol=1e-4)


def test_lags_longer_than_any_stretch_are_refused(noise):
    area, stimulus = noise
    area = area.assign_coords(block_id=("time", np.arange(N) // 3))
    with pytest.raises(ValueError, match="lags=4: no response that counts has that many frames"):
        na.spike_triggered_average(area, stimulus, 4)


def test_flashed_images_have_one_lag(noise):
    area, stimulus = (part.drop_vars("time").rename(time="presentation_id") for part in noise)
    found = na.spike_triggered_average(area, stimulus, lags=1)
    np.testing.assert_allclose(found["z"], na.spike_triggered_average(*noise, lags=1)["z"])
    numbered = [part.assign_coords(presentation_id=np.arange(N)) for part in (area, stimulus)]
    xr.testing.assert_identical(na.spike_triggered_average(*numbered, lags=1), found)
    with pytest.raises(
        ValueError, match="lags=20: flashed images have no earlier frames; give lags=1"
    ):
        na.spike_triggered_average(area, stimulus)


def test_what_has_no_average_says_why(noise):
    area, stimulus = noise
    with pytest.raises(NotInTree, match="no variable of the session 'stimulus'.*give stimulus="):
        na.spike_triggered_average(area)
    late = stimulus.assign_coords(time=stimulus["time"] + 1.0)
    with pytest.raises(SchemaError, match="is on another clock than the responses"):
        na.spike_triggered_average(area, late)
    with pytest.raises(SchemaError, match="is on another clock"):
        na.spike_triggered_average(area, stimulus[:-1])
    with pytest.raises(ValueError, match="lags=0: expected 1 to 4,000"):
        na.spike_triggered_average(area, stimulus, lags=0)
    with pytest.raises(SchemaError, match="on one clock, found"):
        na.spike_triggered_average(area.isel(time=0), stimulus)
