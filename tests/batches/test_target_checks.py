"""Targets that are known nowhere, or the same everywhere, are said once; others cost nothing."""

import warnings

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import schema, synthetic
from neuroarrays.errors import SchemaError

ADN, ANGLE = "A2929-200711/adn", "head_direction/ry"


@pytest.fixture
def area():
    return synthetic.aligned_tree(1, areas=("VISp",), presentations=40)["session_0/VISp"]


def data(area, **options):
    return na.batches.TrialSamples(area, ["spike_data"], ["speed"], **options)


def test_one_value_is_warned_of_once(area):
    area["speed"][:] = 3
    samples = data(area)
    with pytest.warns(UserWarning, match="VISp: the target speed is 3 in all of 40 samples"):
        samples.batch([0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        samples.batch([2])
        na.batches.TrialSamples(area, ["speed"]).batch([0])  # an input may be anything


def test_a_target_that_is_known_late_is_no_mistake(area):
    area["speed"][:39] = np.nan
    samples = data(area)
    assert np.isnan(samples.batch([0])["speed"]).all()
    with pytest.raises(SchemaError, match="NaN in all of 39 samples"):
        data(area, rows=range(39)).batch([0])


def test_what_a_test_withholds_is_no_mistake(area):
    area["behavior_withheld"] = xr.DataArray(np.arange(40) < 20, dims=schema.PRESENTATION)
    assert np.isnan(data(area, rows=range(20)).batch([0])["speed"]).all()
    area["speed"][20:] = np.nan
    with pytest.raises(SchemaError, match="NaN in all of 20 samples"):
        data(area, rows=range(20, 40)).batch([0])


def test_only_the_first_batches_are_looked_at(area, monkeypatch):
    from neuroarrays.batches import target_checks

    looked = []
    original = target_checks._two_values
    monkeypatch.setattr(
        target_checks, "_two_values", lambda arrays: looked.append(1) or original(arrays)
    )
    samples = data(area)
    for i in range(0, 40, 8):
        samples.batch(range(i, i + 8))
    assert len(looked) == 1


@pytest.mark.parametrize("kind", ["clips", "windows", "tokens"])
def test_windows_of_a_clock(kind):
    tree = na.load_sample()
    tree["A2929-200711/head_direction"]["ry"][:] = np.nan
    span = {"window": (671.0, 690.0)}
    if kind == "clips":
        clock = na.align(tree, bin_width=0.1, **span)[ADN]
        samples = na.batches.ClipSamples(clock, ["spike_data"], 1.0, [ANGLE])
    elif kind == "windows":
        samples = na.batches.SpikeWindowSamples(tree[ADN], 1.0, series=[ANGLE], **span)
    else:
        samples = na.batches.SpikeEventSamples(tree[ADN], 1.0, targets=[ANGLE], **span)
    with pytest.raises(SchemaError, match=f"{ADN}: the target {ANGLE} is NaN in all of 19 samples"):
        samples.batch([0])
