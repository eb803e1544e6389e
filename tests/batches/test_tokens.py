"""Windows of raw spikes as tokens: values, layouts, vocabularies, several recordings in a batch."""

import pickle

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.batches import SpikeEventSamples, StackedSamples, Vocabulary
from neuroarrays.errors import NotInTree, SchemaError

ADN, CA1 = "A2929-200711/adn", "A2929-200711/ca1"
TARGET = "head_direction/ry"


@pytest.fixture(scope="module")
def tree():
    return na.load_sample()


@pytest.fixture(scope="module")
def words(tree):
    return Vocabulary.of(tree)


@pytest.fixture
def made(tree, words):
    def make(path=ADN, length=1.0, **options):
        chosen = {"window": (671.0, 700.0), "targets": [TARGET], "vocabulary": words} | options
        return SpikeEventSamples(tree[path], length, **chosen)

    return make


def spikes_of(tree, path, start, length=1.0):
    """Times and positions of the spikes of a window, with numpy alone."""
    node = tree[path]["spikes"]
    units = np.repeat(np.arange(node.sizes["unit_id"]), node["row_size"].values)
    times = node["spike_times"].values
    inside = np.flatnonzero((times >= start) & (times < start + length))
    order = inside[np.lexsort((units[inside], times[inside]))]
    return (times[order] - start).astype("f4"), units[order]


def test_padded_windows_are_the_spikes_of_the_recording(tree, made, words):
    data = made(labels=True)
    batch = data.batch([5, 0, -1])
    assert batch["spike_times"].dtype == np.float32
    assert batch["unit_index"].dtype == np.int32
    assert batch["spike_times"].shape[1] % 8 == 0
    numbers = [words.units.index(f"{ADN}/{unit}") + 1 for unit in batch["unit_id"].tolist()]
    for i, start in enumerate(batch["time"]):
        times, units = spikes_of(tree, ADN, start)
        known = batch["token_mask"][i]
        assert known.sum() == times.size == known[: times.size].sum()
        np.testing.assert_array_equal(batch["spike_times"][i][known], times)
        np.testing.assert_array_equal(batch["unit_index"][i][known], np.array(numbers)[units])
        assert not batch["spike_times"][i][~known].any()
        assert not batch["unit_index"][i][~known].any()
    again = pickle.loads(pickle.dumps(data)).batch([5, 0, -1])
    np.testing.assert_array_equal(again["spike_times"], batch["spike_times"])
    assert batch["session_index"].tolist() == [1, 1, 1]
    assert batch["subject_index"].tolist() == [0, 0, 0]  # the file names none
    assert (batch["session"], batch["area"]) == ("A2929-200711", "adn")


def test_targets_are_pairs_at_their_own_stamps(tree, made):
    signal = tree["A2929-200711/head_direction"]
    stamps, values = signal["time"].values, signal["ry"].values
    padded, flat = made().batch([3, 8]), made(ragged=True).batch([3, 8])
    for i, start in enumerate(padded["time"]):
        inside = (stamps >= start) & (stamps < start + 1.0)
        n = inside.sum()
        assert n in (59, 60, 61)
        np.testing.assert_array_equal(padded[TARGET][i, :n], values[inside].astype("f4"))
        times = (stamps[inside] - start).astype("f4")
        np.testing.assert_array_equal(padded[f"{TARGET}_times"][i, :n], times)
        assert padded[f"{TARGET}_mask"][i].tolist() == [True] * n + [False] * (64 - n)
        assert np.isnan(padded[TARGET][i, n:]).all()
        part = slice(*flat[f"{TARGET}_offsets"][i : i + 2])
        np.testing.assert_array_equal(flat[f"{TARGET}_times"][part], times)
        np.testing.assert_array_equal(flat[TARGET][part], values[inside].astype("f4"))


def test_ragged_windows_stand_one_after_another_and_come_apart(tree, made):
    data = made(ragged=True, unit_tokens=True)
    batch, n_units = data.batch([5, 0]), 7
    assert batch["token_offsets"].tolist()[0] == 0
    for i, start in enumerate(batch["time"]):
        times, units = spikes_of(tree, ADN, start)
        part = slice(*batch["token_offsets"][i : i + 2])
        kinds = batch["token_type"][part]
        assert kinds.tolist() == [1, 2] * n_units + [0] * times.size
        np.testing.assert_array_equal(batch["spike_times"][part][kinds == 0], times)
        np.testing.assert_array_equal(batch["spike_times"][part][kinds == 2], 1.0)
        units = np.concatenate([np.repeat(np.arange(n_units), 2), units])
        np.testing.assert_array_equal(batch["unit_index"][part], data.unit_index[units])
        sample = data[[5, 0][i]]
        assert "token_offsets" not in sample
        np.testing.assert_array_equal(sample["spike_times"], batch["spike_times"][part])


def test_latents_are_a_grid_of_steps(made):
    batch = made(latents=(0.25, 3)).batch([0, 1])
    assert batch["latent_index"].tolist() == [[0, 1, 2] * 4] * 2
    assert (
        batch["latent_times"][1].tolist() == [0.125] * 3 + [0.375] * 3 + [0.625] * 3 + [0.875] * 3
    )
    with pytest.raises(ValueError, match=r"latents: expected the step in s and a number"):
        made(latents=0.25)


