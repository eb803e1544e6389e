"""Synthetic retina files: opened by the reader they are for, seeded, with units that respond."""

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays import source
from neuroarrays.synthetic.retina import DELAY, WRITERS
from neuroarrays.testing import assert_same_trees

OPTIONS = {
    "openretina": {"test_names": "noise_0"},
    "maheswaranathan_2023": {"stimulus": "whitenoise", "response": "binned"},
    "karamanlis_2024": {"size": (12, 16)},
}


@pytest.mark.parametrize("layout", sorted(WRITERS))
def test_units_respond_to_what_their_field_sees(layout, tmp_path):
    folder = WRITERS[layout](tmp_path / "a")
    tree = na.open_datatree(folder, **OPTIONS[layout])
    assert tree.attrs["source"] == layout
    na.validate(tree, values=True)
    session = next(iter(tree["train"].children.values()))
    movie = session["stimulus"].values[:, 0].astype("f8")
    movie = (movie - movie.mean()) / movie.std()
    counts = session["retina/responses"].values
    late, early = movie[: -DELAY or None], movie[DELAY:]
    for unit in range(counts.shape[1]):
        spikes = counts[DELAY:, unit]
        triggered = np.tensordot(spikes, late, 1) / spikes.sum()
        assert np.abs(triggered).max() > 0.15, unit
        if layout != "karamanlis_2024":  # images stay for a while
            ahead = np.tensordot(counts[:-DELAY, unit], early, 1) / counts[:-DELAY, unit].sum()
            assert np.abs(triggered).max() > 1.5 * np.abs(ahead).max(), unit
    source.close_all()


@pytest.mark.parametrize("layout", sorted(WRITERS))
def test_seeds(layout, tmp_path):
    trees = [
        na.open_datatree(WRITERS[layout](tmp_path / name, seed=seed), **OPTIONS[layout])
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert_same_trees(trees[0], trees[1])
    with pytest.raises(AssertionError):
        assert_same_trees(trees[0], trees[2])
    source.close_all()


def test_receptive_fields_are_found_out_of_core(tmp_path):
    """The average reads the movie in blocks, peaks at the delay, and a picture can be made of it."""
    pytest.importorskip("matplotlib")
    folder = WRITERS["maheswaranathan_2023"](tmp_path, frames=6000)
    tree = na.open_datatree(folder, **OPTIONS["maheswaranathan_2023"])
    session = tree["train/15-10-07"]
    average = na.spike_triggered_average(session["retina"], session["stimulus"], lags=6)
    peaks = np.abs(average["z"]).max(["channel", "y", "x"]).argmax("lag")
    assert (peaks == DELAY).all()
    na.plot.receptive_field(average["z"].isel(unit_id=0))
    source.close_all()
