"""Datasets of xarray where an area is expected, and all samples at once for an estimator."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import NothingLeft, NotInTree, SchemaError

N = 12


@pytest.fixture
def trials():
    rng = np.random.default_rng(0)
    along = "presentation_id"
    return xr.Dataset(
        {
            "spike_data": ((along, "unit_id", "time"), rng.poisson(1.0, (N, 3, 4))),
            "pupil": (along, rng.normal(size=N)),
            "speed": (along, rng.normal(size=N)),
        },
        {along: np.arange(100, 100 + N), "block_id": (along, np.arange(N) // 4)},
    )


def test_an_xarray_dataset_is_taken_for_an_area(trials):
    data = na.batches.TrialSamples(trials, ["spike_data"], ["speed"], labels=True)
    batch = data.batch([5, 0])
    np.testing.assert_array_equal(batch["spike_data"], trials["spike_data"].values[[5, 0]])
    assert (batch["session"], batch["area"]) == ("", "dataset")
    with pytest.raises(NotInTree, match=r"spike_dta.*spike_data.*dataset"):
        na.batches.TrialSamples(trials, ["spike_dta"])
    clock = xr.Dataset({"rate": ("time", np.arange(10.0))}, {"time": np.arange(10) * 0.5})
    clips = na.batches.ClipSamples(clock, ["rate"], 1.0)
    np.testing.assert_array_equal(clips[2]["rate"], [4.0, 5.0])


def test_x_y_and_groups_are_the_trees_values(trials):
    data = na.batches.TrialSamples(trials, ["spike_data", "pupil"], ["speed"], rows=[7, 2, 3])
    X, y, groups = na.batches.xy(data)
    assert X.shape == (3, 13)
    np.testing.assert_array_equal(
        X[:, :12].reshape(3, 3, 4), trials["spike_data"].values[[7, 2, 3]]
    )
    np.testing.assert_array_equal(y, trials["speed"].values[[7, 2, 3]].astype("f4"))
    assert groups.tolist() == [107, 102, 103]
    assert na.batches.xy(data, groups="block_id")[2].tolist() == [1, 0, 0]


def test_windows_of_one_stretch_are_one_group():
    clock = xr.Dataset(
        {"rate": ("time", np.arange(20.0)), "run": ("time", np.arange(20.0))},
        {"time": np.r_[np.arange(10), np.arange(20, 30)] * 1.0},
    )
    X, y, groups = na.batches.xy(na.batches.ClipSamples(clock, ["rate"], 4.0, ["run"], stride=3.0))
    assert (X.shape, y.shape) == ((6, 4), (6, 4))
    assert groups.tolist() == [0, 0, 0, 1, 1, 1]


def test_targets_that_are_not_known_are_left_out_and_said(trials):
    trials["speed"][3] = np.nan
    data = na.batches.TrialSamples(trials, ["spike_data"], ["speed"])
    with pytest.warns(UserWarning, match="1 of 12 samples left out, because their speed is NaN"):
        X, y, groups = na.batches.xy(data)
    assert len(X) == len(y) == len(groups) == 11
    assert 103 not in groups
    trials["gaze"] = trials["spike_data"][:, 0] / 1.0
    trials["gaze"][:, 0] = np.nan
    with pytest.raises(NothingLeft, match="gaze has a NaN in each of 12 samples"):
        na.batches.xy(na.batches.TrialSamples(trials, ["spike_data"], ["gaze"]))
    trials["speed"][:] = np.nan
    with pytest.raises(SchemaError, match="speed is NaN in all of 12 samples"):
        na.batches.xy(na.batches.TrialSamples(trials, ["spike_data"], ["speed"]))


def test_what_an_estimator_cannot_take_is_named(trials):
    make = na.batches.TrialSamples
    with pytest.raises(SchemaError, match=r"2 targets \['pupil', 'speed'\]: choose one"):
        na.batches.xy(make(trials, ["spike_data"], ["speed", "pupil"]))
    with pytest.raises(NotInTree, match="sped"):
        na.batches.xy(make(trials, ["spike_data"], ["speed"]), "sped")
    with pytest.raises(SchemaError, match="the dataset has targets but no inputs"):
        na.batches.xy(make(trials, [], ["speed"]))
    with pytest.raises(NotInTree, match="blok"):
        na.batches.xy(make(trials, ["spike_data"], ["speed"]), groups="blok")
    with pytest.raises(TypeError, match="expected a dataset"):
        na.batches.xy(trials)


def test_texts_are_encoded_on_request_and_the_labels_are_kept(trials):
    words = np.array(["right", "left", ""] * 4, object)
    trials["instruction"] = ("presentation_id", words)

    def loader(labels):
        data = na.batches.TrialSamples(
            trials, ["pupil"], ["instruction"], encode={"instruction": labels}
        )
        return na.batches.NumpyLoader(data, na.batches.Batches(N, 6))

    first = loader(["left", "right"])
    batch = next(iter(first))["instruction"]
    assert (batch.dtype, batch.tolist()) == (np.int64, [1, 0, -1] * 2)
    labels = {"instruction": ["left", "right"]}
    assert first.dataset.encodings == labels
    state = first.state_dict()
    assert {"epoch": 0, "batch": 1, "encodings": labels}.items() <= state.items()
    loader(["left", "right"]).load_state_dict(state)
    by_appearance = loader(True)
    assert by_appearance.dataset.encodings == {"instruction": ["right", "left"]}
    with pytest.raises(ValueError, match="the state is of encodings"):
        by_appearance.load_state_dict(state)
    run = na.batches.cycle({"a": by_appearance})
    assert run.state_dict()["encodings"] == {"a": {"instruction": ["right", "left"]}}
    with pytest.raises(NotInTree, match="right"):
        loader(["left"])
    with pytest.raises(ValueError, match="a list of different labels"):
        loader(["left", "left", "right"])
    with pytest.raises(NotInTree, match="instr.*name it in inputs= or targets= as well"):
        na.batches.TrialSamples(trials, ["pupil"], encode={"instr": True})
    one, other = by_appearance.dataset, first.dataset
    assert na.batches.StackedSamples([one, one]).encodings == one.encodings
    with pytest.raises(SchemaError, match=r"encode=\{'instruction': \['right', 'left'\]\}"):
        na.batches.StackedSamples([one, other])


def own_rows():
    columns = {"x": [1.0, 2, 3, 4], "y": [1.0, 1, 0, 0], "day": list("aabb")}
    return xr.Dataset({name: ("presentation_id", values) for name, values in columns.items()})


def test_groups_of_a_dataset_of_ones_own_are_its_columns():
    samples = na.batches.TrialSamples(own_rows(), ["x"], ["y"], rows=[3, 0])
    _, _, groups = na.batches.xy(samples, groups="day")
    assert groups.tolist() == ["b", "a"]


def test_what_cannot_be_normalised_is_named():
    samples = na.batches.TrialSamples(own_rows(), ["x"])
    with pytest.raises(ValueError, match="expected a list of variables, got the text 'x'"):
        na.batches.Scaling.fit(samples, "x")
    with pytest.raises(na.NotInTree, match="no variable 'speed' in dataset; there are 'x'"):
        na.batches.Scaling.fit(samples, ["speed"])