def test_recordings_are_mixed_in_one_batch(made):
    parts = [made(), made(CA1)]
    stack = StackedSamples(parts)
    batch = stack.batch([30, 2, 29])
    alone = [parts[1].batch([1]), parts[0].batch([2]), parts[1].batch([0])]
    for i, want in enumerate(alone):
        for name in ("spike_times", "unit_index", TARGET):
            mask = "token_mask" if name != TARGET else f"{TARGET}_mask"
            np.testing.assert_array_equal(
                batch[name][i][batch[mask][i]], want[name][0][want[mask][0]]
            )
    ragged = StackedSamples([made(ragged=True), made(CA1, ragged=True)])
    sample, flat = ragged[30], ragged.batch([2, 30])
    part = slice(*flat["token_offsets"][1:3])
    np.testing.assert_array_equal(flat["unit_index"][part], sample["unit_index"])
    np.testing.assert_array_equal(
        sample["spike_times"], parts[1][1]["spike_times"][: part.stop - part.start]
    )


def test_windows_of_one_batch_are_alike(tree, made):
    for change, match in (
        ({"vocabulary": None}, "have vocabularies of their own: give all of them one"),
        ({"targets": []}, "ca1 has no target 'head_direction/ry', which A2929-200711/adn has"),
        ({"length": 2.0}, "length is 1.0 in A2929-200711/adn, 2.0 in A2929-200711/ca1"),
        ({"unit_tokens": True}, "unit_tokens is False in A2929-200711/adn, True in"),
        ({"transform": dict}, "set the transform of the stack"),
    ):
        with pytest.raises(SchemaError, match=match):
            StackedSamples([made(), made(CA1, **change)])
    other = na.load_sample()
    signal = other["A2929-200711/head_direction"].to_dataset()
    signal["ry"].attrs["units"] = "degrees"
    other["A2929-200711/head_direction"].dataset = signal
    area = SpikeEventSamples(
        other[CA1], 1.0, window=(671.0, 700.0), targets=[TARGET], vocabulary=made().vocabulary
    )
    with pytest.raises(SchemaError, match="its unit is '.*', but 'degrees' in A2929-200711/ca1"):
        StackedSamples([made(), area])


def test_vocabularies_are_of_all_recordings_and_grow(tree, words):
    assert len(words.units) == 15
    assert list(words.units) == sorted(words.units)
    assert Vocabulary.of([tree[CA1], tree[ADN]]) == words
    alone = Vocabulary.of(tree[CA1])
    more = alone.extended(tree)
    assert more.units[:8] == alone.units
    assert set(more.units) == set(words.units)
    assert more.unit_index(tree[CA1]).tolist() == alone.unit_index(tree[CA1]).tolist()
    assert alone.label != words.label
    with pytest.raises(NotInTree, match=r"no unit 'A2929-200711/adn/\d+' in the vocabulary"):
        SpikeEventSamples(tree[ADN], 1.0, vocabulary=alone)
    with pytest.raises(SchemaError, match="two recordings have an area A2929-200711/adn"):
        Vocabulary.of([tree, na.load_sample()])
    with pytest.raises(SchemaError, match="no area with spikes"):
        Vocabulary.of([])
    with pytest.raises(TypeError, match="expected recording trees"):
        Vocabulary.of(3)


def test_a_loader_refuses_the_state_of_another_vocabulary(tree, made):
    def loader(data):
        return na.batches.NumpyLoader(data, na.batches.Batches(len(data), 8, shuffle=True))

    state = loader(made()).state_dict()
    loader(made()).load_state_dict(state)
    with pytest.raises(ValueError, match="the state is of .*15 units.*this dataset has .*7 units"):
        loader(made(vocabulary=None)).load_state_dict(state)


def test_windows_move_about_in_their_stretches(made):
    data = made(window=[(671.0, 690.0), (700.0, 710.0)], stride=0.1)
    batches = na.batches.Jittered(data, 4, seed=1)
    assert data.step == 10
    one, two = (np.sort(np.concatenate(batches.batches(epoch))) for epoch in (0, 1))
    assert one.size == two.size == 29
    assert not np.array_equal(one, two)
    for numbers in (one, two):
        starts = data.starts[numbers]
        assert (((starts >= 671) & (starts < 689.01)) | ((starts >= 700) & (starts < 709.01))).all()
    with pytest.raises(TypeError, match="use Batches"):
        na.batches.Jittered(made(starts=[671.0, 675.0], window=None), 4)


def test_what_cannot_be_cut_into_tokens_says_why(tree, made):
    with pytest.raises(ValueError, match="a window has .* tokens, more than width=8"):
        made(width=8).batch([0, 1, 2, 3])
    assert made(width=200).batch([0])["spike_times"].shape == (1, 200)
    with pytest.raises(ValueError, match="width= is for padded windows"):
        made(width=8, ragged=True)
    with pytest.raises(NotInTree, match="did you mean 'head_direction/ry'"):
        made(targets=["head_drection/ry"])
    with pytest.raises(SchemaError, match="expected a signal along time"):
        made(targets=["presentations/epochs/start_time"])
    with pytest.raises(ValueError, match="length"):
        made(length=-1.0)
    with pytest.raises(ValueError, match="no window of 40 s"):
        made(length=40.0)
    with pytest.raises(TypeError, match=r"vocabulary: expected na.batches.Vocabulary.of\(tree\)"):
        made(vocabulary={"a": 1})
    with pytest.raises(SchemaError, match="has no spikes node"):
        SpikeEventSamples(tree["A2929-200711/position"], 1.0)
