"""Labels of units and presentations by the names that SENSORIUM's programs read."""

import pickle

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.synthetic.sensorium import StaticOptions, write_static


@pytest.fixture(scope="module", params=["frame_", "colorframeprojector_"])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("mouse") / "static27204-5-13-GrayImageNet-94c6ff"
    options = StaticOptions(train=5, validation=2, test=1, repeats=2, units=4, size=(3, 4))
    write_static(path, StaticOptions(**vars(options) | {"prefix": request.param}))
    return path


def stored(folder, part):
    return {file.stem: np.load(file) for file in (folder / "meta" / part).glob("*.npy")}


def test_every_file_is_read_by_its_name(folder):
    data = na.batches.TrialSamples(na.open_datatree(folder)["27204-5-13/V1"], ["responses"])
    neurons, trials = stored(folder, "neurons"), stored(folder, "trials")
    assert "cell_motor_coordinates" in neurons
    for name, column in neurons.items():
        np.testing.assert_array_equal(getattr(data.neurons, name), column)
        assert name in data.neurons.keys() & set(dir(data.neurons))
    for name, column in trials.items():
        if not name.endswith("trial_ts"):  # without the text around it
            np.testing.assert_array_equal(data.trial_info[name], column)
    np.testing.assert_array_equal(data.tiers, trials["tiers"])
    assert "image_id" in dir(data.trial_info)
    np.testing.assert_array_equal(data.neurons.motor_x, neurons["cell_motor_coordinates"][:, 0])


def test_they_are_those_of_the_samples(folder):
    area = na.open_datatree(folder)["27204-5-13/V1"]
    tiers = stored(folder, "trials")["tiers"]
    for tier in ("train", "test"):
        rows = np.flatnonzero(tiers == tier)[::-1]
        data = na.batches.TrialSamples(area, ["responses"], rows=rows)
        again = pickle.loads(pickle.dumps(data))
        for samples in (data, again):
            assert set(samples.tiers) == {tier}
            np.testing.assert_array_equal(
                samples.trial_info.image_id, area["image_id"].values[rows]
            )
    data = na.batches.TrialSamples(area, [], ["responses"])
    repeats = na.batches.RepeatSamples(data, np.zeros(len(data)))
    np.testing.assert_array_equal(repeats.neurons.unit_ids, data.neurons.unit_ids)
    one = area.isel(unit_id=[2, 0])
    data = na.batches.TrialSamples(one, ["responses"])
    np.testing.assert_array_equal(data.neurons.unit_ids, [3, 1])


def test_a_name_that_is_not_there(folder):
    data = na.batches.TrialSamples(na.open_datatree(folder)["27204-5-13/V1"], ["responses"])
    with pytest.raises(AttributeError, match="did you mean 'unit_ids'"):
        _ = data.neurons.unit_idx
    assert not hasattr(data.trial_info, "info")
    assert "layer" in data.neurons
    assert "tiers" not in data.neurons
