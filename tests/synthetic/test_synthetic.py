"""Generated retina files: units see what their receptive field holds; averages find the fields."""

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays import synthetic
from neuroarrays.analysis import receptive
from neuroarrays.synthetic.cells import DELAY
from neuroarrays.testing.sources import close_all

#: Layout -> options under which the responses are spikes or events on the movie's clock.
OPTIONS = {
    "openretina": {"test_names": "random_noise_0"},
    "maheswaranathan": {"stimulus": "whitenoise", "response": "binned"},
    "karamanlis": {"size": (12, 16)},
    "hoefling": {"units": "all"},
}
#: Sizes of files that would be large.
SMALL = {"openretina": {"colors": 1, "stimuli": 3, "clips": 24, "clip_length": 25}}


def opened(layout, folder, **options):
    sizes = SMALL.get(layout, {}) | options
    path = getattr(synthetic, f"write_{layout}")(folder, **sizes)
    return na.open_datatree(path, **OPTIONS[layout])


def test_every_name_is_there():
    assert all(callable(getattr(synthetic, name)) for name in synthetic.__all__)
    with pytest.raises(AttributeError, match="no attribute 'write_everything'"):
        _ = synthetic.write_everything


@pytest.mark.parametrize("layout", sorted(OPTIONS))
def test_units_respond_to_what_their_field_sees(layout, tmp_path):
    session = next(iter(opened(layout, tmp_path)["train"].children.values()))
    movie = session["stimulus"].values[:, 0].astype("f8")
    movie = (movie - movie.mean()) / movie.std()
    counts = session["retina/responses"].values
    late, early = movie[: -DELAY or None], movie[DELAY:]
    for unit in range(counts.shape[1]):
        spikes = counts[DELAY:, unit]
        triggered = np.tensordot(spikes, late, 1) / spikes.sum()
        assert np.abs(triggered).max() > 0.15, unit
        if layout not in ("karamanlis", "hoefling"):  # pictures stay for a while
            ahead = np.tensordot(counts[:-DELAY, unit], early, 1) / counts[:-DELAY, unit].sum()
            assert np.abs(triggered).max() > 1.5 * np.abs(ahead).max(), unit
    close_all()


@pytest.mark.parametrize("layout", sorted(OPTIONS))
def test_receptive_fields_are_found_out_of_core(layout, tmp_path, monkeypatch):
    """The movie is read in blocks, and the field found is the one that made the spikes."""
    monkeypatch.setattr(receptive, "_BLOCK", 1 << 18)
    session = next(iter(opened(layout, tmp_path)["train"].children.values()))
    shape = session["stimulus"].shape
    average = na.spike_triggered_average(session["retina"], session["stimulus"], lags=4)
    assert average["z"].shape == (session["retina"].sizes["unit_id"], 4, *shape[1:])
    seen = {"openretina": 0, "maheswaranathan": 9, "karamanlis": 9, "hoefling": 9}[layout]
    height, width = shape[2:]
    centres = np.random.default_rng([0, seen]).uniform(0.2, 0.8, (len(average["z"]), 2))
    found = np.abs(average["z"].values[:, DELAY, 0]).reshape(len(centres), -1).argmax(axis=1)
    away = np.stack(np.unravel_index(found, (height, width)), 1) - centres * (height, width)
    assert np.median(np.abs(away)) < 1.5
    close_all()


def test_a_field_as_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    session = opened("maheswaranathan", tmp_path, frames=6000)["train/15-10-07"]
    average = na.spike_triggered_average(session["retina"], session["stimulus"], lags=6)
    peaks = np.abs(average["z"]).max(["channel", "y", "x"]).argmax("lag")
    assert (peaks == DELAY).all()
    na.plot.receptive_field(average["z"].isel(unit_id=0))
    close_all()


def test_an_animal_in_a_task_licks_for_rewards(tmp_path):
    truth = synthetic.write_nwb(tmp_path / "a.nwb", task=True, trials=20, duration=60.0, units=3)
    rewards = truth["trials"]["reward_time"]
    rewards = rewards[np.isfinite(rewards)]
    assert rewards.size == 10
    late = truth["licks"][:, None] - rewards
    follow = ((late > 0) & (late < 2)).any(axis=1)
    assert follow.mean() > 0.8
    tree = na.open_datatree(tmp_path / "a.nwb")
    around = na.align(tree, "trials", 0.1, (-0.6, 0.6), event="reward_time", clip=False)
    assert around["a/VISp/valid"].any("time").sum() == 10  # the others had no reward
    responds = na.psth(around["a/VISp"])["mean"].sel(unit_id=30)  # to licks
    assert responds.sel(time=slice(0.3, 0.6)).mean() > 2 * responds.sel(time=slice(-0.6, 0)).mean()
    power = na.power(tree["a/ElectricalSeries/ElectricalSeries"])
    assert (power.sel(frequency=slice(4, None)).idxmax("frequency") == 8).all()
    close_all()
